"""`visionmill run`: asks DVC first, and starts the flow only if something is to be done."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows import line, summary
from flows.commands.help import parser
from flows.parameters import check_once
from flows.supervisor import supervise, workspace_lock
from flows.workspace import enter
from tasks.registry.registered import is_registered

EXAMPLES = """\
  visionmill run                 bring every stage up to date, register, ask the gate
  visionmill run --wait          after the run that is going on here
  visionmill run --pull          in a fresh clone: fetch data from the DVC remote"""


def main(words: list[str]) -> int:
    """Run the line in the current folder."""
    options = _arguments().parse_args(words)
    workspace = enter()
    with workspace_lock(workspace, wait=options.wait):
        check_once(workspace)
        if (done := _finished(workspace)) is not None:
            return done
        return supervise("flows.produce", {"workspace": str(workspace), "retries": options.retries,
                                           "limit_s": options.timeout * 60, "pull": options.pull}, workspace)


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("run", EXAMPLES)
    arguments.add_argument("--wait", action="store_true", help="wait while another run holds the workspace")
    arguments.add_argument("--pull", action="store_true", help="fetch missing data from the DVC remote")
    arguments.add_argument("--retries", type=int, default=1, help="further tries of a stage that broke (default 1)")
    arguments.add_argument("--timeout", type=float, default=720, metavar="MINUTES", help="for one stage (default 720)")
    return arguments


def _finished(workspace: Path) -> int | None:
    """Exit code of the run that made what is here, if nothing changed since; else say what will run."""
    plan = line.ask(workspace)
    registered = is_registered(workspace)
    if plan.stale or registered is None:
        count = len(plan.will_run())
        print(f"{count} of {len(plan.order)} stages to do" if count else "every stage is up to date: to register",
              flush=True)
        return None
    print(summary.table(workspace, registered))
    print("\nnothing to do: data, code and parameters are as they were")
    return 0 if registered.gate.passed else 3
