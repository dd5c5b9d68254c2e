"""A plug-in asked for something: its folders made, its program run, its words understood."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.base.errors import UserError
from tasks.plugins import monitor
from tasks.plugins.container import arguments, ending
from tasks.plugins.contract import INSIDE, env_of
from tasks.plugins.folders import InFolder, Sample, config_of
from tasks.plugins.preset import RESERVED, Kind, Plugin, home_of, refuse_fixed
from tasks.plugins.process import Ended, run, tail_of

NOTES = Path(".visionmill/plugins")
LOG = "ymir-executor-out.log"
Tell = Callable[[monitor.Record], None]


@dataclass(frozen=True)
class Asked:
    """What a plug-in is given.

    Attributes:
        kinds: `train` alone, or `mine`, `infer` or both.
        classes: names in the order of class ids.
        candidates: pictures to rank or to look at; train, val: labelled ones.
        models: weights.
        more: parameters over those of its file.
    """

    kinds: set[Kind]
    classes: Sequence[str]
    candidates: Sequence[Sample] = ()
    train: Sequence[Sample] = ()
    val: Sequence[Sample] = ()
    models: Sequence[Path] = ()
    more: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """The folders of one task, here and as the executor sees them.

    Attributes:
        assets: path of each candidate as the executor sees it → its key. Not read again from the index file, which
            the executor may have changed.
    """

    folder: Path
    task: str
    inside: PurePosixPath
    outside: PurePosixPath
    assets: dict[str, str] = field(default_factory=dict)

    @property
    def given(self) -> Path:
        return self.folder / "in"

    @property
    def made(self) -> Path:
        return self.folder / "out"

    @property
    def log(self) -> Path:
        return self.made / LOG

    def here(self, told: str) -> Path:
        """A path below /out, as it is here."""
        return self.made / PurePosixPath(told).relative_to(self.outside)


@dataclass(frozen=True)
class Outcome:
    """How a task went: the room with the results, how the program ended, what it said of its progress."""

    room: Room
    ended: Ended
    watch: monitor.Watch


@contextmanager
def room_of(plugin: Plugin, name: str, workspace: Path, keep: Path | None = None) -> Iterator[Room]:
    """Folders for a task. They go when the block ends well; else they stay, for whoever looks for the reason.

    Args:
        keep: a folder that is made and stays in any case.
    """
    task = f"t{secrets.token_hex(8)}"
    above = workspace.resolve() / NOTES
    if keep is None:
        above.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=above, prefix=f"{name}-"))
    else:
        folder = keep.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError("the folder is not empty", where=folder, mend="choose another path")
    inside, outside = INSIDE if plugin.image else (PurePosixPath(folder / "in"), PurePosixPath(folder / "out"))
    for part in ("in", "out/models", "out/tensorboard"):
        (folder / part).mkdir(parents=True)
    yield Room(folder, task, inside, outside)
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)


def fill(plugin: Plugin, asked: Asked, room: Room) -> None:
    """Write the input folder.

    Raises:
        UserError: a parameter that is not for the user to set.
    """
    if taken := sorted(RESERVED & asked.more.keys()):
        raise UserError(f"{taken[0]} is written by visionmill", where=f"--set {taken[0]}=…", mend="leave it out")
    folder = InFolder(room.given, room.inside, plugin.annotations, asked.classes)
    models = folder.models(asked.models)
    if "train" in asked.kinds:
        folder.index("train-index.tsv", asked.train, labelled=True)
        folder.index("val-index.tsv", asked.val, labelled=True)
    else:
        seen = folder.index("candidate-index.tsv", asked.candidates, labelled=False)
        room.assets.update({path: key for key, path in seen.items()})
    config = config_of(plugin, set(asked.kinds), asked.classes, room.task, models)
    folder.settings(env_of(room.task, set(asked.kinds), room.inside, room.outside), config | asked.more)


def execute(plugin: Plugin, name: str, room: Room, workspace: Path, tell: Tell = lambda record: None) -> Outcome:
    """Run a plug-in on a filled room, to its end or to that of its time.

    Raises:
        UserError: it cannot be started.
    """
    refuse_fixed(plugin, name)
    watch = monitor.Watch(room.made / "monitor.txt")

    def look() -> bool:
        record = watch.look()
        if record is not None:
            tell(record)
        return record is not None

    command = arguments(plugin, room.task, room.given, room.made) if plugin.image else [
        _filled(word, room, home_of(name, workspace)) for word in plugin.command]
    ended = run(command, folder=room.made if plugin.image else workspace.resolve(), log=room.log,
                seconds=plugin.minutes * 60, silent=plugin.silent * 60, look=look,
                environment={} if plugin.image else _told(plugin, room),
                stop=ending(plugin, room.task) if plugin.image else ())
    return Outcome(room, ended, watch)


def refuse_failure(name: str, plugin: Plugin, outcome: Outcome) -> None:
    """Raises UserError where a task went wrong, with the executor's own words for it."""
    record, ended, where = outcome.watch.record, outcome.ended, outcome.room.log
    if ended.why == "time":
        raise UserError(f"the plug-in {name!r} did not end within {plugin.minutes:g} minutes and was ended"
                        f"{_reached(record)}", where=where, mend=f"raise `minutes` in conf/plugin/{name}.yaml")
    if ended.why == "silence":
        raise UserError(f"the plug-in {name!r} said nothing for {plugin.silent:g} minutes and was ended"
                        f"{_reached(record)}", where=where, mend=f"raise `silent` in conf/plugin/{name}.yaml")
    if record is not None and record.failed:
        said = "\n    ".join([str(where), *record.text.splitlines()[-5:]])
        raise UserError(f"the plug-in {name!r} failed: {record.explained()}", where=said, mend="see its log")
    if ended.code:
        raise UserError(f"the plug-in {name!r} failed with exit code {ended.code}",
                        where="\n    ".join([str(where), *tail_of(where, 5).splitlines()]), mend="see its log")


@contextmanager
def asked(plugin: Plugin, name: str, wanted: Asked, workspace: Path, tell: Tell = lambda record: None,
          keep: Path | None = None) -> Iterator[Outcome]:
    """A plug-in's answer, its folders there inside the block.

    Raises:
        UserError: it cannot be started, fails, or does not end.
    """
    refuse_fixed(plugin, name)
    with room_of(plugin, name, workspace, keep) as room:
        fill(plugin, wanted, room)
        outcome = execute(plugin, name, room, workspace, tell)
        refuse_failure(name, plugin, outcome)
        yield outcome


def progress(name: str) -> Tell:
    """Says how far a plug-in is, on standard error, whenever that is a tenth more."""
    said = -1

    def tell(record: monitor.Record) -> None:
        nonlocal said
        if int(record.share * 10) != said:
            said = int(record.share * 10)
            print(f"{name} {record.share:.0%}", file=sys.stderr, flush=True)

    return tell


def _reached(record: monitor.Record | None) -> str:
    return f"; it had reached {record.share:.0%}" if record is not None else "; it had told no progress"


def _filled(word: str, room: Room, home: Path) -> str:
    known = {"{in}": room.given, "{out}": room.made, "{python}": sys.executable, "{here}": home}
    for mark, value in known.items():
        word = word.replace(mark, str(value))
    return word


def _told(plugin: Plugin, room: Room) -> dict[str, str]:
    """Variables of a plain process: `ymir_exc`, the SDK of most executors, reads the first two."""
    return {"DEFAULT_ENV_FILE_PATH": str(room.given / "env.yaml"),
            "DEFAULT_CONFIG_FILE_PATH": str(room.given / "config.yaml"), "PYTHONUNBUFFERED": "1",
            "CUDA_VISIBLE_DEVICES": plugin.gpus or os.environ.get("CUDA_VISIBLE_DEVICES", "-1")} | plugin.environment


def sizes(room: Room, samples: Sequence[Sample]) -> dict[str, tuple[str, int, int]]:
    """Basename of each candidate → its key, width and height."""
    known = {sample.key: sample for sample in samples}
    return {PurePosixPath(seen).name: (key, known[key].width, known[key].height)
            for seen, key in room.assets.items()}


def summary(outcome: Outcome) -> str:
    """How a task ended, as JSON, for those who keep it."""
    return json.dumps({"code": outcome.ended.code, "seconds": round(outcome.ended.seconds, 1)})
