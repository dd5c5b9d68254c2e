"""Operations on versions of a million pictures: python -m benchmarks.tables [--pictures 1000000] [--boxes 10]

Asked: each at most 20 s and 4 GB on two cores, for merge, filter, stratified sample, split and diff. Each runs in a
process of its own; the clock starts when it is imported. The tables are made first, in a temporary folder.

- merge: the base and an edited version of it; they share 99 % of their pictures, and two in a hundred conflict.
- filter: by columns of boxes, of pictures and by class; about half of the boxes stay.
- sample: half of the pictures, by stratum.
- split: nothing is given; one picture in twenty belongs to a group of ten, one in a hundred has a near-duplicate.
- diff: the base and the edited version; one picture in a hundred has moved boxes, another one other classes.
- everything moved (not asked): the base and a version in which each box moved by a pixel.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import split
from tasks.data.diff import diff
from tasks.data.ops import Making, Parent, exclude, filter, merge, relabel, sample
from tasks.data.sql import write_version
from tasks.data.table import Meta

CLASSES = 80
STEP = 1 << 15
SECONDS, GIGABYTES = 20, 4
ASKED = ("merge", "filter", "sample", "split", "diff")
IMAGES = """
    SELECT i - {first} AS image_id, printf('images/camera_%02d/frame_%09d.jpg', i // 50000, i) AS file,
        1280::INT AS width, 720::INT AS height, sha256(i::VARCHAR) AS digest,
        (100000 + hash(i) % 400000)::BIGINT AS bytes,
        1::TINYINT AS orientation, CASE WHEN i % 200 < 10 THEN printf('film_%d', i // 200) END AS "group"
    FROM range({begin}, {end}) t(i) ORDER BY i"""
# every hundredth picture of an edited version has moved boxes, the next one other classes
BOXES = """
    SELECT j - {first} * {boxes} AS annotation_id, i - {first} AS image_id,
        ((hash(j) + (i % 100 = 1 AND {edited})::INT) % {classes})::INT AS class_id,
        (hash(j, 1) % 100000) / 100.0 + (i % 100 = 0 AND {edited} OR {moved})::INT AS x,
        (hash(j, 2) % 50000) / 100.0 AS y,
        5 + (hash(j, 3) % 20000) / 100.0 AS w, 5 + (hash(j, 4) % 20000) / 100.0 AS h, w * h AS area,
        hash(j, 5) % 50 = 0 AS iscrowd, hash(j, 6) % 20 = 0 AS difficult, 'import' AS source,
        printf('annotations/instances_%04d.json#%d', j // 100000, j) AS row
    FROM (SELECT j, j // {boxes} AS i FROM range({begin} * {boxes}, {end} * {boxes}) t(j)) ORDER BY j"""


def make(folder: Path, pictures: int, boxes: int, first: int = 0, edited: bool = False, moved: bool = False) -> None:
    """A version of pictures `first`, `first + 1`, …; the same picture has the same content in each."""
    connection = duckdb.connect()
    connection.execute(f"SET threads={len(os.sched_getaffinity(0))}")

    def rows(query: str) -> Iterator[pa.Table]:
        for begin in range(first, first + pictures, STEP):
            end = min(begin + STEP, first + pictures)
            yield connection.sql(query.format(begin=begin, end=end, first=first, boxes=boxes, classes=CLASSES,
                                              edited=edited, moved=moved)).to_arrow_table()

    folder.mkdir()
    meta = Meta(name=folder.name, classes=[f"class {number:02}" for number in range(CLASSES)])
    write_version(folder, rows(IMAGES), rows(BOXES), meta)


def make_near(folder: Path, pictures: int) -> None:
    folder.mkdir()
    pairs = duckdb.sql("SELECT i AS a, i + 50 AS b, 0.97::FLOAT AS similarity"
                       f" FROM range(0, {pictures} - 50, 200) t(i)")
    pq.write_table(pairs.to_arrow_table(), folder / "pairs.parquet")
    groups = duckdb.sql(f"SELECT i AS image_id, CASE WHEN i % 200 = 50 THEN i - 50 ELSE i END AS near"
                        f" FROM range({pictures}) t(i)")
    pq.write_table(groups.to_arrow_table(), folder / "groups.parquet")


def operation(module: object, folder: Path, parents: tuple[str, ...], **values: object) -> None:
    """Apply one of `tasks.data.ops` to versions of the folder."""
    out = folder / f"made-{module.__name__.rpartition('.')[2]}"  # type: ignore[attr-defined]
    out.mkdir()
    module.apply(module.Params(**values), [Parent(f"{name}@1", folder / name, folder) for name in parents],  # type: ignore[attr-defined]
                 Making("made", out, folder, "made"))


RUNS: dict[str, Callable[[Path], object]] = {
    "merge": lambda at: operation(merge, at, ("base", "edited"), conflict="newest"),
    "filter": lambda at: operation(filter, at, ("base",), what="labels", expression="area > 10000 and not difficult "
                                   "and relative_area < 0.9 or class in ('class 07', 'class 08') and width > 640"),
    "sample": lambda at: operation(sample, at, ("base",), rate=0.5, stratify=True),
    "split": lambda at: split.run(split.Params(), data=at / "base", out=at / "made-split", near=at / "near"),
    "diff": lambda at: print(diff(at / "base", at / "edited").total),
    "everything moved": lambda at: print(diff(at / "base", at / "moved").total),
    "relabel": lambda at: operation(relabel, at, ("base",), map={"class 07": "class 08", "class 09": "-"}),
    "exclude": lambda at: operation(exclude, at, ("base", "tenth")),
}


def one(name: str, folder: Path) -> None:
    """Run one, and print its seconds, CPU seconds and peak memory in bytes as the last line."""
    start, busy = time.perf_counter(), time.process_time()
    RUNS[name](folder)
    print(json.dumps([time.perf_counter() - start, time.process_time() - busy,
                      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


def prepare(folder: Path, pictures: int, boxes: int) -> None:
    for name, first, changes in (("base", 0, {}), ("edited", pictures // 100, {"edited": True}),
                                 ("moved", 0, {"moved": True})):
        make(folder / name, pictures, boxes, first, **changes)
        print(f"{name}: {pictures:,} pictures, {pictures * boxes:,} boxes", flush=True)
    make(folder / "tenth", max(pictures // 10, 1), boxes)
    make_near(folder / "near", pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--boxes", type=int, default=10, help="of each picture")
    parser.add_argument("--only", choices=RUNS, action="append")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen.one, chosen.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary), chosen.pictures, chosen.boxes)
        print(f"\n{'':18}{'seconds':>9}{'CPU s':>9}{'peak GB':>9}   asked: at most {SECONDS} s, {GIGABYTES} GB")
        for name in chosen.only or RUNS:
            words = [sys.executable, "-m", "benchmarks.tables", "--one", name, "--folder", temporary]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            seconds, busy, peak = json.loads(done.stdout.splitlines()[-1])
            fits = seconds <= SECONDS and peak <= GIGABYTES * 1e9
            told = "" if name not in ASKED else "   fits" if fits else "   MORE THAN ASKED"
            print(f"{name:18}{seconds:9.1f}{busy:9.1f}{peak / 1e9:9.2f}{told}", flush=True)


if __name__ == "__main__":
    main()
