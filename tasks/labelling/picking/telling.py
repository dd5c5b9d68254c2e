"""What `visionmill mine` says: the strategies, and what was picked and why."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from tasks.data.store.layout import Version
from tasks.labelling.picking.needs import WORDS
from tasks.labels.mining.registry import STRATEGIES, Mined

FIRST, WIDEST, REASON = 10, 36, 110


def strategies() -> Iterator[str]:
    """Each strategy: what it is, what it needs, its parameters with their defaults."""
    for name, one in STRATEGIES.items():
        yield f"{name:9} {one.about}"
        yield f"{'':9} needs: {', '.join(WORDS[need] for need in sorted(one.needs)) or 'nothing'}"
        for key, field in one.params.model_fields.items():
            yield f"{'':9} --set {key}={field.default if field.default != {} else '{}'}  {field.description}"
    yield "plugin:NAME  a miner from elsewhere; visionmill plugin list shows them"


def picked(version: Version, pool: Version, mined: Mined) -> Iterator[str]:
    """The first picks with their reasons, how many boxes of each class go to people, and what was left out."""
    table = mined.table
    total, drawn = table.num_rows, sum(table["random"].to_pylist())
    everyone = pq.read_metadata(pool.folder / "images.parquet").num_rows
    yield f"{version.ref}: {total:,} of the {everyone:,} pictures of {pool.ref}, by {table['strategy'][0]}" + (
        f", {drawn} of them drawn at random" if 0 < drawn < total else "")
    for note in mined.notes:
        yield f"  {note}"
    rows = table.slice(0, FIRST).to_pylist()
    named = pq.read_table(pool.folder / "images.parquet", columns=["image_id", "file"],
                          filters=[("image_id", "in", [row["image_id"] for row in rows])]).to_pydict()
    files = dict(zip(named["image_id"], named["file"], strict=True))
    names = [_short(files[row["image_id"]].partition("/")[2] or files[row["image_id"]]) for row in rows]
    width = max(map(len, names))
    yield f"{'rank':>4}  {'score':>8}  {'picture':{width}}  reason"
    for row, name in zip(rows, names, strict=True):
        score = "drawn" if row["score"] is None else f"{row['score']:.4g}"
        yield f"{row['rank'] + 1:>4}  {score:>8}  {name:{width}}  {_cut(row['reason'], REASON)}"
    if total > len(rows):
        yield f"{'':4}  … and {total - len(rows):,} more; the reasons are in images.attributes of {version.ref}"
    # the newest pre-labels were taken where no model was named
    by = str(version.meta.recipe["labels"]["by"])
    yield counted(version) + (f"; by {by.removeprefix('model:')}" if by.startswith("model:") else "")


def counted(version: Version) -> str:
    """Boxes of each class in a version, the most first."""
    counts: dict[int, int] = {}
    for number in pq.read_table(version.folder / "annotations.parquet", columns=["class_id"])["class_id"].to_pylist():
        counts[number] = counts.get(number, 0) + 1
    if not counts:
        return "boxes:   none; no model has looked, or it found nothing"
    ordered = sorted(counts, key=lambda number: (-counts[number], number))
    missing = [name for number, name in enumerate(version.meta.classes) if number not in counts]
    lacking = f"; none of {', '.join(missing[:10])}" if missing else ""
    return "boxes:   " + ", ".join(f"{version.meta.classes[k]} {counts[k]:,}" for k in ordered[:20]) + lacking


def _short(name: str) -> str:
    return name if len(name) <= WIDEST else f"…{name[1 - WIDEST:]}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most - 1]}…"
