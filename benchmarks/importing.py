"""Pictures a second, hashed and measured: python -m benchmarks.importing [--pictures 100000] [--turns 3]

Small pictures (JPEG and PNG crops of photographs, 64 to 200 pixels a side) are made in a temporary folder and measured
in turns by this project, by a plain loop over Pillow, and by datumaro where a Python that has it is named by
VISIONMILL_DATUMARO (a virtual environment's `bin/python`), since it needs other versions than this project.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data.pictures import measure_all

FOLDER = 10_000  # pictures a folder
# datumaro's reader of folders without labels, which looks into no folder below; it has no hashes of its own
DATUMARO = """
import hashlib, sys, time
from datumaro import Dataset
start = time.perf_counter()
count = 0
for folder in sys.argv[1:]:
    for item in Dataset.import_from(folder, "image_dir"):
        assert all(item.media.size)
        hashlib.sha256(item.media.bytes).hexdigest()
        count += 1
print(count / (time.perf_counter() - start))
"""


def make(folder: Path, first: int, count: int) -> None:
    """Crops of two photographs, numbered from `first`: four JPEG to one PNG."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        height, width = rng.integers(64, 201, 2)
        top, left = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
        picture = Image.fromarray(photographs[number % 2][top: top + height, left: left + width])
        if number % 5:
            picture.save(folder / f"{number:06}.jpg", quality=85)
        else:
            picture.save(folder / f"{number:06}.png", compress_level=1)


def ours(files: list[Path]) -> list[tuple[int, int, str]]:
    return [(found.width, found.height, found.digest) for found in measure_all(files)]


def pillow(files: list[Path]) -> list[tuple[int, int, str]]:
    """The plain loop; sizes as stored, orientation not looked at."""
    found = []
    for file in files:
        with Image.open(file) as picture:
            size = picture.size
        found.append((*size, hashlib.sha256(file.read_bytes()).hexdigest()))
    return found


def rate(function: Callable[[list[Path]], object], files: list[Path]) -> float:
    start = time.perf_counter()
    function(files)
    return len(files) / (time.perf_counter() - start)


def datumaro(folder: Path) -> float | None:
    """Pictures a second of datumaro in its own Python, or None."""
    python = os.environ.get("VISIONMILL_DATUMARO")
    if not python:
        return None
    command = [python, "-c", DATUMARO, *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"datumaro failed: {done.stderr.strip().splitlines()[-1]}")
        return None
    return float(done.stdout.split()[-1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pictures", type=int, default=100_000)
    arguments.add_argument("--turns", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            for first in range(0, given.pictures, FOLDER):
                pool.submit(make, root / f"{first // FOLDER:03}", first, min(FOLDER, given.pictures - first))
        files = sorted(root.rglob("*.*"))
        total = sum(file.stat().st_size for file in files)
        print(f"{len(files):,} pictures, {total / 1e6:.0f} MB; pictures/s:")
        assert ours(files) == pillow(files), "the two do not agree"
        compare(root, files, given.turns)


def compare(root: Path, files: list[Path], turns: int) -> None:
    best = {"ours": 0.0, "Pillow loop": 0.0, "datumaro": 0.0}
    for turn in range(turns):
        found = {"ours": rate(ours, files), "Pillow loop": rate(pillow, files), "datumaro": datumaro(root)}
        print(f"turn {turn + 1}: " + ", ".join(f"{name} {value:,.0f}" for name, value in found.items() if value))
        best = {name: max(value, found[name] or 0.0) for name, value in best.items()}
    for name in ("Pillow loop", "datumaro"):
        if best[name]:
            print(f"ours / {name}: {best['ours'] / best[name]:.2f} (asked: at least 2)")


if __name__ == "__main__":
    main()
