"""`visionmill watch`: follow `champion` in the foreground, or once."""

from __future__ import annotations

from flows.commands.help import parser
from flows.workspace import enter

EXAMPLES = """\
  visionmill watch                 until Ctrl-C: MLflow's webhooks wake it, and it looks every deploy.poll_s
  visionmill watch --once          look once, bring the bundles to where `champion` is, and end
  visionmill watch --port 5055     the port for webhooks; taken: the system chooses another"""


def main(words: list[str]) -> int:
    """Watch the workspace of the current folder."""
    arguments = parser("watch", EXAMPLES)
    arguments.add_argument("--once", action="store_true", help="look once and end")
    arguments.add_argument("--port", type=int, help="that webhooks are received at (default: the site's deploy.port)")
    options = arguments.parse_args(words)
    workspace = enter()
    from tasks.base.site import read_site

    site = read_site(workspace)
    if options.once:
        from tasks.deployment.following import follow

        print("\n".join(follow(None, workspace, site) or ["nothing to do"]))
        return 0
    from flows.watching import watch

    return watch(workspace, options.port or site.deploy.port, another=True)
