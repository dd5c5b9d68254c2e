"""visionmill is killed while a plug-in runs: nothing of the plug-in goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.programs import describe, is_gone

ASKING = """\
import sys
from pathlib import Path
from tasks.plugins.labeller import open_plugin
from tasks.plugins.tiny import tiny
open_plugin(sys.argv[1], ["a"], Path(sys.argv[2])).ask([tiny(1, "a")[0].source])
"""
HERE = Path(__file__).parents[2]


def bearing(sign: str) -> list[int]:
    """Processes that have this in their environment or among their words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if sign.encode() in told and not is_gone(int(entry.name)):
                found.append(int(entry.name))
    return found


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("image", [False, True])
def test_nothing_goes_on_alone(tmp_path: Path, number: signal.Signals, image: bool) -> None:
    sign = f"PLUGIN_OF_THE_TEST={tmp_path}"
    name = describe(tmp_path, "children" if not image else "never", environment={"PLUGIN_OF_THE_TEST": str(tmp_path)})
    program = tmp_path / "conf/plugin/program.py"
    program.write_text(program.read_text().replace('if how == "changes"', "time.sleep(600)\nif how == 'changes'"))
    stopped = tmp_path / "stopped"
    code = ASKING
    if image:
        # an engine's container is not below the process: the command that ends it is run too
        code = code.replace("from tasks.plugins.tiny", "import tasks.plugins.running as running\n"
                            f"real, running.run = running.run, lambda *a, **k: real(*a, **k | "
                            f"{{'stop': ['touch', {str(stopped)!r}]}})\nfrom tasks.plugins.tiny")
    ours = subprocess.Popen([sys.executable, "-c", code, name, str(tmp_path)], cwd=HERE)
    try:
        wait(lambda: len(bearing(sign)) >= (1 if image else 3))
        # the one that sees to it is there as well
        wait(lambda: bool(keepers(ours.pid)))
        kept = keepers(ours.pid)
        ours.send_signal(number)
        assert ours.wait() == -number
        wait(lambda: not bearing(sign) and all(map(is_gone, kept)))
        assert stopped.exists() == image
    finally:
        ours.kill()
        ours.wait()


def keepers(parent: int) -> list[int]:
    """Children of a process that wait for its end."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            own = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if own == str(parent) and b"tasks.plugins.ending" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found
