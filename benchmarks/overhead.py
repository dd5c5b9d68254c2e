"""What the flow costs over plain `dvc repro`: the whole line, from nothing, in both ways.

    python benchmarks/overhead.py                       the toy line of the tests, six stages of a fraction of a second
    python benchmarks/overhead.py --workspace ~/cells   a copy of a real one; it runs its line three times

Asked for: at most 30 s more for the whole demo. Embedded, a run starts a Prefect server of its own; with
`visionmill up` it uses the one that is there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASKED_S = 30.0


def main() -> None:
    """Print seconds of each way, and the difference beside what is asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--workspace", type=Path, help="a finished workspace; the toy line without it")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = measure(Path(folder) / "plain", options.workspace, [["dvc", "repro"], ["visionmill", "register"]])
        embedded = measure(Path(folder) / "embedded", options.workspace, [["visionmill", "run"]])
        served = measure(Path(folder) / "served", options.workspace, [["visionmill", "run"]], up=True)
    print(f"{'dvc repro; visionmill register':34} {plain:7.1f} s")
    for name, seconds in (("visionmill run, embedded", embedded), ("visionmill run, with visionmill up", served)):
        print(f"{name:34} {seconds:7.1f} s   {seconds - plain:+6.1f} s   asked: at most +{ASKED_S:.0f} s")


def measure(folder: Path, original: Path | None, commands: list[list[str]], *, up: bool = False) -> float:
    """Seconds of the commands in a fresh workspace."""
    env = prepare(folder, original)
    if up:
        call(["visionmill", "up", "--detach"], folder, env)
    try:
        start = time.perf_counter()
        for command in commands:
            call(command, folder, env)
        return time.perf_counter() - start
    finally:
        if up:
            call(["visionmill", "down"], folder, env)


def prepare(folder: Path, original: Path | None) -> dict[str, str]:
    """A toy workspace with its installation, or a copy that has to run everything; the environment to run in."""
    env = {**os.environ, "PREFECT_HOME": str(folder.with_name(f"{folder.name}-prefect")),
           "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        env.pop(name, None)
    if original:
        shutil.copytree(original, folder, symlinks=True)
        for name in (".visionmill", ".dvc/cache", "dvc.lock"):
            path = folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return env
    sys.path.insert(0, str(ROOT))
    from tests.flows.served import make_served_installation
    from tests.flows.toy import make_workspace

    make_workspace(folder)
    return {**env, "PYTHONPATH": str(make_served_installation(folder.with_name(f"{folder.name}-installed")))}


def call(command: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run one command; what it says is shown if it fails."""
    programs = {"visionmill": ["-P", "-m", "flows.cli"], "dvc": ["-P", "-m", "dvc"]}
    done = subprocess.run([sys.executable, *programs[command[0]], *command[1:]], cwd=folder, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


if __name__ == "__main__":
    main()
