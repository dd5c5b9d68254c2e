"""`visionmill rollback`: `champion` goes back to the version before; the deployment follows."""

from __future__ import annotations

from flows.commands.help import parser
from flows.workspace import enter

EXAMPLES = """\
  visionmill rollback                              champion goes back to `previous`
  visionmill rollback cells --to 7 --reason "counts too many platelets"
  visionmill audit                                 who moved what, and why"""


def main(words: list[str]) -> int:
    """Give `champion` back, and say what will follow."""
    arguments = parser("rollback", EXAMPLES)
    arguments.add_argument("name", nargs="?", help="registered model (default: the workspace's own)")
    arguments.add_argument("--to", metavar="VERSION", help="a version instead of `previous`")
    arguments.add_argument("--reason", default="rolled back by hand", help="kept in the audit")
    options = arguments.parse_args(words)
    workspace = enter()
    from tasks.base.site import read_site
    from tasks.registry.promotion.aliases import roll_back

    done = roll_back(options.name, reason=options.reason, workspace=workspace, to=options.to)
    print(f"{done.name}: {done.note}")
    if read_site(workspace).deploy.targets:
        print("a running watch (visionmill up, visionmill watch) deploys it; now and here: visionmill watch --once")
    return 0
