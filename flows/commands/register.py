"""`visionmill register`: for a run by hand what the flow does at its end."""

from __future__ import annotations

from flows import line, summary
from flows.commands.help import parser
from flows.supervisor import workspace_lock
from flows.workspace import enter
from tasks.base.errors import UserError

EXAMPLES = """\
  dvc repro; visionmill register"""


def main(words: list[str]) -> int:
    """Register the line in the current folder; the exit code is 3 when the gate says no."""
    parser("register", EXAMPLES).parse_args(words)
    workspace = enter()
    with workspace_lock(workspace):
        if stale := line.ask(workspace).stale:
            reasons = "; ".join(f"{stage}: {', '.join(why[:2])}" for stage, why in list(stale.items())[:3])
            raise UserError(f"not everything is up to date: {reasons}", where=workspace, mend="dvc repro")
        from tasks.registry.register import register

        made = register(workspace)
    print(summary.table(workspace, made))
    return 0 if made.gate.passed else 3
