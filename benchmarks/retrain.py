"""What a retraining costs when nothing is new: python -m benchmarks.retrain FOLDER [--runs 3]

FOLDER is a workspace whose line is done and registered. Printed: seconds of `visionmill retrain` with a Prefect server
that is up, and with the embedded one that each run starts, and whether any stage ran. Asked: 20 s with the server up,
and no training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from flows.environment import quiet
from flows.workspace import note

ASKED_S = 20.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--check", action="store_true", help="end with 1 where it takes longer, or anything ran")
    options = arguments.parse_args()
    quiet()
    folder = options.folder.resolve()
    before = (folder / "dvc.lock").read_bytes()
    embedded = timed(folder, {}, 1)
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        served = timed(folder, {"PREFECT_API_URL": str(PREFECT_API_URL.value())}, options.runs)
    trained = (folder / "dvc.lock").read_bytes() != before
    slow = statistics.median(served) > ASKED_S
    print(f"server up: median {statistics.median(served):.1f} s, largest {max(served):.1f} s (asked: at most "
          f"{ASKED_S:.0f} s){' MISSED' if slow else ''}")
    print(f"embedded server: {embedded[0]:.1f} s (nothing asked)")
    print(f"stages that ran: {'some: dvc.lock changed' if trained else 'none'}")
    sys.exit(int(options.check and (slow or trained)))


def timed(folder: Path, more: Mapping[str, str], runs: int) -> list[float]:
    """Seconds of whole processes."""
    env = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | dict(more)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-P", "-m", "flows.cli", "retrain"], cwd=folder, env=env,
                              capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        outcome = (note("last_retrain", folder) or {}).get("outcome")
        if done.returncode or outcome != "nothing new":
            sys.exit(f"this was no retraining with nothing new: {outcome}\n{done.stdout}{done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
