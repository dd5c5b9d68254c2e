"""`visionmill drift`: new unlabelled pictures against those of the training."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.help import parser
from flows.workspace import enter

EXAMPLES = """\
  visionmill drift ~/new                      against the line's data; the champion's predictions too
  visionmill drift ~/new --html drift.html    a page to look at
  visionmill drift ~/new --reference cells@3 --model none
  visionmill drift ~/new --fail               exit code 3 where there is drift"""


def main(words: list[str]) -> int:
    """One look; 0 whether there is drift or not, 3 with `--fail` where there is."""
    told = _arguments().parse_args(words)
    workspace = enter()
    from tasks.base.files import write_atomic, write_json
    from tasks.drift.asked import find_detector, find_reference
    from tasks.drift.look import Settings, look_for_drift
    from tasks.drift.words import report
    from tasks.registry.drift_log import log_look
    from tasks.reporting.drift.page import build_page

    settings = Settings(false_alarm=_rate(told.false_alarm, workspace))
    reference = find_reference(workspace, told.reference, told.pictures)
    model, why = find_detector(workspace, told.model)
    look = look_for_drift(told.folder.resolve(), reference, workspace, settings, model, why)
    page, found = build_page(look), look.to_json()
    if told.html:
        write_atomic(told.html, page)
    if told.json:
        write_json(told.json, found)
    run = None if told.no_log else log_look(found, page, workspace)
    print(report(found))
    print("\n".join([*([f"page: {told.html}"] if told.html else []), *([f"MLflow run {run}"] if run else [])]))
    return 3 if told.fail and look.verdict == "drift" else 0


def _rate(given: float | None, workspace: Path) -> float:
    from tasks.base.errors import UserError
    from tasks.base.site import read_site

    rate = read_site(workspace).retrain.false_alarm if given is None else given
    if not 0 < rate < 0.5:
        raise UserError(f"a rate of false alarms is between 0 and 0.5, got {rate}", where="--false-alarm", mend="0.01")
    return rate


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("drift", EXAMPLES)
    arguments.add_argument("folder", type=Path, metavar="FOLDER", help="any folder tree of pictures; no labels")
    arguments.add_argument("--reference", metavar="DATASET", help="NAME@VERSION of the store or a dataset folder "
                                                                  "(default: the line's data/split)")
    arguments.add_argument("--pictures", type=Path, metavar="FOLDER", help="what a dataset folder's files are relative "
                                                                           "to (default: data/raw)")
    arguments.add_argument("--model", help="whose predictions are compared: a file, models:/NAME@ALIAS, or none "
                                           "(default: the champion, else the line's)")
    arguments.add_argument("--false-alarm", type=float, metavar="RATE", help="of a whole look without drift (default: "
                                                                             "the site's, 0.01)")
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    arguments.add_argument("--fail", action="store_true", help="exit code 3 where there is drift")
    arguments.add_argument("--no-log", action="store_true", help="no MLflow run")
    return arguments
