"""Each round: what was picked and why, pictures with the boxes that people were given, what they had to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import VisionmillError
from tasks.base.progress import duration
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.improving.state import CONTROL, MAIN, State
from tasks.reporting import words
from tasks.reporting.charts import Bars, bar
from tasks.reporting.markup import Child, Markup, element, shorten
from tasks.reporting.pictures import Album, Mark, captioned, chips, gallery
from tasks.reporting.section import Section, charts, none

SHOWN = 6  # pictures of a round and arm
BUDGET = 4_000_000  # bytes of JPEG in the page
ARMS = {MAIN: "", CONTROL: "Control: "}


def rounds(state: State, store: Store) -> list[Section]:
    """A section a round, the newest first."""
    done = sorted({one.round for one in state.entries if one.step in ("mine", "prelabel", "fetch") and one.out},
                  reverse=True)
    each = max(BUDGET // max(len(done) * len(state.arms), 1), 100_000)
    return [Section(f"round-{number}", f"Round {number}", _lead(state, number),
                    [part for arm in state.arms for part in _arm(state, store, number, arm, each)])
            for number in done]


def _lead(state: State, number: int) -> str:
    said = [entry.said for step in ("mine", "train", "compare") if (entry := state.find(number, step)) and entry.said]
    head = state.out(number, "mine")
    first = f"{words.count(head['pictures'])} pictures by {head['strategy']}" if head else ""
    return "; ".join(part for part in (first, *said[1:]) if part) + "."


def _arm(state: State, store: Store, number: int, arm: str, budget: int) -> list[Child]:
    mined, fetched = state.out(number, "mine", arm), state.out(number, "fetch", arm)
    if not (mined or fetched or state.out(number, "prelabel", arm)):
        return []
    by = f"picked by {mined['strategy']}" if mined else "all that was left of the pool"
    notes = [element("li", note) for note in mined.get("notes", [])]
    shown = [] if mined.get("pictures") == 0 else [*_pictures(state, store, number, arm, budget), _needed(fetched)]
    return [element("h3", f"{ARMS[arm]}{by}"), element("ul", notes) if notes else None, *shown]


def _needed(fetched: dict[str, Any]) -> Child:
    if not fetched:
        return none("The labels of this round are not here yet.")
    names = [name for name, count in fetched["counts"].items() if count]
    spent = f", {duration(fetched['seconds'])} of people" if fetched["seconds"] is not None else ""
    note = (f"{words.count(fetched['clicks'])} clicks{spent}; drawing all {words.count(fetched['boxes'])} boxes from "
            f"nothing takes {words.count(fetched['from_nothing'])}")
    chart = bar(names, [Bars("boxes", [fetched["counts"][name] for name in names])], title="What each box needed",
                x="boxes", note=note, missing="No box was needed.")
    return charts(chart, two=True)


def _pictures(state: State, store: Store, number: int, arm: str, budget: int) -> list[Child]:
    told = state.out(number, "prelabel", arm).get("version") or state.out(number, "mine", arm).get("picked")
    if told is None:
        return []
    try:
        version = store.find(told["ref"])
        shots, names, colours = _shots(version, store, budget)
    except VisionmillError as error:
        return [none(f"The pictures cannot be shown: {error.what}.")]
    return [chips(names, colours) if names else None, gallery(shots)]


def _shots(version: Version, store: Store, budget: int) -> tuple[list[Markup], list[str], list[int]]:
    rows = _first(version.folder)
    dataset = read_dataset(version.folder)
    ids = [row["image_id"] for row in rows]
    images = dataset.images.filter(pc.is_in(dataset.images["image_id"], value_set=pa.array(ids, pa.int64())))
    boxes = dataset.annotations.filter(pc.is_in(dataset.annotations["image_id"], value_set=pa.array(ids, pa.int64())))
    album = Album(store.pictures, images, max(len(ids), 1), budget)
    classes = dataset.meta.classes
    marks: dict[int, list[Mark]] = {image: [] for image in ids}
    for box in boxes.to_pylist():
        score = f" {box['score']:.2f}" if box["score"] is not None else ""
        marks[box["image_id"]].append(Mark(
            [box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]], box["class_id"] % 8,
            f"{classes[box['class_id']]}{score}"))
    shots = [captioned(album.shot(row["file"], (row["width"], row["height"]), marks[row["image_id"]],
                                  label=Path(row["file"]).name),
                       shorten(Path(row["file"]).name, 40), _reason(row["mined"]),
                       words.plural(len(marks[row["image_id"]]), "box") + " to be looked at") for row in rows]
    return shots, classes[:8] if dataset.annotations.num_rows else [], list(range(min(len(classes), 8)))


def _first(folder: Path) -> list[dict[str, Any]]:
    columns = ["image_id", "file", "width", "height", "attributes"]
    rows = pq.read_table(folder / "images.parquet", columns=columns).to_pylist()
    for row in rows:
        row["mined"] = (json.loads(row["attributes"]) if row["attributes"] else {}).get("mined") or {}
    return sorted(rows, key=lambda row: row["mined"].get("rank", 1 << 30))[:SHOWN]


def _reason(mined: dict[str, Any]) -> str:
    return shorten(str(mined.get("reason") or "all of the pool were taken"), 220)
