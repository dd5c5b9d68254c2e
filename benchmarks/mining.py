"""Time and memory of mining a million pictures: python -m benchmarks.mining [--pictures 1000000] [--budget 1000]

Eight detections a picture in a Parquet file, vectors of 256 (float16) in a file that is mapped, near-duplicates known
for 5 %, 5,000 labelled pictures. Each strategy runs in a process of its own. Asked: at most 15 minutes and 4 GB each.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.labels.mining.pool import Failures, Known, Pool, parquet_batches
from tasks.labels.mining.registry import STRATEGIES, mine

WIDTH, BOXES, CLASSES, LABELLED, SUBJECTS, FAILED = 256, 8, 20, 5000, 2000, 200
MINUTES, GIGABYTES = 15, 4
BLOCK = 1 << 16


def make(folder: Path, count: int) -> None:
    """The files of a pool, written a part at a time."""
    rng = np.random.default_rng(0)
    subjects = rng.standard_normal((SUBJECTS, WIDTH), dtype=np.float32)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (count, WIDTH))
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        vectors[start:start + size] = subjects[rng.integers(0, SUBJECTS, size)] + rng.standard_normal(
            (size, WIDTH), dtype=np.float32)
    vectors.flush()
    near = np.arange(count)
    copies = rng.permutation(count)[:count // 20]
    near[copies] = np.sort(copies)[np.searchsorted(np.sort(copies), copies) // 2 * 2]
    np.savez(folder / "columns.npz", near=near, aldd=rng.random((count, CLASSES), dtype=np.float32),
             consistency=rng.random(count, dtype=np.float32))
    np.savez(folder / "known.npz", vectors=subjects[rng.integers(0, SUBJECTS, LABELLED)] + rng.standard_normal(
        (LABELLED, WIDTH), dtype=np.float32), failed=subjects[:FAILED], counts=rng.integers(10, 1000, CLASSES))
    writer = None
    for start in range(0, count, BLOCK):
        table = _detections(rng, start, min(BLOCK, count - start))
        writer = writer or pq.ParquetWriter(folder / "found.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _detections(rng: np.random.Generator, start: int, pictures: int) -> pa.Table:
    image = np.repeat(np.arange(start, start + pictures), rng.poisson(BOXES, pictures))
    floats = {name: rng.random(len(image), dtype=np.float32) for name in ("x", "y", "w", "h", "flip", "margin")}
    score = rng.beta(0.5, 1.5, len(image)).astype(np.float32)
    return pa.table({"image_id": image, "class_id": rng.integers(0, CLASSES, len(image)).astype(np.int32), **floats,
                     "score": score})


def run(folder: Path, name: str, budget: int) -> None:
    """Mine once; a line with seconds, the most memory, and the first reason."""
    columns, known = np.load(folder / "columns.npz"), np.load(folder / "known.npz")
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    names, boxes = [f"class {k}" for k in range(CLASSES)], parquet_batches(folder / "found.parquet")
    pool = Pool(np.arange(len(vectors)), names, boxes, vectors, columns["near"],
                {key: columns[key] for key in ("aldd", "consistency")})
    failed = Failures(known["failed"], np.linspace(1, 0.1, FAILED), [f"picture {i}" for i in range(FAILED)])
    start = time.perf_counter()
    mined = mine(pool, name, budget, Known(vectors=known["vectors"], counts=known["counts"], failures=failed))
    seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    verdict = "met" if seconds <= 60 * MINUTES and memory <= GIGABYTES else "MISSED"
    print(f"{name:9} {seconds:7.1f} s (asked {60 * MINUTES})  {memory:5.2f} GB (asked {GIGABYTES})  {verdict}  "
          f"{mined.table.num_rows:,} picked, first: {mined.table['reason'][0]}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pictures", type=int, default=1_000_000)
    arguments.add_argument("--budget", type=int, default=1000)
    arguments.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    arguments.add_argument("--folder", type=Path, help="where the pool's files are kept; a temporary one when left out")
    arguments.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.one:
        run(options.folder, options.strategies[0], options.budget)
        return
    with tempfile.TemporaryDirectory(prefix="visionmill-") as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "found.parquet").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder, options.pictures)
        print(f"{options.pictures:,} pictures, about {BOXES} boxes each, {LABELLED:,} labelled, "
              f"budget {options.budget:,}", flush=True)
        for name in options.strategies:
            subprocess.run([sys.executable, "-m", "benchmarks.mining", "--one", "--folder", str(folder), "--budget",
                            str(options.budget), "--strategies", name], check=True)


if __name__ == "__main__":
    main()
