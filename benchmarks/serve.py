"""What `visionmill serve` costs beside the runtime itself: the same picture, decoded and looked at in one process, and
asked over HTTP. The two take turns, so that a busy machine slows both.

Asked: the first answer from zero within 6 s; per picture afterwards 1.2 x (decode + infer in process) + 3 ms.

Run:  python -m benchmarks.serve MODEL PICTURE [--requests 300] [--zeros 5] [--clients 8] [--seconds 10]

MODEL is what `visionmill serve` takes, PICTURE a JPEG or PNG. `--picture-size W H` scales the picture first.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

FIRST_S, FACTOR, MORE_MS = 6.0, 1.2, 3.0
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
ROUND = 10  # requests of one kind before the other has its turn


def main() -> None:
    options = _options()
    content = _picture(options.picture, options.picture_size)
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, "-m", "flows.cli", "serve", f"model={options.model}", "--port", "0",
                                   "--idle", "2"], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            _measure(Path(folder), server.pid, content, options)
        finally:
            server.terminate()
            server.wait()


def _measure(folder: Path, pid: int, content: bytes, options: argparse.Namespace) -> None:
    state = folder / ".visionmill/serve/server.json"
    while not state.is_file():
        time.sleep(0.1)
    time.sleep(0.5)
    ask = _Client(json.loads(state.read_text())["port"], content)
    told = json.loads(ask.get("/v1/models/model"))
    size = Image.open(io.BytesIO(content)).size
    print(f"{told['address']} ({told['runtime']}), a picture of {size[0]} x {size[1]}, {len(content):,} bytes, "
          f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print(f"memory at zero: {_mb(pid):.0f} MB, processes of models: {len(told['processes'])}")
    firsts = []
    for _ in range(options.zeros):
        firsts.append(ask.timed())
        while json.loads(ask.get("/v1/models/model"))["processes"]:
            time.sleep(0.2)
    print(f"first answer from zero: median {statistics.median(firsts):.2f} s, largest {max(firsts):.2f} s "
          f"(asked: at most {FIRST_S:.0f} s)")
    _latency(ask, Path(_path(folder, options.model)), content, options.requests)
    model = json.loads(ask.get("/v1/models/model"))["processes"]
    print(f"memory with the model: {_mb(pid):.0f} MB and {sum(map(_mb, model)):.0f} MB")
    _throughput(ask, options.clients, options.seconds)


def _latency(ask: _Client, model: Path, content: bytes, count: int) -> None:
    inside = _Inside(model, content)
    seen: dict[str, list[float]] = {"in process": [], "asked": []}
    for _ in range(3):
        ask.timed(), inside.timed()
    for _ in range(0, count, ROUND):
        for name, one in (("in process", inside.timed), ("asked", ask.timed)):
            seen[name] += [1000 * one() for _ in range(ROUND)]
    inside.end()
    for name, values in seen.items():
        print(f"{name:11} median {statistics.median(values):6.2f} ms, p95 "
              f"{sorted(values)[int(0.95 * len(values))]:6.2f} ms ({len(values)} pictures, one client)")
    own, asked = (statistics.median(seen[name]) for name in ("in process", "asked"))
    print(f"per picture: {asked:.2f} ms, {asked - own:.2f} ms more than in process "
          f"(asked: at most 1.2 x {own:.2f} + 3 = {FACTOR * own + MORE_MS:.2f} ms)")


def _throughput(ask: _Client, clients: int, seconds: float) -> None:
    end, counts = time.perf_counter() + seconds, [0] * clients

    def work(number: int) -> None:
        mine = _Client(ask.port, ask.content)
        while time.perf_counter() < end:
            mine.timed()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{clients} clients: {sum(counts) / seconds:.1f} pictures/s, least {min(counts)}, most {max(counts)} a "
          "client, none refused")


class _Client:
    """One connection that is kept."""

    def __init__(self, port: int, content: bytes) -> None:
        self.port, self.content = port, content
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str) -> bytes:
        self._line.request("GET", path)
        return self._line.getresponse().read()

    def timed(self) -> float:
        """Seconds of one request."""
        start = time.perf_counter()
        self._line.request("POST", "/v1/models/model/predict", self.content)
        answer = self._line.getresponse()
        body = answer.read()
        took = time.perf_counter() - start
        assert answer.status == 200, body
        return took


class _Inside:
    """Decoding and looking in a process of its own, timed there."""

    def __init__(self, model: Path, content: bytes) -> None:
        self._line, theirs = multiprocessing.Pipe()
        before = {name: os.environ.pop(name) for name in WAITING if name in os.environ}
        self._process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, model, content),
                                                                     daemon=True)
        self._process.start()
        os.environ.update(before)

    def timed(self) -> float:
        self._line.send(True)
        return float(self._line.recv())

    def end(self) -> None:
        self._line.send(False)
        self._process.join()


def _work(line: Connection, model: Path, content: bytes) -> None:
    from tasks.runtime.detector import open_detector
    from tasks.serving.decoding import decode, thresholds_of

    detector = open_detector(model)
    limits = thresholds_of(detector.thresholds or None, detector.classes)
    run: Callable[[], object] = lambda: detector.predict([decode(content)], limits)  # noqa: E731
    run()
    while line.recv():
        start = time.perf_counter()
        run()
        line.send(time.perf_counter() - start)


def _path(folder: Path, word: str) -> str:
    from tasks.serving.resolving import resolve

    return resolve([f"model={word}"], folder)[0].path


def _mb(pid: int) -> float:
    """Resident memory."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("VmRSS")).split()[1]) / 1000


def _picture(path: Path, size: list[int] | None) -> bytes:
    if size is None:
        return path.read_bytes()
    content = io.BytesIO()
    Image.open(path).convert("RGB").resize((size[0], size[1])).save(content, "JPEG", quality=90)
    return content.getvalue()


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=lambda word: str(Path(word).resolve()) if Path(word).exists() else word)
    arguments.add_argument("picture", type=Path)
    arguments.add_argument("--picture-size", type=int, nargs=2, metavar=("W", "H"))
    arguments.add_argument("--requests", type=int, default=300)
    arguments.add_argument("--zeros", type=int, default=5)
    arguments.add_argument("--clients", type=int, default=8)
    arguments.add_argument("--seconds", type=float, default=10.0)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
