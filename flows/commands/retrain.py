"""`visionmill retrain`: the flow `retrain` under a supervisor, as `visionmill run` runs the line."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.help import parser
from flows.workspace import enter

EXAMPLES = """\
  visionmill retrain                              run the line if there is a reason
  visionmill retrain --dry-run                    tell the reasons, do nothing
  visionmill retrain --force --reason "new lens"  train again though nothing changed
  visionmill retrain --no-pull                    without asking the DVC remote"""


def main(words: list[str]) -> int:
    """Retrain the line in the current folder where there is a reason."""
    options = _arguments().parse_args(words)
    workspace = enter()
    from flows.parameters import check_once
    from flows.supervisor import supervise, workspace_lock

    if options.dry_run:
        return _tell_reasons(workspace, options)
    with workspace_lock(workspace, wait=options.wait):
        check_once(workspace)
        return supervise("flows.retrain", {"workspace": str(workspace), "reason": options.reason,
                                           "force": options.force, "pull": not options.no_pull}, workspace)


def _tell_reasons(workspace: Path, options: argparse.Namespace) -> int:
    """What a run would find now; nothing is pulled, and pictures are not looked at again."""
    from flows import line
    from flows.reasons import reasons
    from tasks.registry.registered import is_registered

    found = reasons(workspace, line.ask(workspace), is_registered(workspace), asked=options.reason,
                    force=options.force, drift=None)
    print("\n".join(map(str, found)) or "nothing new: nothing would be run")
    return 0


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("retrain", EXAMPLES)
    arguments.add_argument("--force", action="store_true", help="train again though nothing changed")
    arguments.add_argument("--reason", metavar="TEXT", help="why; recorded with the run and the version")
    arguments.add_argument("--no-pull", action="store_true", help="go on with the data that are here")
    arguments.add_argument("--wait", action="store_true", help="wait while another run holds the workspace")
    arguments.add_argument("--dry-run", action="store_true", help="tell the reasons and do nothing")
    return arguments
