"""Follows `champion` for as long as it runs: a webhook wakes it at once, a poll finds what a webhook lost.

    python -P -m flows.watching '{"workspace": "/path", "port": 5055}'      `visionmill up` and `watch` start it
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

from flows.environment import quiet
from flows.services import known
from tasks.base.errors import UserError, VisionmillError, WorkspaceBusy
from tasks.base.locks import held_alone
from tasks.base.site import Site, read_site
from tasks.deployment import following
from tasks.registry import store
from tasks.registry.promotion import audit, hooks
from tasks.registry.promotion.hooks import Deliveries, Told
from tasks.registry.promotion.receiver import PATH, Receiver

FLOW_S = 1800.0  # that a flow run may take before this process does it itself
HOOK_S = 600.0  # after which MLflow is asked again whether it still has our webhook


class Watch:
    """One workspace's watch.

    Args:
        workspace: its folder.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.wake = workspace.resolve(), threading.Event()
        self.state: dict[str, Any] = {"status": "starting", "workspace": str(self.workspace), "webhook": "none"}
        self._told: list[Told] = []
        self._trouble = ""
        self._hooked = (float("-inf"), "")

    def receiver(self, port: int) -> Receiver:
        """A receiver of webhooks that wakes this watch.

        Raises:
            OSError: the port is taken.
        """
        seen = Deliveries(self.workspace / store.STATE / hooks.SEEN)
        return Receiver(port, hooks.hook_secret(self.workspace), seen, self.told, lambda: dict(self.state))

    def told(self, said: Told) -> None:
        """Remember what a webhook said and wake up; another model's alias is no reason."""
        if said.name == store.workspace_name(self.workspace):
            self._told.append(said)
            self.wake.set()

    def run(self, receiver: Receiver) -> NoReturn:
        """Look and deploy until the process ends, whatever happens to the store."""
        receiver.start()
        say(f"watching {store.workspace_name(self.workspace)}; webhooks at {receiver.url}{PATH}, health at "
            f"{receiver.url}/health")
        if audit.has_gaps(self.workspace):
            say(f"note: {audit.GAPS}")
        while True:
            self.wake.clear()
            pause = self.step(receiver.url)
            self.wake.wait(pause)

    def step(self, url: str | None = None) -> float:
        """One look, and what follows from it; returns the seconds until the next."""
        pause = 20.0
        try:
            site = read_site(self.workspace)
            pause = site.deploy.poll_s
            self._record()
            self._follow(site)
            if url:
                self._hook(url)
        except Exception as error:  # a watch that ended would be noticed weeks later
            self._away(error)
        else:
            if self._trouble:
                say("it works again")
            self._trouble = ""
            self.state.update(status="ok", looked=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
            self.state.pop("trouble", None)
        return pause

    def _record(self) -> None:
        """A change that came and went is known from its webhook alone where there is only a server."""
        while self._told:
            said = self._told[0]
            audit.received(said.name, said.alias, said.version, self.workspace)
            self._told.pop(0)

    def _follow(self, site: Site) -> None:
        api = self._api()
        # with Prefect the flow run tells, since blocks are Prefect's
        fresh = audit.look(self.workspace, tell=api is None)
        due = following.due(None, self.workspace, site, tell=api is None)
        if due is None and not (fresh and api):
            return
        if due is not None:
            say(f"{due.version.name} version {due.version.version} is champion: its bundles are made, tried and placed")
        if api is None or not self._flow(api):
            lines = following.follow(None, self.workspace, site)
        else:
            lines = following.last_attempt(store.workspace_name(self.workspace), self.workspace, site)
        for line in lines:
            say(line)

    def _api(self) -> str | None:
        with contextlib.suppress(UserError):
            return known.reachable_api(self.workspace)
        return None

    def _flow(self, api: str) -> bool:
        """Do it as a flow run; False when Prefect did not bring it to an end."""
        env = {**os.environ, known.PREFECT_API: api}
        command = [sys.executable, "-P", "-m", "flows.promotion", json.dumps({"workspace": str(self.workspace)})]
        try:
            done = subprocess.run(command, cwd=self.workspace, env=env, stdin=subprocess.DEVNULL, timeout=FLOW_S)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _hook(self, url: str) -> None:
        """Ask MLflow's server to call us, where there is one that can."""
        tracking = store.tracking_uri(self.workspace)
        server = tracking if tracking.startswith("http") else known.url_of("mlflow", self.workspace)
        asked, of = self._hooked
        if server is None or not hooks.can_reach(server):
            self.state["webhook"] = "none: no MLflow server on this machine; the aliases are looked at instead"
        elif of != server or time.monotonic() - asked > HOOK_S:
            hooks.ensure_hook(server, f"{url}{PATH}", self.workspace)
            self._hooked = time.monotonic(), server
            self.state["webhook"] = f"asked for at {store.shown(server)}"

    def _away(self, error: Exception) -> None:
        """Say once what is wrong; it is tried again at the next look, for days if need be."""
        text = store.shown(error.what if isinstance(error, VisionmillError) else f"{type(error).__name__}: {error}")
        self.state.update(status="waiting", trouble=text)
        if text != self._trouble:
            say(f"{text}\n  it is tried again until it works; nothing that is deployed is touched")
        self._trouble = text


def say(text: str) -> None:
    print(text, flush=True)


def alone(workspace: Path) -> AbstractContextManager[None]:
    """One watch a workspace: MLflow calls one address.

    Raises:
        WorkspaceBusy: another one runs.
    """
    return held_alone(workspace / store.STATE / "watch.lock", lambda holder: WorkspaceBusy(
        f"another watch runs here ({holder or 'unknown'})", where=workspace,
        mend="visionmill ps; visionmill down ends what `up` started"))


def watch(workspace: Path, port: int, *, another: bool = False) -> NoReturn:
    """Watch until SIGTERM or Ctrl-C.

    Args:
        another: take a port that the system chooses where that one is taken.

    Raises:
        WorkspaceBusy: another watch runs.
        OSError: the port is taken.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with alone(workspace):
        made = Watch(workspace)
        try:
            receiver = made.receiver(port)
        except OSError:
            if not another:
                raise
            receiver = made.receiver(0)
        made.run(receiver)


def main(words: list[str]) -> NoReturn:
    """Watch with the options of a JSON object: {workspace, port}."""
    options = json.loads(words[0]) if words else {}
    workspace, port = Path(options.get("workspace", ".")).resolve(), options.get("port")
    watch(workspace, read_site(workspace).deploy.port if port is None else int(port))


if __name__ == "__main__":
    quiet()
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: the watch cannot listen: {error.strerror}")
