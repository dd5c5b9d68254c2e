"""A lock file: one holds it, the next is told who, a killed one leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.base.errors import WorkspaceBusy
from tasks.base.locks import held_alone

HOLD = ("import sys, time; from pathlib import Path; from tasks.base.locks import held_alone\n"
        "with held_alone(Path(sys.argv[1]), lambda holder: SystemExit(f'busy: {holder}')):\n"
        "    print('held', flush=True); time.sleep(600)")


def busy(holder: str) -> WorkspaceBusy:
    return WorkspaceBusy(f"taken ({holder})")


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "deep/a.lock"
    with held_alone(path, busy):
        assert path.read_text().startswith(f"PID {os.getpid()}, since ")
        with pytest.raises(WorkspaceBusy, match=rf"taken \(PID {os.getpid()}, since \d\d:\d\d:\d\d\)"), \
                held_alone(path, busy):
            pytest.fail("held twice")
        assert path.read_text().startswith("PID ")
    assert path.read_text() == ""


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held_alone(tmp_path / "a.lock", busy):
        raise ZeroDivisionError
    assert (tmp_path / "a.lock").read_text() == ""
    with held_alone(tmp_path / "a.lock", busy):
        pass


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            with pytest.raises(WorkspaceBusy, match=f"PID {process.pid}"), held_alone(path, busy):
                pytest.fail("held twice")
        finally:
            process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_text().startswith(f"PID {process.pid}")
    with held_alone(path, busy):
        assert path.read_text().startswith(f"PID {os.getpid()}, ")
