"""`visionmill ps`: what `visionmill up` keeps alive here, and the runs that go on or wait."""

from __future__ import annotations

from flows.commands.help import parser
from flows.services import known, queue, table
from flows.workspace import enter

EXAMPLES = """\
  visionmill ps"""


def main(words: list[str]) -> int:
    """Tell how the services of the workspace in the current folder are."""
    parser("ps", EXAMPLES).parse_args(words)
    workspace = enter()
    print("\n".join(table.rows(workspace)))
    if api := known.prefect_api(workspace):
        print("\n".join(["", *queue.rows(api)]))
    return 0
