"""`visionmill plugin list|check|run`: trainers, miners and labellers from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.commands.help import parser
from tasks.base.errors import UserError

EXAMPLES = """\
  visionmill plugin list                          what conf/plugin/*.yaml describes
  visionmill plugin check yolo --set epochs=1     whether it fulfils YMIR's contract, point by point
  visionmill plugin run yolo --train cells --out models/yolo
  visionmill plugin run --in DIR --out DIR        be an executor of YMIR ourselves
  visionmill label auto pool --model plugin:yolo  its boxes
  visionmill mine pool --strategy plugin:yolo     its ranking"""


def main(words: list[str]) -> int:
    """List, check or run plug-ins."""
    arguments = parser("plugin", EXAMPLES)
    verbs = arguments.add_subparsers(dest="does", required=True, metavar="list|check|run")
    verbs.add_parser("list", help="the plug-ins that are described, and what each does")
    check = verbs.add_parser("check", help="give one a tiny set and look at each point of the contract; exit code 3 "
                             "where one is not fulfilled")
    check.add_argument("name")
    check.add_argument("--keep", type=Path, metavar="DIR", help="keep all that was given and made there")
    check.add_argument("--minutes", type=float, help="it is ended after so many")
    run = verbs.add_parser("run", help="train with one; without a name: do what an input folder asks for")
    run.add_argument("name", nargs="?")
    run.add_argument("--train", metavar="NAME[@N]", help="the dataset version to train on")
    run.add_argument("--model", type=Path, nargs="+", default=[], metavar="FILE", help="weights to start from")
    run.add_argument("--in", dest="given", type=Path, metavar="DIR", help="an input folder with env.yaml")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results are written")
    for one in (check, run):
        one.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters over those of its file")
    options = arguments.parse_args(words)
    return {"list": _list, "check": _check, "run": _run}[options.does](options)


def _list(options: argparse.Namespace) -> int:
    from tasks.plugins.preset import plugins, read_plugin

    for name in plugins():
        plugin = read_plugin(name)
        by = f"{plugin.engine}: {plugin.image}" if plugin.image else f"a process: {plugin.command[0]}"
        print(f"{name:20} {', '.join(plugin.kinds):18} {plugin.title or name}, {by}")
    print("more: conf/plugin/NAME.yaml in the workspace")
    return 0


def _check(options: argparse.Namespace) -> int:
    from tasks.plugins.checking import check

    verdict = check(options.name, keep=options.keep, minutes=options.minutes, more=_pairs(options.set))
    words = {True: "yes", False: "NO", None: "?"}
    for point in verdict.points:
        tail = f": {point.detail}" if point.detail else ""
        print(f"{words[point.fulfilled]:4}{point.kind:8} {point.text}{tail}")
    failed = sum(not point.fulfilled for point in verdict.points)
    print(f"{verdict.plugin} fulfils {len(verdict.points) - failed} of {len(verdict.points)} points")
    return 3 if failed else 0


def _run(options: argparse.Namespace) -> int:
    if options.given is not None:
        if options.name or options.train:
            raise UserError("--in makes visionmill the executor: it takes no plug-in and no dataset",
                            mend="visionmill plugin run --in DIR --out DIR")
        from tasks.plugins.executor import serve

        return serve(options.given, options.out)
    if not (options.name and options.train):
        raise UserError("what is to be run?", mend="visionmill plugin run NAME --train DATASET --out DIR, or "
                                                   "visionmill plugin run --in DIR --out DIR")
    return _train(options)


def _train(options: argparse.Namespace) -> int:
    from flows.commands.data.help import named
    from tasks.plugins.trainer import train

    data = named(options.train)
    told = train(options.name, data.folder, data.pictures, options.out, models=options.model, more=_pairs(options.set))
    for name, stage in told["stages"].items():
        score = "" if stage["mAP"] is None else f", mAP {stage['mAP']:.3f} by its own count"
        print(f"{name}{' (best)' if name == told['best'] else ''}: {', '.join(stage['files'])}{score}")
    print(f"written to {options.out}")
    return 0


def _pairs(words: list[str]) -> dict[str, Any]:
    from flows.parameters import scalar

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"--set {word!r} is not KEY=VALUE")
        found[key] = scalar(value)
    return found
