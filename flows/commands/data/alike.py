"""`data leaks` and `data dedup`: pictures that are the same, or nearly."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.data.help import Named, named, parser

if TYPE_CHECKING:
    from tasks.data.near.leaks import Pair

EXAMPLES = {
    "leaks": "  visionmill data leaks data/split\n  visionmill data leaks cells@2 --json",
    "dedup": "  visionmill data dedup cells                   shows the pairs\n"
             "  visionmill data dedup cells --out cells --keep largest",
}


def main(verb: str, words: list[str]) -> int:
    """Tell what is alike; `dedup --out` is an operation like any other."""
    if verb == "dedup" and any(word == "--out" or word.startswith("--out=") for word in words):
        from flows.commands.data import operate

        return operate.main(verb, words)
    arguments = parser(verb, EXAMPLES[verb])
    arguments.add_argument("dataset", metavar="NAME[@N]|FOLDER")
    arguments.add_argument("--threshold", type=float, help="similarity from which two pictures count as one, 0.5 to 1")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--out", metavar="NAME", help="dedup: write a version without the copies")
    options = arguments.parse_args(words)
    found = named(options.dataset)
    with tempfile.TemporaryDirectory(prefix="visionmill-") as room:
        near = find_neighbours(found, Path(room), options.threshold)
        return _leaks(found, near, options.json) if verb == "leaks" else _pairs(found, near, options.json)


def find_neighbours(found: Named, room: Path, threshold: float | None = None) -> Path:
    """What the stage `neighbours` finds in a dataset, in a folder below `room`."""
    from tasks import neighbours
    from tasks.base.params import check

    params = check(neighbours.Params, {"threshold": threshold}, "--threshold")
    neighbours.run(params, raw=found.pictures, data=found.folder, out=room / "near")
    return room / "near"


def _leaks(found: Named, near: Path, as_json: bool) -> int:
    from tasks.data.near.leaks import leaks

    return _tell(leaks(found.folder, near), as_json, "{} pairs of pictures stand in two splits",
                 "no picture stands in two splits")


def _pairs(found: Named, near: Path, as_json: bool) -> int:
    from tasks.data.near.leaks import alike

    return _tell(alike(found.folder, near), as_json,
                 f"{{}} pairs; visionmill data dedup {found.ref} --out NAME writes a version without the copies",
                 "no two pictures are alike")


def _tell(rows: Sequence[Pair], as_json: bool, some: str, none: str) -> int:
    if as_json:
        print(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        print(row)
    print(some.format(len(rows)) if rows else none)
    return 0
