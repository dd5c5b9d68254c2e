"""`visionmill deploy`: registers the flows of this workspace with Prefect's server, on schedules."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.help import parser
from flows.services import schedules
from flows.services.known import wanted_api
from flows.workspace import enter
from tasks.base.errors import UserError

EXAMPLES = """\
  visionmill deploy --cron '0 2 * * *'         retrain every night at two, if there is a reason
  visionmill deploy --interval 6h              or every six hours
  visionmill deploy --nightly '0 5 * * *'      the champion on today's test split, and drift, at five
  visionmill deploy                            no schedule: to be started in Prefect's UI and by REST
  visionmill deploy --list                     what is deployed, when it comes next, how it went
  visionmill deploy --pause; visionmill deploy --resume; visionmill deploy --remove"""


def main(words: list[str]) -> int:
    """Register, list, pause, resume or remove the deployments of the workspace in the current folder."""
    options = _arguments().parse_args(words)
    workspace = enter()
    wanted = _schedules(options)
    api = wanted_api(workspace)
    return _deploy(workspace, api, options, wanted)


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("deploy", EXAMPLES)
    arguments.add_argument("--cron", metavar="LINE", help="when retraining is asked for: '0 2 * * *'")
    arguments.add_argument("--interval", metavar="TIME", help="instead of --cron: 30m, 6h, 1d")
    arguments.add_argument("--timezone", metavar="ZONE", help="of the cron lines (default: this machine's)")
    arguments.add_argument("--nightly", metavar="LINE", help="when the champion is evaluated and drift is looked for")
    does = arguments.add_mutually_exclusive_group()
    for name, text in (("pause", "no schedule starts a run"), ("resume", "schedules start runs again"),
                       ("remove", "remove this workspace's deployments"), ("list", "what is deployed")):
        does.add_argument(f"--{name}", action="store_const", const=name, dest="does", help=text)
    return arguments


def _schedules(options: argparse.Namespace) -> dict[str, schedules.When]:
    if options.cron and options.interval:
        raise UserError("--cron and --interval both say when retraining is asked for", mend="give one of the two")
    if options.does and (options.cron or options.interval or options.nightly):
        raise UserError(f"--{options.does} changes no schedule", mend=f"visionmill deploy --{options.does}")
    if options.timezone:
        schedules.zone_of(options.timezone)
    found = {}
    if options.cron:
        found["retrain"] = schedules.cron(options.cron, options.timezone)
    if options.interval:
        found["retrain"] = schedules.interval(options.interval)
    if options.nightly:
        found["nightly"] = schedules.cron(options.nightly, options.timezone, "--nightly")
    return found


def _deploy(workspace: Path, api: str, options: argparse.Namespace, wanted: dict[str, schedules.When]) -> int:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.services.deployments import Deployments
    from flows.services.listing import rows
    from tasks.base.site import read_site

    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        mine = Deployments(client, workspace, read_site(workspace))
        if options.does == "list":
            print("\n".join(rows(mine)))
            return 0
        if options.does == "remove":
            done = mine.remove()
        elif options.does:
            done = mine.set_paused(options.does == "pause")
        else:
            done = mine.make(wanted)
        for one in done:
            print(f"{one.name:28} {one.what}{f', {one.detail}' if one.detail else ''}")
        if not done:
            print("nothing of this workspace is deployed; visionmill deploy does it")
        elif not options.does:
            print(f"\n{api.removesuffix('/api')}/deployments shows them; visionmill deploy --list")
    return 0
