"""Where two detectors say different things: their detections matched one to one, picture by picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.metrics.detections import Boxes, detected_boxes
from tasks.metrics.matching import Pairs, claim, overlaps, ranks

if TYPE_CHECKING:
    from tasks.data.table import Dataset

IOU = 0.5
Kind = Literal["same", "alone", "other"]


class Seen(NamedTuple):
    """A detection: x1, y1, x2, y2 in pixels, class id, score, and whether the other side has the same (`same`), none
    there (`alone`), or one of another class (`other`)."""

    box: tuple[float, float, float, float]
    class_id: int
    score: float
    kind: Kind


@dataclass(frozen=True)
class Differing:
    """A picture on which they differ: how many each found alone, how many both found with another class, and all
    detections of either side."""

    image_id: int
    only_a: int
    only_b: int
    other_class: int
    a: list[Seen]
    b: list[Seen]


@dataclass(frozen=True)
class Disagreement:
    """Totals over all pictures, and the pictures on which they differ most, the worst first."""

    shown_a: int
    shown_b: int
    only_a: int
    only_b: int
    other_class: int
    pictures: int
    worst: list[Differing]


def disagreement(dataset: Dataset, a: pa.Table, b: pa.Table, threshold: float = 0.5, most: int = 12) -> Disagreement:
    """Compare what two detectors show.

    Boxes that overlap by at least 0.5 are partners, each at most once: of the same class first, highest score first,
    then what is left whatever its class.

    Args:
        threshold: detections below this score are not shown by either, 0..1.
        most: pictures in `worst`.

    Raises:
        DataError: a detection of an unknown picture or class, or one that is not finite.
    """
    sides = [detected_boxes(dataset, table.filter(pc.greater_equal(table["score"], threshold))) for table in (a, b)]
    kinds = [np.full(len(side), "alone", "<U5") for side in sides]
    for kind, same_class in (("same", True), ("other", False)):
        pairs = _free(overlaps(sides[0], sides[1], IOU, same_class=same_class), kinds)
        partners = claim(pairs, ranks(sides[1]), len(sides[0]))
        kinds[0][partners.truth], kinds[1][partners.found] = kind, kind
    ids = np.sort(dataset.images["image_id"].to_numpy())
    counts = np.stack([_count(ids, side, kind == "alone") for side, kind in zip(sides, kinds, strict=True)]
                      + [_count(ids, sides[0], kinds[0] == "other")])
    total = counts.sum(axis=0)
    order = np.lexsort((ids, -total))[: min(most, int((total > 0).sum()))]
    worst = [Differing(int(ids[at]), int(counts[0, at]), int(counts[1, at]), int(counts[2, at]),
                       _of(sides[0], kinds[0], int(ids[at])), _of(sides[1], kinds[1], int(ids[at]))) for at in order]
    only_a, only_b, other = (int(n) for n in counts.sum(axis=1))
    return Disagreement(len(sides[0]), len(sides[1]), only_a, only_b, other, int((total > 0).sum()), worst)


def _free(pairs: Pairs, kinds: list[np.ndarray]) -> Pairs:
    return pairs.take((kinds[0][pairs.truth] == "alone") & (kinds[1][pairs.found] == "alone"))


def _count(ids: np.ndarray, boxes: Boxes, chosen: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(ids, boxes.image[chosen]), minlength=len(ids))


def _of(boxes: Boxes, kinds: np.ndarray, image: int) -> list[Seen]:
    rows = np.flatnonzero(boxes.image == image)
    rows = rows[np.argsort(-boxes.score[rows], kind="stable")]
    found = []
    for row in rows.tolist():
        x, y, w, h = boxes.xywh[row].tolist()
        found.append(Seen((x, y, x + w, y + h), int(boxes.label[row]), float(boxes.score[row]), kinds[row].item()))
    return found
