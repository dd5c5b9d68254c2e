"""Memory and speed of `ingest` as pictures grow: python -m benchmarks.ingest [--pictures 10000 100000 1000000]

One small JPEG under many names (hard links), with COCO JSON and three boxes a picture. Each size is read in a process
of its own; the peak includes Python and the libraries, which the smallest size shows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PER_FOLDER = 1000
BOXES = 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    print(f"{'pictures':>10} {'seconds':>9} {'pictures/s':>11} {'peak MB':>9}")
    for count in arguments.parse_args().pictures:
        with tempfile.TemporaryDirectory() as folder:
            raw = make_folder(Path(folder) / "raw", count)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, peak = pool.apply(measure, (raw, Path(folder) / "out"))
        print(f"{count:>10,} {seconds:>9.1f} {count / seconds:>11,.0f} {peak:>9,.0f}", flush=True)


def make_folder(raw: Path, count: int) -> Path:
    """`count` names of a few pictures of 64 x 48, and their boxes."""
    raw.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for number in range(count):
        folder = raw / f"images/{number // PER_FOLDER:05d}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
            Image.fromarray(np.roll(noise, number)).save(folder / "0.jpg")
        else:
            os.link(folder / "0.jpg", folder / f"{number % PER_FOLDER}.jpg")
    with (raw / "annotations.json").open("w") as file:
        names = (f"{i // PER_FOLDER:05d}/{i % PER_FOLDER}.jpg" for i in range(count))
        rows = (json.dumps({"id": i, "file_name": name, "width": 64, "height": 48}) for i, name in enumerate(names))
        file.write('{"categories": [{"id": 1, "name": "thing"}], "images": [')
        file.writelines(f"{',' if i else ''}{row}\n" for i, row in enumerate(rows))
        file.write('], "annotations": [')
        file.writelines(f'{"," if i else ""}{{"id": {i}, "image_id": {i // BOXES}, "category_id": 1, "iscrowd": 0, '
                        f'"bbox": [{i % 30}, {i % 20}, 20.5, 10.25]}}\n' for i in range(count * BOXES))
        file.write("]}")
    return raw


def measure(raw: Path, out: Path) -> tuple[float, float]:
    """Seconds, and the largest memory of this process in MB."""
    from tasks import ingest

    start = time.perf_counter()
    ingest.run(ingest.Params(), raw=raw, out=out)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
