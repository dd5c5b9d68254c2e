"""The checks of `validate`: of pictures, of boxes, of classes. Each yields findings and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.progress import Progress
from tasks.data.findings import Finding
from tasks.data.formats.record import place_of
from tasks.data.pictures import find_flaws, locate
from tasks.data.table import SPLIT_ORDER, Dataset

# decimals of a published COCO box reach this far over the edge by rounding alone
ROUNDING = 0.01
# pixels; thinner ones have no area left as 32-bit corners
MIN_SIDE = 0.01
SIDES = ("x", "y", "w", "h")


def from_notes(dataset: Dataset, notes: list[dict[str, Any]]) -> Iterator[Finding]:
    """What `ingest` saw and could not put into the table.

    A `leaked` note is about a copy that never entered it; its picture has the split that counts first, and stays.
    """
    ids = dict(zip(dataset.images["file"].to_pylist(), dataset.images["image_id"].to_pylist(), strict=True))
    for note in notes:
        image_id = None if note["kind"] == "leaked" else ids.get(note["picture"])
        yield Finding(note["kind"], note["file"], note["row"], note["detail"], image_id)


def check_pictures(dataset: Dataset, raw: Path) -> Iterator[Finding]:
    """Decodes every picture: zero-size, unreadable, too large, truncated; and rotated ones, by their EXIF data."""
    files = dataset.images["file"].to_pylist()
    progress = Progress(len(files), "decoded")
    turned = dataset.images["orientation"].to_pylist()
    for image_id, flaw in enumerate(find_flaws(locate(raw, dataset.images))):
        progress.step()
        if flaw:
            yield Finding(flaw[0], files[image_id], "", flaw[1], image_id)
        elif turned[image_id] != 1:
            detail = f"EXIF orientation {turned[image_id]}: boxes are taken as drawn on the picture as displayed"
            yield Finding("rotated", files[image_id], "", detail, image_id)


def check_copies(dataset: Dataset) -> Iterator[Finding]:
    """Equal pictures, by digest: `leaked` under different splits, else `duplicate`. Test's copy counts as the first."""
    images = dataset.images.filter(pc.greater(dataset.images["bytes"], 0))
    counted = images.group_by("digest").aggregate([("image_id", "count")])
    several = counted.filter(pc.greater(counted["image_id_count"], 1))["digest"].combine_chunks()
    rows = images.filter(pc.is_in(images["digest"], value_set=several)).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (SPLIT_ORDER[row["split"]], row["image_id"])):
        groups.setdefault(row["digest"], []).append(row)
    for first, *copies in groups.values():
        for copy in copies:
            kind = "leaked" if copy["split"] != first["split"] and copy["split"] and first["split"] else "duplicate"
            detail = f"the same bytes as {first['file']}" + (
                f" ({copy['split']}, {first['split']})" if kind == "leaked" else "")
            yield Finding(kind, copy["file"], "", detail, copy["image_id"])


def check_empty(dataset: Dataset, mentioned: set[int]) -> Iterator[Finding]:
    """Annotated pictures without any box: backgrounds, or forgotten. `mentioned` are those already found otherwise."""
    owners = pc.unique(dataset.annotations["image_id"])
    empty = dataset.images.filter(pc.invert(pc.is_in(dataset.images["image_id"], value_set=owners)))
    for image_id, file in zip(empty["image_id"].to_pylist(), empty["file"].to_pylist(), strict=True):
        if image_id not in mentioned:
            yield Finding("no_boxes", file, "", "annotated, and without any box", image_id)


def check_boxes(dataset: Dataset) -> Iterator[Finding]:
    """Boxes that are not numbers, degenerate (a side under `MIN_SIDE`), outside their picture, or `overhang` it."""
    owner = dataset.annotations["image_id"].to_numpy()
    x, y, w, h = (dataset.annotations[name].to_numpy() for name in SIDES)
    width, height = (dataset.images[name].to_numpy()[owner] for name in ("width", "height"))
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(w) & np.isfinite(h)
    thin = finite & ((w < MIN_SIDE) | (h < MIN_SIDE))
    sound = finite & ~thin & (width > 0)
    seen_w, seen_h = (np.minimum(a + s, e) - np.maximum(a, 0) for a, s, e in ((x, w, width), (y, h, height)))
    out = sound & ((seen_w < MIN_SIDE) | (seen_h < MIN_SIDE))
    over = sound & ~out & ((x < -ROUNDING) | (y < -ROUNDING) | (x + w > width + ROUNDING) | (y + h > height + ROUNDING))
    for kind, mask in (("not_a_number", ~finite), ("degenerate", thin), ("outside", out), ("overhang", over)):
        yield from _box_findings(dataset, kind, np.flatnonzero(mask))


def check_masks(dataset: Dataset) -> Iterator[Finding]:
    """Masks that cannot be drawn: a polygon of fewer than three corners, run lengths of another size than the
    picture."""
    table, images = dataset.annotations, dataset.images
    polygons = table.filter(pc.is_valid(table["polygons"])).select(["annotation_id", "polygons"]).to_pydict()
    bad = {annotation: "a polygon needs three corners or more"
           for annotation, rings in zip(*polygons.values(), strict=True)
           if any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in rings)}
    runs = table.filter(pc.is_valid(table["rle"])).select(["annotation_id", "image_id", "rle"]).to_pydict()
    for annotation, image, rle in zip(*runs.values(), strict=True):
        width, height = images["width"][image].as_py(), images["height"][image].as_py()
        if width and (rle["w"], rle["h"]) != (width, height):
            bad[annotation] = f"run lengths for {rle['w']} x {rle['h']}, the picture has {width} x {height}"
    for row in table.take(pa.array(sorted(bad), pa.int64())).select(["annotation_id", "image_id", "row"]).to_pylist():
        file, place = place_of(row["row"])
        yield Finding("bad_mask", file, place, bad[row["annotation_id"]], row["image_id"], row["annotation_id"])


def check_balance(dataset: Dataset, ratio: float) -> Iterator[Finding]:
    """Classes without a box, or with fewer than the largest class's count divided by `ratio`."""
    labels = dataset.annotations["class_id"].to_numpy()
    counts = np.bincount(labels, minlength=len(dataset.meta.classes))
    for class_id, count in enumerate(counts):
        if count * ratio < counts.max(initial=0) or count == 0:
            largest = dataset.meta.classes[int(counts.argmax())]
            detail = f"{count} boxes; the largest class, {largest}, has {counts.max()}"
            yield Finding("imbalance", "dataset.json", dataset.meta.classes[class_id], detail)


def _box_findings(dataset: Dataset, kind: str, rows: np.ndarray) -> Iterator[Finding]:
    some = dataset.annotations.take(pa.array(rows))
    for row in some.select(["annotation_id", "image_id", "class_id", "row", *SIDES]).to_pylist():
        file, place = place_of(row["row"])
        box = ", ".join(f"{name} {row[name]:g}" for name in SIDES)
        width, height = (dataset.images[name][row["image_id"]].as_py() for name in ("width", "height"))
        detail = f"{dataset.meta.classes[row['class_id']]}: {box} in {width} x {height}"
        yield Finding(kind, file, place, detail, row["image_id"], row["annotation_id"])
