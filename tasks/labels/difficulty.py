"""How hard a box and a picture are: from the calibrated probability that a box is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.labels.calibration import IOU, Calibration
from tasks.labels.columns import boxes_of, entropy, places_of
from tasks.metrics.matching import claim, overlaps, ranks

LEVELS = ("easy", "medium", "hard")
EASY, MEDIUM = 0.95, 0.70
# a box is worth showing where deleting a wrong one (1 click) costs less than drawing a right one that is not shown (2)
SHOWN = 1 / 3
# before anything is reviewed: objects that no detection is on, for each one that has one, and in a picture without any
PRIOR_PER_FOUND, PRIOR_ON_EMPTY, PRIOR_WEIGHT = 0.1, 0.5, 20.0
NOTHING = 0.05  # detections with less probability together count as none


@dataclass(frozen=True)
class Missed:
    """Objects that no detection is on, not even of the lowest score.

    Attributes:
        per_found: for each object that has a detection.
        on_empty: in a picture where nothing was found.
        reviewed: pictures that this was counted on.
    """

    per_found: float = PRIOR_PER_FOUND
    on_empty: float = PRIOR_ON_EMPTY
    reviewed: int = 0

    def as_dict(self) -> dict[str, float]:
        """Plain data, for JSON; `Missed(**…)` reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Level:
    """Boxes of one level on reviewed pictures: their number, the share that is right, and the range it promises."""

    level: str
    boxes: int
    right: float | None
    least: float
    most: float

    def within(self, slack: float = 0.0) -> bool:
        """Whether the share is in the range, widened by `slack`; an empty level is."""
        return self.right is None or self.least - slack <= self.right <= self.most + slack


def levels_of(probability: np.ndarray) -> np.ndarray:
    """A place in `LEVELS`: easy from 0.95, medium from 0.70, hard below; int8 [n]."""
    return np.select([probability >= EASY, probability >= MEDIUM], [0, 1], 2).astype(np.int8)


def rate(found: pa.Table, calibration: Calibration) -> pa.Table:
    """Detections with more columns, float32 each but `level`.

    probability p that the box is right; `low`, `high`: its interval of 90 %; uncertainty: the entropy of p in bits,
    0..1; difficulty: 1 − p; level: one of `LEVELS`. Row by row: a batch of a large table can be rated alone.
    """
    p = calibration.probability(found)
    low, high = calibration.interval(found)
    columns = {"probability": p, "low": low, "high": high, "uncertainty": entropy(p), "difficulty": 1 - p}
    rated = found.drop_columns([name for name in (*columns, "level") if name in found.column_names])
    for name, values in columns.items():
        rated = rated.append_column(name, pa.array(values.astype(np.float32)))
    names = pa.array(LEVELS)
    return rated.append_column("level", names.take(pa.array(levels_of(p))))


def missed_rates(found: pa.Table, reviewed: pa.Table, pictures: np.ndarray, iou: float = IOU) -> Missed:
    """Count on reviewed pictures what no detection is on, of whatever score, drawn towards the prior.

    per_found = (objects without + 20 · 0.1) / (objects with + 20); on_empty = (objects in pictures without a detection
    + 20 · 0.5) / (such pictures + 20).

    Args:
        found: all detections, of low scores too.
        pictures: image_ids of the reviewed pictures.
    """
    found = found.filter(pa.array(np.isin(found["image_id"].to_numpy(), pictures)))
    truth = reviewed.filter(pa.array(np.isin(reviewed["image_id"].to_numpy(), pictures)))
    ours, theirs = boxes_of(found, "detections"), boxes_of(truth, "reviewed labels")
    theirs = theirs.take(~theirs.crowd)
    claimed = claim(overlaps(theirs, ours, iou), ranks(ours), len(theirs))
    empty = np.setdiff1d(pictures, ours.image)
    on_empty = np.isin(theirs.image, empty)
    having = len(claimed.truth)
    lacking = int((~on_empty).sum()) - having
    return Missed((lacking + PRIOR_WEIGHT * PRIOR_PER_FOUND) / (having + PRIOR_WEIGHT),
                  (int(on_empty.sum()) + PRIOR_WEIGHT * PRIOR_ON_EMPTY) / (len(empty) + PRIOR_WEIGHT), len(pictures))


def rate_pictures(pictures: np.ndarray, rated: Iterable[pa.Table], missed: Missed | None = None,
                  shown: float = SHOWN) -> pa.Table:
    """A row a picture, from rated boxes as they come; the memory is that of the pictures.

    corrections = Σ over shown boxes of (1 − p), those that are wrong, + missed; a box that lies badly is both: it is
        wrong, and its object is missed, though a person may mend it in one act (`clicks`);
    missed = Σ over the boxes that are not shown of p + per_found · Σ over all boxes of p, or `on_empty` where the p of
    all boxes sum to less than 0.05: objects whose box is too unsure to be shown, and objects without any.
    score: mean p of the shown boxes, null without one; uncertainty: Σ of theirs, in bits; difficulty: the probability
    that anything is to be done, 1 − Π p · e^−missed.

    Args:
        pictures: image_ids, ascending.
        shown: boxes from this probability on are shown.

    Returns:
        image_id, boxes, easy, medium, hard, score, uncertainty, difficulty, wrong, missed, corrections.

    Raises:
        DataError: the pictures do not ascend.
    """
    if np.any(np.diff(pictures) <= 0):
        raise DataError("the image_ids do not ascend", where="pictures", mend="sort them, each once")
    missed = missed or Missed()
    sums = {name: np.zeros(len(pictures)) for name in ("all", "p", "wrong", "bits", "log", "boxes", *LEVELS)}
    for table in rated:
        place = places_of(pictures, table["image_id"].to_numpy())
        p = table["probability"].to_numpy().astype(np.float64)
        seen, known = p >= shown, place >= 0
        level = levels_of(p)
        parts = {"all": (known, p), "p": (known & seen, p), "wrong": (known & seen, 1 - p),
                 "bits": (known & seen, entropy(p)), "log": (known & seen, np.log(np.clip(p, 1e-9, 1))),
                 "boxes": (known & seen, np.ones(len(p)))}
        parts |= {name: (known & seen & (level == at), np.ones(len(p))) for at, name in enumerate(LEVELS)}
        for name, (rows, values) in parts.items():
            sums[name] += np.bincount(place[rows], weights=values[rows], minlength=len(pictures))
    return _table(pictures, sums, missed)


def measured(probability: np.ndarray, right: np.ndarray) -> list[Level]:
    """For each level, what share of its boxes is right; `right` bool [n]."""
    level, bounds = levels_of(probability), [(EASY, 1.0), (MEDIUM, EASY), (0.0, MEDIUM)]
    return [Level(name, int((level == at).sum()), float(right[level == at].mean()) if (level == at).any() else None,
                  *bounds[at]) for at, name in enumerate(LEVELS)]


def in_words(pictures: pa.Table) -> str:
    """How many boxes are easy, medium and hard, and what that means."""
    counts = {name: int(np.sum(pictures[name].to_numpy())) for name in LEVELS}
    total, work = sum(counts.values()), float(np.sum(pictures["corrections"].to_numpy()))
    promise = {"easy": "at least 95 of 100 right", "medium": "70 to 95 of 100 right", "hard": "fewer than 70 right"}
    said = ", ".join(f"{counts[name]:,} {name} ({promise[name]})" for name in LEVELS)
    return f"{total:,} boxes on {pictures.num_rows:,} pictures: {said}; about {work:,.0f} corrections are expected"


def _table(pictures: np.ndarray, sums: dict[str, np.ndarray], missed: Missed) -> pa.Table:
    low, boxes = sums["all"] - sums["p"], sums["boxes"]
    lacking = np.where(sums["all"] < NOTHING, missed.on_empty, low + missed.per_found * sums["all"])
    score = np.divide(sums["p"], boxes, out=np.zeros(len(boxes)), where=boxes > 0)
    columns: dict[str, Any] = {"image_id": pa.array(pictures, pa.int64())}
    columns |= {name: pa.array(sums[name].astype(np.int32)) for name in ("boxes", *LEVELS)}
    columns["score"] = pa.array(score.astype(np.float32), mask=boxes == 0)
    floats = {"uncertainty": sums["bits"], "difficulty": 1 - np.exp(sums["log"] - lacking), "wrong": sums["wrong"],
              "missed": lacking, "corrections": sums["wrong"] + lacking}
    return pa.table(columns | {name: pa.array(values.astype(np.float32)) for name, values in floats.items()})
