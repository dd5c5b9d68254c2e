"""Parts of a test set that are measured by themselves: by size of box or of picture, tag, folder, column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import ParamsError, nearest

if TYPE_CHECKING:
    from tasks.data.table import Dataset

# square pixels, as COCO has them; both ends count
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
COLUMNS = ("group", "split", "shard", "orientation")
KINDS = ("box_size", "picture_size", "tags", "folder", *COLUMNS, "attributes.NAME")


@dataclass(frozen=True)
class Part:
    """Some of the pictures, or some of the boxes of all pictures.

    Attributes:
        name: `small`, `night`, a folder.
        images: ids of its pictures, int64; None: all.
        area: square pixels of the boxes that count; None: all.
    """

    name: str
    images: np.ndarray | None = None
    area: tuple[float, float] | None = None

    def of(self, dataset: Dataset) -> Dataset:
        """The rows of this part; with `area` all rows, since the others must be known to be set aside."""
        if self.images is None:
            return dataset
        images, boxes = (_rows(table, self.images) for table in (dataset.images, dataset.annotations))
        return replace(dataset, images=images, annotations=boxes)

    def found(self, detections: pa.Table) -> pa.Table:
        """The detections on its pictures."""
        return detections if self.images is None else _rows(detections, self.images)

    def size(self, dataset: Dataset) -> tuple[int, int]:
        """Pictures that show it, and boxes of it that are no crowd."""
        part = self.of(dataset)
        area, crowd = (part.annotations[name].to_numpy() for name in ("area", "iscrowd"))
        counted = ~crowd.astype(bool)
        if self.area is None:
            return part.images.num_rows, int(counted.sum())
        counted &= (area >= self.area[0]) & (area <= self.area[1])
        return len(np.unique(part.annotations["image_id"].to_numpy()[counted])), int(counted.sum())


def parts(dataset: Dataset, by: str, edges: Sequence[int] = (640, 1280)) -> list[Part]:
    """The parts of a dataset, those of most pictures first; of sizes, the smallest first.

    Args:
        by: one of `KINDS`.
        edges: longer sides in pixels that part `picture_size`.

    Raises:
        ParamsError: there is no such way to part it.
    """
    if by == "box_size":
        return [Part(name, area=area) for name, area in AREAS.items()]
    ids = dataset.images["image_id"].to_numpy()
    if by == "picture_size":
        return _by_size(dataset, ids, sorted(edges))
    groups: dict[str, list[int]] = {}
    for image, names in zip(ids.tolist(), _names(dataset.images, by), strict=True):
        for name in dict.fromkeys(names):
            groups.setdefault(name, []).append(image)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [Part(name, np.array(images, np.int64)) for name, images in ordered]


def _by_size(dataset: Dataset, ids: np.ndarray, edges: Sequence[int]) -> list[Part]:
    longer = np.maximum(*(dataset.images[name].to_numpy() for name in ("width", "height")))
    place = np.searchsorted(edges, longer)  # a side of exactly an edge belongs below it
    names = [f"up to {edges[0]} px", *(f"{a + 1} to {b} px" for a, b in zip(edges, edges[1:], strict=False)),
             f"above {edges[-1]} px"] if edges else ["all"]
    return [Part(name, ids[place == n]) for n, name in enumerate(names) if (place == n).any()]


def _names(images: pa.Table, by: str) -> Iterable[list[str]]:
    if by == "tags":
        return [list(tags or []) for tags in images["tags"].to_pylist()]
    if by == "folder":
        return [[str(PurePosixPath(file).parent)] for file in images["file"].to_pylist()]
    if by.startswith("attributes."):
        return [_attribute(text, by.partition(".")[2]) for text in images["attributes"].to_pylist()]
    if by not in COLUMNS:
        guess = nearest(by, KINDS)
        raise ParamsError(f"pictures cannot be parted by {by!r}", where="slices.by",
                          mend=f"did you mean {guess!r}?" if guess else f"there are: {', '.join(KINDS)}")
    return [[] if value is None else [str(value)] for value in images[by].to_pylist()]


def _attribute(text: str | None, name: str) -> list[str]:
    try:
        found: Any = json.loads(text or "{}")
    except ValueError:
        return []
    value = found.get(name) if isinstance(found, dict) else None
    return [] if value is None else [str(value)]


def _rows(table: pa.Table, ids: np.ndarray) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(ids, pa.int64())))
