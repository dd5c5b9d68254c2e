"""What a run costs when nothing changed: python -m benchmarks.noop FOLDER [--runs 5]

FOLDER is a workspace whose line is done and registered. Prints the median of whole processes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {"dvc repro": (["-m", "dvc", "repro", "-q"], 4.0), "visionmill run": (["-m", "flows.cli", "run"], 6.0)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--runs", type=int, default=5)
    options = arguments.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.runs):
        for name, (words, _asked) in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-P", *words], cwd=options.folder, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    for name, (_, asked) in COMMANDS.items():
        print(f"{name:15} median {statistics.median(seconds[name]):.2f} s, largest {max(seconds[name]):.2f} s "
              f"(asked: at most {asked:.0f} s)")


if __name__ == "__main__":
    main()
