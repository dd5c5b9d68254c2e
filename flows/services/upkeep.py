"""Starts the services of a plan, looks after them, and ends them in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import processes
from flows.services import known, ports
from flows.services.log import Log, Terminal, tail
from flows.services.plan import Plan, Service, environment
from flows.services.rest import answers
from tasks.base.progress import duration

WAITING, STARTING, READY, PAUSING, FAILED, ENDED = "waiting", "starting", "ready", "restarting", "failed", "ended"
# a busy machine needs a minute and more for Prefect's first start
START_LIMIT_S = 240.0
TRIES = 5
FORGIVEN_AFTER_S = 300.0
LOOK_EVERY_S = 15.0
MISSES = 4
TICK_S = 0.2
# others know the address: it is kept where the one before only needs a moment to end
PORT_PATIENCE_S = 15.0
# what is asked of the others while they end is answered by these, which end last
LAST = ("prefect",)


@dataclass
class Kept:
    """One service and how it is."""

    service: Service
    log: Log
    state: str = WAITING
    process: subprocess.Popen | None = None
    port: int = 0
    tries: int = 0
    misses: int = 0
    since: float = field(default_factory=time.monotonic)
    started: float = 0.0
    looked: float = 0.0

    @property
    def url(self) -> str | None:
        return f"http://{ports.HOST}:{self.port}" if self.port else None

    def enter(self, state: str) -> None:
        self.state, self.since = state, time.monotonic()

    def for_s(self) -> float:
        return time.monotonic() - self.since


class Upkeep:
    """All services of one workspace. Call it in the main thread: a child is told when the thread that made it dies."""

    def __init__(self, workspace: Path, plan: Plan, terminal: Terminal) -> None:
        self.workspace, self.plan, self.terminal = workspace, plan, terminal
        self.kept = {s.name: Kept(s, Log(s.name, workspace / known.LOGS / f"{s.name}.log", terminal))
                     for s in plan.services}
        self.asked: list[int] = []
        self.began = time.time()

    def run(self) -> int:
        """Keep the services alive until a signal comes; the exit code is 0."""
        before = {number: signal.signal(number, lambda received, frame: self.asked.append(received))
                  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        processes.adopt_orphans()
        try:
            self._note()
            while not self.asked:
                self.look()
                time.sleep(TICK_S)
        finally:
            self.end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def look(self) -> None:
        """One look at each service."""
        states = self._states()
        for kept in self.kept.values():
            {WAITING: self._start_when_needed, PAUSING: self._start_after_pause, STARTING: self._until_ready,
             READY: self._while_ready}.get(kept.state, lambda kept: None)(kept)
        if self._states() != states:
            self._note()

    def _states(self) -> list[tuple[str, int | None]]:
        return [(kept.state, kept.process.pid if kept.process else None) for kept in self.kept.values()]

    def _start_when_needed(self, kept: Kept) -> None:
        if all(self.kept[name].state == READY for name in kept.service.needs if name in self.kept):
            self._start(kept)

    def _start_after_pause(self, kept: Kept) -> None:
        closing = kept.port and kept.for_s() < PORT_PATIENCE_S and not ports.is_free(kept.port)
        if kept.for_s() >= 2 ** (kept.tries - 1) and not closing:
            kept.enter(WAITING)

    def _start(self, kept: Kept) -> None:
        service = kept.service
        if service.wanted_port is not None:
            wanted = kept.port or service.wanted_port
            given = {other.port for other in self.kept.values() if other is not kept and other.port}
            kept.port = ports.choose(wanted, given)
            if kept.port != wanted:
                self.terminal.say(service.name, f"port {wanted} is taken: {kept.port} instead")
        addresses = {}
        if "prefect" in service.needs:
            addresses[known.PREFECT_API] = f"{self.kept['prefect'].url}/api"
        env = environment({**addresses, **service.env(kept.port)}, self.workspace)
        command = processes.kept(service.command(kept.port), service.patience_s)
        kept.process = subprocess.Popen(command, cwd=self.workspace, env=env, text=True, errors="replace",
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        kept.started, kept.misses = time.time(), 0
        kept.log.follow(kept.process.stdout)  # type: ignore[arg-type]
        kept.enter(STARTING)

    def _until_ready(self, kept: Kept) -> None:
        if self._has_ended(kept):
            return
        if self._is_ready(kept):
            kept.enter(READY)
            where = f" at {kept.url}" if kept.url else ""
            self.terminal.say(kept.service.name, f"ready{where} after {duration(time.time() - kept.started)}")
        elif kept.for_s() > START_LIMIT_S:
            self._give_up(kept, f"not ready after {duration(START_LIMIT_S)}")

    def _is_ready(self, kept: Kept) -> bool:
        if kept.service.ready_text:
            return any(kept.service.ready_text in text for text in kept.log.heard)
        return answers(f"{kept.url}{kept.service.health}", 1.0)

    def _while_ready(self, kept: Kept) -> None:
        if self._has_ended(kept):
            return
        if kept.tries and kept.for_s() > FORGIVEN_AFTER_S:
            kept.tries = 0
        if kept.service.health and time.monotonic() - kept.looked > LOOK_EVERY_S:
            kept.misses = 0 if answers(f"{kept.url}{kept.service.health}", 3.0) else kept.misses + 1
            kept.looked = time.monotonic()
            if kept.misses >= MISSES:
                self._give_up(kept, "it does not answer any more")

    def _has_ended(self, kept: Kept) -> bool:
        code = kept.process.poll() if kept.process else None
        if code is None:
            return False
        self._after_failure(kept, f"ended with {code}")
        return True

    def _give_up(self, kept: Kept, why: str) -> None:
        _end(kept)
        self._after_failure(kept, why)

    def _after_failure(self, kept: Kept, why: str) -> None:
        kept.tries += 1
        if kept.tries > TRIES:
            kept.enter(FAILED)
            self.terminal.say(kept.service.name, f"FAILED: {why}, {TRIES + 1} times; see {kept.log.path}")
            return
        kept.enter(PAUSING)
        self.terminal.say(kept.service.name, f"{why}: starts again in {2 ** (kept.tries - 1)} s "
                                             f"({kept.tries} of {TRIES})")

    def _note(self) -> None:
        up: dict[str, Any] = {"pid": os.getpid(), "born": processes.born(os.getpid()), "state": READY,
                              "started": self.began, "workspace": str(self.workspace), "url": None, "port": None,
                              "log": None}
        entries = {name: _entry(kept) for name, kept in self.kept.items()}
        away = {name: {"pid": None, "born": None, "url": url, "port": None, "started": None, "log": None,
                       "state": "elsewhere"} for name, (url, _) in self.plan.elsewhere.items()}
        known.remember({"up": up, **entries, **away}, self.workspace)

    def end(self) -> None:
        """End all services, those that the others talk to last; nothing stays alive."""
        self.terminal.say("up", "ending")
        first = [kept for kept in self.kept.values() if kept.service.name not in LAST]
        for group in (first, [kept for kept in self.kept.values() if kept not in first]):
            for kept in group:
                if kept.process and kept.process.poll() is None:
                    kept.process.terminate()
            for kept in group:
                _end(kept)
                kept.enter(ENDED)
        processes.end_marked(str(self.workspace), variable=processes.UP)
        processes.reap()
        with contextlib.suppress(OSError):
            (self.workspace / known.NOTES / f"{known.STATE}.json").unlink()
        self.terminal.say("up", "all ended")


def _entry(kept: Kept) -> dict[str, Any]:
    pid = kept.process.pid if kept.process and kept.process.poll() is None else None
    return {"pid": pid, "born": processes.born(pid) if pid else None, "url": kept.url, "port": kept.port or None,
            "started": kept.started or None, "log": str(kept.log.path), "state": kept.state, "tries": kept.tries,
            "last": [] if kept.state in (READY, STARTING, WAITING) else tail(kept.log.path)}


def _end(kept: Kept) -> None:
    """End one service; its keeper ends what is below it, and needs its patience for that."""
    if kept.process is None:
        return
    if kept.process.poll() is None:
        kept.process.terminate()
    try:
        kept.process.wait(kept.service.patience_s + 6.0)
    except subprocess.TimeoutExpired:
        kept.process.kill()
        kept.process.wait()
