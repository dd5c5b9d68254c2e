"""`visionmill sweep`: searches for better parameters of `train`; `sweep adopt` writes the best into params.yaml."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows import parameters
from flows.commands.help import parser
from flows.supervisor import supervise, workspace_lock
from flows.workspace import enter
from tasks.base.errors import UserError
from tasks.base.params import load
from tasks.search import study as store
from tasks.search import summary
from tasks.search.adopt import best_values
from tasks.search.plan import Plan, folder_of, make_plan
from tasks.search.settings import load_settings

EXAMPLES = """\
  visionmill sweep                        the space of conf/sweep/default.yaml, or of params.yaml: sweep
  visionmill sweep --trials 40            40 in all: goes on where an earlier or a killed search ended
  visionmill sweep --sampler random --pruner none
  visionmill sweep --epochs 15            shorter trials than a whole training
  visionmill sweep adopt                  write the best values into params.yaml, shown as a diff"""
RAW, DATA = Path("data/raw"), Path("data/split")


def main(words: list[str]) -> int:
    """Search in the current folder, or adopt what a search found."""
    options = _arguments().parse_args(words)
    workspace = enter()
    with workspace_lock(workspace, wait=options.wait):
        if options.action == "adopt":
            return adopt(workspace, unfinished=options.unfinished, dry=options.dry)
        return search(workspace, options.preset, _changes(options))


NEXT = "visionmill sweep adopt writes the best into params.yaml"


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("sweep", EXAMPLES)
    arguments.add_argument("action", nargs="?", choices=["adopt"], help="write the best values into params.yaml")
    arguments.add_argument("--trials", type=int, help="trainings in all, earlier ones included (default 20)")
    arguments.add_argument("--sampler", help="tpe or random")
    arguments.add_argument("--pruner", help="hyperband or none")
    arguments.add_argument("--epochs", type=int, help="of a whole trial (default: train.epochs)")
    arguments.add_argument("--seed", type=int, help="of the sampler")
    arguments.add_argument("--preset", help="a file of conf/sweep/ instead of the section `sweep` of params.yaml")
    arguments.add_argument("--wait", action="store_true", help="wait while another run holds the workspace")
    arguments.add_argument("--unfinished", action="store_true", help="adopt: the best so far of an unfinished search")
    arguments.add_argument("--dry", action="store_true", help="adopt: show the diff and write nothing")
    return arguments


def search(workspace: Path, preset: str | None, changes: dict[str, Any]) -> int:
    """Run the trials that are still to do; call it under `workspace_lock`."""
    plan = plan_of(workspace, preset, changes)
    if (told := _finished(plan, workspace)) is not None:
        print(f"{told}\n\nnothing to do: all {plan.settings.trials} trials of this search are done\n{NEXT}")
        return 0
    print("\n".join([*plan.notes, *([told] if (told := store.advice(plan)) else [])]), flush=True)
    return supervise("flows.sweep", {"workspace": str(workspace), "preset": preset, "changes": changes}, workspace)


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    plain = {name: getattr(options, name) for name in ("trials", "sampler", "pruner", "seed")}
    found = {name: value for name, value in plain.items() if value is not None}
    return found if options.epochs is None else {**found, "epochs": {"max_resource": options.epochs}}


def plan_of(workspace: Path, preset: str | None, changes: dict[str, Any]) -> Plan:
    """The search that is asked for, checked against params.yaml and the data.

    Raises:
        UserError: there is no data yet, or something in it does not fit.
    """
    settings = load_settings(workspace, preset, changes)
    if not (workspace / DATA / "dataset.json").is_file() or not (workspace / RAW).is_dir():
        raise UserError("there is nothing to search on: data/raw and data/split are not both here", where=workspace,
                        mend="run `visionmill run` first, or at least: dvc repro split")
    from tasks.train import Params

    return make_plan(settings, load(Params, "train", workspace / "params.yaml"), workspace / DATA)


def _finished(plan: Plan, workspace: Path) -> str | None:
    """The table of a search that has all its trials; None where some are to do."""
    folder = folder_of(plan, workspace)
    if not store.exists(folder):
        return None
    study = store.open_study(plan, folder)
    done = len(store.finished(study)) >= plan.settings.trials
    return summary.table(study, plan) if done else None


def adopt(workspace: Path, *, unfinished: bool = False, dry: bool = False) -> int:
    """Write the best trial's values into params.yaml and print the change.

    Raises:
        UserError: no finished search fits, or none found anything better; params.yaml is then as it was.
    """
    from tasks.train import Params

    path = workspace / "params.yaml"
    best, worth = best_values(workspace, load(Params, "train", path), workspace / DATA, unfinished=unfinished)
    values = parameters.read_commented(path)
    for key, value in best.items():
        parameters.set_value(values, key, value)
    change = parameters.rewrite(path, values, dry=dry)
    print(f"{worth}\n\n{change or 'params.yaml says that already'}")
    if change and not dry:
        print("\nvisionmill run trains with them; git diff shows them again")
    return 0
