"""The door: `visionmill VERB …`. A verb's module is imported when someone enters it, so that help costs nothing."""

from __future__ import annotations

import errno
import importlib
import os
import sys

from flows.environment import quiet
from tasks.base.errors import UserError, VisionmillError, nearest

VERBS = {
    "new": "make a workspace from a catalogue data set or a folder of pictures",
    "data": "dataset versions: import, merge, filter, compare, export; `data --help`",
    "run": "run the whole line as a Prefect flow, then register and gate",
    "register": "register what the last `dvc repro` made, and ask the gate",
    "sweep": "search for better parameters; `sweep adopt` writes the best into params.yaml",
    "configure": "write presets and values into params.yaml, shown as a diff",
    "status": "what is stale and why, the last run, the champion",
    "predict": "draw boxes on pictures and videos with a model",
    "prune": "prune a model folder by a threshold, as TLT does",
    "bundle": "a folder that runs a model alone; for Triton or DeepStream too",
    "engine": "a TensorRT-RTX engine, built on any machine for named GPU generations",
    "benchmark": "every artefact of a model on every runtime of this machine: accuracy, speed, size",
    "import-model": "make a version of a model from elsewhere",
    "doctor": "versions, devices, services, and the command that mends what is missing",
    "compare": "two versions: accuracy with intervals, latency, size, pictures where they disagree",
    "lineage": "where a version comes from: pictures, labels, data, parameters, code, runs, files",
    "reproduce": "build a version again in a clean clone, and compare",
    "audit": "who moved which alias when, and what the gate had said",
    "rollback": "give `champion` back to the version before",
    "retrain": "pull, run if there is a reason, judge against the champion, promote, push, tell",
    "drift": "new unlabelled pictures against those of the training",
    "up": "Prefect, its worker, MLflow and the promotion watch, on loopback; one log, one Ctrl-C",
    "down": "end what `up` started",
    "ps": "what runs, where, and how it is",
    "deploy": "schedules: retraining, nightly evaluation, promotion, as Prefect deployments",
    "watch": "follow `champion`: build, place and try its bundles; `up` starts this",
    "serve": "answer requests with a model that starts with the first one and ends when idle",
    "label": "the model labels, people correct: auto, send, fetch, return, errors, accept; `label --help`",
    "mine": "pick the pictures of a pool that are worth labelling, with reasons",
    "improve": "rounds of mine, label, merge, retrain, compare; `improve status`",
    "plugin": "trainers, miners and labellers from elsewhere: list, check, run",
    "stage": "run one stage; dvc.yaml calls this",
    "upgrade": "bring a workspace's dvc.yaml up to this version",
}

EXAMPLES = """\
examples:
  visionmill new ~/cells --data bccd          a workspace of the blood cell pictures
  visionmill new ~/parts --data ~/pictures    one of your own folder: Pascal VOC or COCO, found by looking
  cd ~/cells; visionmill run                  data to signed-off version; again: only what changed
  dvc repro; visionmill register              the same by hand
  visionmill configure model=fcos-resnet18 train.epochs=20
  visionmill sweep --trials 20; visionmill sweep adopt
  visionmill status
  visionmill predict a.jpg b.jpg --out drawn --threshold 0.5
  visionmill up --detach; visionmill deploy --cron '0 2 * * *'    retrain every night
  visionmill doctor

exit codes: 0 done, 1 our error, 2 your input, 3 the gate refused, 130 interrupted
`visionmill VERB --help` shows the options and examples of one verb."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit code; errors of ours are printed without a traceback."""
    words = sys.argv[1:] if argv is None else argv
    quiet()
    try:
        return _enter(words)
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code


def explain(error: BaseException) -> VisionmillError | None:
    """The error as one that a user can read, or None where only a traceback helps."""
    if isinstance(error, VisionmillError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("the disk is full; nothing was left half-written", where=error.filename,
                         mend="free some space (`dvc gc --all-commits` drops what no commit needs) and run again")
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return UserError("this place can only be read", where=error.filename,
                         mend="mount it writable, or work in a copy")
    if isinstance(error, PermissionError):
        return UserError(f"not allowed: {error.strerror}", where=error.filename, mend="check who owns that path")
    return None


def _enter(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"visionmill {version('visionmill')}")
        return 0
    if words[0] not in VERBS:
        guess = nearest(words[0], VERBS)
        raise UserError(f"no verb is called {words[0]!r}", mend=f"did you mean {guess!r}?" if guess else "--help")
    module = importlib.import_module(f"flows.commands.{words[0].replace('-', '_')}")
    return module.main(words[1:]) or 0


def _help() -> str:
    verbs = "\n".join(f"  {name:12} {text}" for name, text in VERBS.items())
    return f"usage: visionmill VERB [options]\n\nRaw pictures in, a signed-off model out.\n\n{verbs}\n\n{EXAMPLES}"


if __name__ == "__main__":
    sys.exit(main())
