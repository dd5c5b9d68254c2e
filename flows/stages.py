"""One DVC stage as one task: `dvc --wait-for-lock repro -s NAME`, its live log, its outcome and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows import line, processes
from flows.workspace import NOTES, leave_note, note
from tasks.base.errors import VisionmillError

RAN, RESTORED, UP_TO_DATE, SKIPPED, FAILED = "ran", "restored", "up to date", "skipped", "failed"
# what DVC says on each run and what tells a reader nothing here
NOISE = ("Running stage ", "> ", "Updating lock file", "Generating lock file", "To track the changes", "git add ",
         "To enable auto staging", "dvc config core.autostage", "Use `dvc push`", "ERROR: failed to reproduce")
# seconds on two cores, until a workspace has its own
TYPICAL = {"fetch": 20, "ingest": 5, "validate": 10, "checkout": 10, "neighbours": 10,
           "split": 5, "train": 420, "prune": 240, "export": 40,
           "evaluate": 40, "benchmark": 40, "report": 20, "code": 1, "register": 20}
BUSY_WAIT_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """How one stage ended; `reason` says why it was skipped or failed."""

    stage: str
    what: str
    seconds: float = 0.0
    reason: str = ""
    exit_code: int = 0

    def __str__(self) -> str:
        return f"{self.what}{f' ({self.reason})' if self.reason else ''}"


class StageFailed(VisionmillError):
    """A stage ended badly; its own exit code is passed on, which DVC loses."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"stage {outcome.stage} failed: {outcome.reason}")
        self.outcome, self.exit_code = outcome, outcome.exit_code

    @property
    def retriable(self) -> bool:
        """Whether another try may help: not for the user's input (2) and not for a gate (3)."""
        return self.exit_code not in (2, 3)


def run_stage(workspace: Path, stage: str, *, limit_s: float, say: Callable[[str], None],
              pull: bool = False) -> Outcome:
    """Bring one stage up to date.

    Raises:
        StageFailed: the stage failed, or was stopped at the time limit.
    """
    start = time.monotonic()
    if stage != line.CODE and not line.is_stale(workspace, stage):
        return Outcome(stage, UP_TO_DATE)
    receipt = workspace / NOTES / "receipts" / f"{stage.replace('/', '_')}.jsonl"
    receipt.parent.mkdir(parents=True, exist_ok=True)
    receipt.unlink(missing_ok=True)
    options = ["-s", "--pull"] if pull else ["-s"]
    command = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", "repro", *options, stage]
    code, tail = _without_neighbours(command, workspace, receipt, limit_s, say)
    seconds = time.monotonic() - start
    left = _read_receipt(receipt)
    if code:
        raise StageFailed(_failure(stage, code, left, tail, seconds))
    if left is None and not any(text.startswith("Running stage") for text in tail):
        return Outcome(stage, RESTORED, seconds)
    remember_duration(stage, seconds, workspace)
    return Outcome(stage, RAN, seconds)


def _without_neighbours(command: list[str], workspace: Path, receipt: Path, limit_s: float,
                        say: Callable[[str], None]) -> tuple[int, list[str]]:
    """Run DVC; while another DVC process works on the same files, wait and try again, within the limit."""
    end = time.monotonic() + limit_s
    while True:
        code, tail = stream(command, workspace, receipt, max(end - time.monotonic(), 1.0), say)
        if not code or receipt.exists() or not any("is busy" in text for text in tail):
            return code, tail
        say("another DVC command works on these files: waiting")
        time.sleep(BUSY_WAIT_S)


def stream(command: list[str], workspace: Path, receipt: Path, limit_s: float,
           say: Callable[[str], None]) -> tuple[int, list[str]]:
    """Run a command in a session of its own and pass its lines on; the whole session ends with this call.

    Returns:
        Exit code (-9 when it was killed) and the last lines.
    """
    env = {**os.environ, "VISIONMILL_RECEIPT": str(receipt.resolve()), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    process = subprocess.Popen(processes.ending_with_parent(command, signal.SIGTERM), cwd=workspace, env=env,
                               text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    late = threading.Event()
    timer = threading.Timer(limit_s, _stop, (process, late))
    timer.start()
    tail: list[str] = []
    try:
        for text in process.stdout or ():
            if text.strip():
                tail = [*tail[-39:], text.strip()]
                _pass_on(text, say)
        return process.wait(), [*tail, f"stopped after the time limit of {limit_s:.0f} s"] if late.is_set() else tail
    finally:
        timer.cancel()
        processes.end_group(process)


def _stop(process: subprocess.Popen, late: threading.Event) -> None:
    late.set()
    processes.end_group(process)


def _pass_on(text: str, say: Callable[[str], None]) -> None:
    if not text.strip().startswith(NOISE):
        say(text.rstrip())


def _failure(stage: str, code: int, left: dict[str, Any] | None, tail: list[str], seconds: float) -> Outcome:
    if left and left["exit_code"]:
        return Outcome(stage, FAILED, seconds, left["error"], left["exit_code"])
    errors = [text.removeprefix("ERROR: ") for text in tail if text.startswith("ERROR:") or "time limit" in text]
    return Outcome(stage, FAILED, seconds, errors[-1] if errors else f"dvc ended with {code}", 1)


def _read_receipt(path: Path) -> dict[str, Any] | None:
    if not path.exists() or not (lines := path.read_text(encoding="utf-8").splitlines()):
        return None
    return json.loads(lines[-1])


def remember_duration(stage: str, seconds: float, workspace: Path) -> None:
    """Keep how long a stage ran, for the time left of the next run."""
    leave_note("durations", {**(note("durations", workspace) or {}), stage: round(seconds, 1)}, workspace)


def expected_seconds(stages: list[str], workspace: Path) -> float:
    """How long these stages will take: as long as last time, else as usual."""
    known = note("durations", workspace) or {}
    return sum(known.get(stage, TYPICAL.get(stage.partition("@")[0], 10)) for stage in stages)


def as_note(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    return [asdict(outcome) for outcome in outcomes]
