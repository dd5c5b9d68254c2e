"""`visionmill up`: Prefect, its worker, MLflow and the promotion watch, on loopback, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from flows import processes
from flows.commands.help import parser
from flows.services import known, studio, table
from flows.services.log import Terminal, tail
from flows.services.plan import make_plan
from flows.services.rest import answers
from flows.services.upkeep import FAILED, READY, START_LIMIT_S, Upkeep
from flows.workspace import NOTES, enter
from tasks.base.errors import UserError, VisionmillError, WorkspaceBusy
from tasks.base.locks import held_alone
from tasks.base.site import read_site

EXAMPLES = """\
  visionmill up                 everything in this terminal; Ctrl-C ends it
  visionmill up --detach        returns when all are ready; visionmill ps, visionmill down
  visionmill up --with label-studio         and Label Studio, which is installed when it is first asked for
  visionmill deploy --cron '0 2 * * *'      then: retrain every night at two"""
LOCK = "up.lock"


def main(words: list[str]) -> int:
    """Start the services of the workspace in the current folder."""
    arguments = parser("up", EXAMPLES)
    arguments.add_argument("--detach", action="store_true", help="return when all are ready")
    arguments.add_argument("--with", dest="extra", action="append", default=[], choices=[studio.NAME],
                           help="start this as well: about 1 GB, in an environment of its own")
    options = arguments.parse_args(words)
    workspace = enter()
    if studio.NAME in options.extra and not read_site(workspace).labelling.url:
        studio.install()
    return detach(workspace, options.extra) if options.detach else stay(workspace, options)


def stay(workspace: Path, options: argparse.Namespace | None = None) -> int:
    """Keep the services alive until a signal comes.

    Raises:
        WorkspaceBusy: another `up` runs in this workspace. UserError: a service that is elsewhere does not answer.
    """
    with only_one(workspace):
        terminal = Terminal()
        if left := processes.end_marked(str(workspace), variable=processes.UP):
            terminal.say("up", f"ended {left} processes that a killed `up` had left")
        plan = make_plan(workspace, read_site(workspace), options.extra if options else ())
        for name, (url, health) in plan.elsewhere.items():
            if not answers(health, 10.0):
                raise UserError(f"{name} is elsewhere by this site or the environment, and does not answer", where=url,
                                mend="start it, or choose a site that names none: export VISIONMILL_SITE=local")
            terminal.say(name, f"elsewhere, answers at {url}")
        for note in plan.notes:
            terminal.say("up", note)
        return Upkeep(workspace, plan, terminal).run()


def only_one(workspace: Path) -> AbstractContextManager[None]:
    """Hold the workspace's services; the lock goes with the process that holds it.

    Raises:
        WorkspaceBusy: another `up` holds them; the message has its addresses.
    """
    return held_alone(workspace / NOTES / LOCK, lambda holder: WorkspaceBusy(
        f"`visionmill up` runs here already ({holder or 'it is starting'}){table.addresses(workspace)}",
        where=workspace, mend="visionmill ps shows it, visionmill down ends it"))


def detach(workspace: Path, extra: Sequence[str] = ()) -> int:
    """Start an `up` that outlives this command, and return when all its services are ready.

    Raises:
        VisionmillError: one of them failed; all are then ended again.
    """
    with only_one(workspace):
        pass
    log = workspace / known.LOGS / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "flows.cli", "up",
                   *(word for name in extra for word in ("--with", name))]
        started = subprocess.Popen(command, cwd=workspace, stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _until_ready(started, workspace, log)
    except BaseException:
        started.send_signal(signal.SIGTERM)
        started.wait(60)
        raise
    print("\n".join(table.rows(workspace)))
    print("\nvisionmill ps shows this again, visionmill down ends it")
    return 0


def _until_ready(started: subprocess.Popen, workspace: Path, log: Path) -> None:
    end = time.monotonic() + 2 * START_LIMIT_S
    while time.monotonic() < end:
        if started.poll() is not None:
            said = "\n".join(tail(log, 15))
            error = UserError if started.returncode == 2 else VisionmillError
            raise error(f"the services ended at once:\n{said}", where=log)
        found = {name: entry for name, entry in known.services(workspace).items() if name != "up"}
        failed = [name for name, entry in found.items() if entry["state"] == FAILED or entry.get("tries", 0) > 2]
        if failed:
            said = "\n".join(tail(workspace / known.LOGS / f"{failed[0]}.log", 10))
            raise VisionmillError(f"{failed[0]} does not start:\n{said}", where=log,
                                  mend=f"see {workspace / known.LOGS / failed[0]}.log")
        if found and all(entry["state"] in (READY, "elsewhere") for entry in found.values()):
            return
        time.sleep(0.3)
    raise VisionmillError("the services were not ready in time", where=log, mend="visionmill up shows what they say")
