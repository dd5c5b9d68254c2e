"""Near-duplicates among a million vectors of 256: python -m benchmarks.neighbours [--vectors 1000000]

Unit vectors of 2,000 subjects, some with a thousand times as many pictures as others; 5 % of them have a planted copy,
half at a cosine of 0.9 to 0.99, half at 0.6 to 0.9. Printed: seconds, CPU seconds, memory, and the share of planted
pairs that are found. Asked: 15 minutes on two cores, 4 GB, recall 0.95 of the closer ones.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np

from tasks.data.near.search import candidates

WIDTH, SUBJECTS, PLANTED = 256, 2000, 0.05
# share of a vector's length that is its subject's: two of one subject have a cosine of about 0.5
SUBJECT = 0.7
LEAST = 0.5
BANDS = ((0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.99))
BLOCK = 1 << 16


def make(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors float32 [count, WIDTH] and the planted pairs among them: positions a < b, cosines."""
    rng = np.random.default_rng(seed)
    subjects = _unit(rng.standard_normal((SUBJECTS, WIDTH), dtype=np.float32))
    shares = 1 / np.arange(1, SUBJECTS + 1) ** 0.9
    vectors = np.empty((count, WIDTH), np.float32)
    for start in range(0, count, BLOCK):
        rows = vectors[start:start + BLOCK]
        which = rng.choice(SUBJECTS, len(rows), p=shares / shares.sum())
        noise = _unit(rng.standard_normal(rows.shape, dtype=np.float32))
        rows[:] = _unit(SUBJECT * subjects[which] + (1 - SUBJECT ** 2) ** 0.5 * noise)
    places = rng.permutation(count)[:2 * int(PLANTED * count)].reshape(-1, 2)
    first, second = places.min(1), places.max(1)
    close = np.arange(len(places)) % 2 == 0
    cosine = np.where(close, rng.uniform(0.9, 0.99, len(places)), rng.uniform(0.6, 0.9, len(places))).astype(np.float32)
    vectors[second] = _near(vectors[first], cosine, rng)
    return vectors, first, second, cosine


def _near(vectors: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    other = rng.standard_normal(vectors.shape, dtype=np.float32)
    other = _unit(other - (other * vectors).sum(1, keepdims=True) * vectors)
    return cosine[:, None] * vectors + np.sqrt(1 - cosine ** 2)[:, None] * other


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--vectors", type=int, default=1_000_000)
    arguments.add_argument("--check", action="store_true", help="end with 1 where a number misses what is asked")
    options = arguments.parse_args()
    vectors, a, b, cosine = make(options.vectors)
    start, cpu = time.perf_counter(), time.process_time()
    found = candidates(vectors, LEAST)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
    hit = np.isin(a * options.vectors + b, found.a * options.vectors + found.b)
    recall = {f"{low}-{high}": round(float(hit[(cosine >= low) & (cosine < high)].mean()), 4) for low, high in BANDS}
    close = found.cosine >= 0.88
    planted = np.isin(found.a[close] * options.vectors + found.b[close], a * options.vectors + b)
    print(json.dumps({"vectors": options.vectors, "cores": len(os.sched_getaffinity(0)), "seconds": round(seconds, 1),
                      "cpu_seconds": round(cpu, 1), "gigabytes": round(gigabytes, 2), "pairs": len(found.a),
                      "recall": recall, "precision_from_0.88": round(float(planted.mean()), 4)}))
    good = recall["0.9-0.99"] >= 0.95 and seconds <= 900 and gigabytes <= 4
    raise SystemExit(int(options.check and not good))


if __name__ == "__main__":
    main()
