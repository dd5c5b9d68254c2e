"""Ctrl-C, SIGKILL and two at once: nothing is lost, nothing is half-written, nothing stays alive."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.processes import marked
from tests.flows.toy import STAGES, Toy


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    text = ""
    for got in process.stdout or ():
        text += got
        if wanted in got:
            return text
    raise AssertionError(f"{wanted!r} never came:\n{text}")


def processes_of(toy: Toy, word: str) -> list[int]:
    """PIDs of the flow's processes in this workspace whose command line has a word."""
    found = marked(str(toy.path))
    return [pid for pid in found if word in command_line(pid)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def all_gone(toy: Toy, within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while marked(str(toy.path)) and time.monotonic() < end:
        time.sleep(0.1)
    return marked(str(toy.path)) == []


def assert_whole(toy: Toy) -> None:
    """What is on disk is what the lock says, or not there at all; no temporary file stays."""
    said = toy.run("visionmill", "status").stdout
    assert "stages" in said and "by hand" not in said, said
    assert [p.name for p in toy.path.glob(".*.txt.*")] == []


def finish(toy: Toy) -> None:
    for file in toy.path.glob("slow-*"):
        file.unlink()
    done = toy.run("visionmill", "run")
    assert done.returncode == 0, done.stdout
    assert "registered: toy version 1" in done.stdout
    assert "all 7 up to date" in toy.run("visionmill", "status").stdout


def test_ctrl_c_on_a_terminal(toy: Toy) -> None:
    """With a Prefect server of its own, on a real terminal, while a stage runs."""
    (toy.path / "slow-ingest").write_text("60")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(toy.path)
        os.execve(sys.executable, toy.command("visionmill", "run"), toy.env)
    assert "ingest step 3" in read_terminal(terminal, "ingest step 3")
    assert processes_of(toy, "-m uvicorn") and processes_of(toy, " stage ")
    second = toy.run("visionmill", "run")
    assert second.returncode == 2 and f"another run is going on here (PID {pid}" in second.stdout
    start = time.monotonic()
    os.write(terminal, b"\x03")
    text = read_terminal(terminal, None)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert time.monotonic() - start < 60
    assert "interrupted" in text and "Traceback" not in text
    assert all_gone(toy)
    assert_whole(toy)


def read_terminal(terminal: int, wanted: str | None) -> str:
    text = ""
    while wanted is None or wanted not in text:
        try:
            got = os.read(terminal, 4096)
        except OSError:
            break
        if not got:
            break
        text += got.decode(errors="replace")
    return text


def test_a_killed_stage_runs_again(served_toy: Toy) -> None:
    (served_toy.path / "slow-split").write_text("60")
    process = served_toy.start("visionmill", "run", "--retries", "0")
    read_until(process, "split step 3")
    for pid in processes_of(served_toy, " stage "):
        os.kill(pid, signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "split failed" in text, text
    assert all_gone(served_toy)
    assert_whole(served_toy)
    served_toy.ran()
    finish(served_toy)
    assert served_toy.ran() == [s for s in STAGES if s != "ingest"]


@pytest.mark.slow
def test_a_second_run_can_wait(served_toy: Toy) -> None:
    (served_toy.path / "slow-report").write_text("2")
    first = served_toy.start("visionmill", "run")
    read_until(first, "report step 1")
    done = served_toy.run("visionmill", "run", "--wait")
    assert done.returncode == 0 and "waiting for the run" in done.stdout and "nothing to do" in done.stdout
    assert first.communicate(timeout=60) and first.returncode == 0
    assert served_toy.ran() == list(STAGES)


@pytest.mark.slow
def test_dvc_by_hand_is_named_when_it_is_at_work(toy: Toy) -> None:
    (toy.path / "slow-ingest").write_text("60")
    by_hand = toy.start("dvc", "repro")
    read_until(by_hand, "ingest step 2")
    try:
        done = toy.run("visionmill", "run")
        assert done.returncode == 2 and "another DVC command is at work here" in done.stdout, done.stdout
    finally:
        by_hand.kill()
        by_hand.communicate(timeout=20)
    end = time.monotonic() + 8
    while "ingest" in str(orphans(toy)) and time.monotonic() < end:
        time.sleep(0.1)
    assert orphans(toy) == [], "a stage outlived the dvc that started it"


def orphans(toy: Toy) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            here = (folder / "cwd").resolve() == toy.path.resolve()
            words = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if here and "visionmill stage" in words:
            found.append(words)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["supervisor", "-m flows.produce", "-m dvc", " stage "])
@pytest.mark.parametrize("stage", list(STAGES))
def test_sigkill_at_every_stage(toy: Toy, stage: str, victim: str) -> None:
    """With a Prefect server of its own, which must not outlive the run either."""
    (toy.path / f"slow-{stage}").write_text("60")
    process = toy.start("visionmill", "run", "--retries", "0")
    read_until(process, f"{stage} step 2")
    for pid in [process.pid] if victim == "supervisor" else processes_of(toy, victim):
        os.kill(pid, signal.SIGKILL)
    text, _ = process.communicate(timeout=90)
    assert process.returncode != 0, text
    assert all_gone(toy, 20)
    assert_whole(toy)
    finish(toy)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stage", list(STAGES))
def test_signals_at_every_stage(toy: Toy, stage: str, number: int) -> None:
    (toy.path / f"slow-{stage}").write_text("60")
    process = toy.start("visionmill", "run")
    read_until(process, f"{stage} step 2")
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in text, text
    assert all_gone(toy)
    assert_whole(toy)
    finish(toy)


@pytest.mark.slow
def test_a_dead_run_is_marked_as_crashed_by_the_next(served_toy: Toy) -> None:
    from prefect.client.orchestration import get_client

    (served_toy.path / "slow-ingest").write_text("60")
    process = served_toy.start("visionmill", "run")
    read_until(process, "ingest step 2")
    for pid in processes_of(served_toy, "-m flows.produce"):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    finish(served_toy)
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if any(str(served_toy.path) in tag for tag in run.tags)]
    assert sorted(run.state_name for run in runs) == ["Completed", "Crashed"]
