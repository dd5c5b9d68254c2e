"""Pre-labelling against the bare runtime: python -m benchmarks.prelabel [--model NAME] [--pictures N] [--rounds N]

A pool of N pictures, made of those of datasets/coco_tiny in the folder that VISIONMILL_MIRROR names, no two of the same
bytes, is pre-labelled as `visionmill label auto` does it: by one process of one thread, and by two. Beside it a bare
loop: each picture is read and given to the detector, one thread, and its mirror image too where that is looked at.
All of them in turns, the best of some rounds. Two processes need a second or so to start, and that counts: take enough
pictures.
Asked: ≥ 0.9 of the bare loop's pictures/s; two processes ≥ 1.7 times one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.data.classes import ClassList
from tasks.data.pictures import locate, read_picture
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.labelling.prelabelling import Settings, prelabel
from tasks.labelling.teachers import FLOOR, open_teacher
from tasks.labelling.teachers.detecting import DetectingTeacher

BARE, TWICE = 0.9, 1.7


def make_pool(folder: Path, pictures: int) -> tuple[Store, Version]:
    """The pictures of coco_tiny again and again, each time with one more byte behind their end."""
    raw = Path(os.environ["VISIONMILL_MIRROR"]) / "datasets/coco_tiny/val2017"
    known = sorted(raw.glob("*.jpg"))
    (folder / "raw/unlabelled").mkdir(parents=True)
    for at in range(pictures):
        content = known[at % len(known)].read_bytes()
        (folder / f"raw/unlabelled/{at:05}.jpg").write_bytes(content + b"\0" * (at // len(known)))
    store = Store(folder / "store")
    return store, bring_in(store, Importing(folder / "raw", "pool", "here", ClassList([]), format="pictures"),
                           "me").version


def bare(teacher: DetectingTeacher, pool: Version, store: Store, flip: bool) -> None:
    """What the runtime alone does: read, look, and look at the mirror image."""
    for place in locate(store.pictures, read_dataset(pool.folder).images):
        picture = read_picture(place)
        teacher.detector.predict([picture], FLOOR)
        if flip:
            teacher.detector.predict([np.ascontiguousarray(picture[:, ::-1])], FLOOR)


def ours(teacher: DetectingTeacher, pool: Version, store: Store, flip: bool, folder: Path, processes: int) -> None:
    """Nothing is there from before: not even what the pictures look like."""
    shutil.rmtree(folder, ignore_errors=True)
    prelabel(pool, store, teacher, Settings(flip=flip), folder, processes)


def best_of(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Seconds of each, in turns, the best of some rounds."""
    took = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            took[name] = min(took[name], time.perf_counter() - start)
    return took


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="picodet-s-416")
    arguments.add_argument("--pictures", type=int, default=640)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, pool = make_pool(folder, options.pictures)
        teacher = open_teacher(options.model, [], workspace=folder, threads=1)
        assert isinstance(teacher, DetectingTeacher)
        for flip in (True, False):
            ways: dict[str, Callable[[], None]] = {
                "bare loop": lambda flip=flip: bare(teacher, pool, store, flip),
                "1 process": lambda flip=flip: ours(teacher, pool, store, flip, folder / "one", 1),
                "2 processes": lambda flip=flip: ours(teacher, pool, store, flip, folder / "two", 2)}
            took = best_of(ways, options.rounds)
            speed = {way: options.pictures / seconds for way, seconds in took.items()}
            share, more = speed["1 process"] / speed["bare loop"], speed["2 processes"] / speed["1 process"]
            print(f"{teacher.name}, {options.pictures} pictures, {'with' if flip else 'without'} the mirror: "
                  + ", ".join(f"{way} {value:.1f} pictures/s" for way, value in speed.items()))
            print(f"  {share:.2f} of the bare loop (asked {BARE}: {'met' if share >= BARE else 'MISSED'}); "
                  f"two processes {more:.2f} times one (asked {TWICE}: {'met' if more >= TWICE else 'MISSED'})",
                  flush=True)


if __name__ == "__main__":
    main()
