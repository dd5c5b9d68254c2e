"""A COCO file of a gigabyte, read as a stream: seconds, MB/s and memory. Seconds of a core count all of the process.

Asked: 1 GB in at most 1.5 GB of memory. Beside it: what `json.loads` takes for a tenth of that file, times ten.

Run:  nice python -m benchmarks.coco_stream --gb 1.0      two minutes and 1.1 GB of disk
      nice python -m benchmarks.coco_stream --gb 0.2
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BOXES = 7  # a picture, as in COCO 2017
POINTS = 30
CLASSES = 80
SHAPES = 1000


def shapes() -> list[str]:
    """Ends of annotations: box, area and a polygon of a wobbling circle, as COCO writes them."""
    draw, ends = random.Random(0), []
    for _ in range(SHAPES):
        x, y, w, h = draw.uniform(0, 500), draw.uniform(0, 400), draw.uniform(9, 140), draw.uniform(9, 80)
        points = [round(corner + draw.random() * side, 2) for _ in range(POINTS) for corner, side in ((x, w), (y, h))]
        ends.append(json.dumps({"category_id": draw.randint(1, CLASSES), "segmentation": [points], "iscrowd": 0,
                                "area": round(w * h * 0.7, 4), "bbox": [round(v, 2) for v in (x, y, w, h)]})[1:])
    return ends


def rows(pictures: int) -> Iterator[tuple[str, str]]:
    """Lists and rows of the file, in COCO's own order: categories stand last."""
    for number in range(pictures):
        yield "images", (f'{{"license": 3, "file_name": "{number:012}.jpg", "height": 480, "width": 640, '
                         f'"date_captured": "2013-11-14 17:02:52", "id": {number}}}')
    ends = shapes()
    for number in range(pictures * BOXES):
        yield "annotations", f'{{"id": {number + 1}, "image_id": {number // BOXES}, {ends[number % SHAPES]}'
    for number in range(CLASSES):
        yield "categories", f'{{"supercategory": "thing", "id": {number + 1}, "name": "thing {number}"}}'


def write(path: Path, size: float) -> int:
    """A COCO file of about `size` bytes; returns its number of pictures."""
    pictures = int(size / (140 + BOXES * (60 + sum(map(len, shapes())) / SHAPES)))
    last = ""
    with path.open("w", buffering=1 << 20) as file:
        for name, row in rows(pictures):
            file.write(f"{', ' if name == last else ('], ' if last else '{') + json.dumps(name) + ': ['}{row}")
            last = name
        file.write("]}")
    return pictures


def stream(root: Path) -> None:
    """Read the folder; prints pictures, boxes and numbers in polygons."""
    from tasks.data.formats import coco
    from tasks.data.formats.index import FolderIndex
    from tasks.data.formats.record import Picture, Reading

    index, into, counts = FolderIndex(root), Reading(), [0, 0, 0]
    before = peak()
    start = time.perf_counter()
    for source in coco.find(index):
        for item in coco.read(index, source, into):
            counts[0] += isinstance(item, Picture)
            counts[1] += len(item.boxes)
            counts[2] += sum(len(polygon) for box in item.boxes for polygon in box.polygons or ())
    assert not into.notes
    say(start, before, counts)


def whole(root: Path) -> None:
    path, before = next(root.glob("*.json")), peak()
    start = time.perf_counter()
    content = json.loads(path.read_bytes())
    counts = [len(content["images"]), len(content["annotations"]), 0]
    say(start, before, counts)


def say(start: float, before: int, counts: list[int]) -> None:
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time(), "peak": peak(),
                      "before": before, "counts": counts}))


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(how: str, root: Path, times: int = 1) -> None:
    """Run one way of reading in a process of its own and print a line of what it took, `times` as much."""
    ran = subprocess.run([sys.executable, "-m", "benchmarks.coco_stream", "--inside", how, str(root)], check=True,
                         capture_output=True, text=True)
    said, size = json.loads(ran.stdout), next(root.glob("*.json")).stat().st_size * times
    seconds, memory = said["seconds"] * times, said["before"] + (said["peak"] - said["before"]) * times
    scaled = f" (measured on a file of 1/{times})" if times > 1 else ""
    print(f"{how:7} {seconds:6.1f} s ({said['cpu'] * times:.0f} s of one core)  {size / seconds / 1e6:5.0f} MB/s  "
          f"peak {memory / 1e6:6.0f} MB  before reading {said['before'] / 1e6:4.0f} MB  "
          f"{said['counts']}{scaled}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gb", type=float, default=1.0)
    arguments.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.inside:
        return {"stream": stream, "whole": whole}[chosen.inside[0]](Path(chosen.inside[1]))
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("stream", chosen.gb), ("whole", chosen.gb / 10)):
            root = Path(folder) / name
            (root / "images").mkdir(parents=True)
            pictures = write(root / "instances_train.json", size * 1e9)
            for number in range(pictures if name == "stream" else 0):
                (root / "images" / f"{number:012}.jpg").touch()
            report(name, root, 1 if name == "stream" else 10)
    return None


if __name__ == "__main__":
    main()
