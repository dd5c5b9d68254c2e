"""What correcting cost: each box of a pre-label against the corrected labels, one to one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.params import Params
from tasks.labels.columns import boxes_of
from tasks.metrics.detections import Boxes
from tasks.metrics.matching import Pairs, overlaps

NEEDED = ("accepted", "class", "adjusted", "adjusted and class", "deleted", "drawn")
ACCEPTED, CLASS, ADJUSTED, BOTH, DELETED, DRAWN = range(6)

ROWS = pa.schema([
    ("image_id", pa.int64()), ("needed", pa.string()), ("clicks", pa.float64()),
    # rows of the two tables; null where there is none
    ("before", pa.int64()), ("after", pa.int64()), ("iou", pa.float64()),
])


class Settings(Params):
    """What an act costs, and when two boxes are one.

    Attributes:
        draw, adjust, delete, change_class: clicks of each.
        least: a pre-label that overlaps a corrected box by less was deleted and the other drawn.
        same: overlap from which a box was left as it was. A person's answer is equal but for rounding; where an oracle
            answers, it is what a person would be content with.
    """

    draw: float = Field(default=2, ge=0)
    adjust: float = Field(default=2, ge=0)
    delete: float = Field(default=1, ge=0)
    change_class: float = Field(default=1, ge=0)
    least: float = Field(default=0.3, gt=0, le=1)
    same: float = Field(default=0.99, gt=0, le=1)

    def costs(self) -> np.ndarray:
        """Clicks, in the order of `NEEDED`."""
        return np.array([0, self.change_class, self.adjust, self.adjust + self.change_class, self.delete, self.draw])


@dataclass(frozen=True)
class Totals:
    """Counts by what was needed, clicks with the pre-labels and from nothing, and how one is to the other."""

    counts: dict[str, int]
    clicks: float
    from_nothing: float

    @property
    def share(self) -> float | None:
        """Clicks with pre-labels for each one from nothing; None where nothing was to be drawn."""
        return self.clicks / self.from_nothing if self.from_nothing else None

    def as_dict(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return asdict(self) | {"share": self.share}


def compare(before: pa.Table, after: pa.Table, settings: Settings | None = None) -> pa.Table:
    """What each box needed, in the form of `ROWS`, by picture.

    Boxes of one class are matched first, then what is left whatever its class; each time the pair that overlaps most,
    then the next, each box once, down to `least`.

    Args:
        before: pre-labels of the corrected pictures; after: their labels as a person left them.
    """
    settings = settings or Settings()
    old, new = (replace(boxes_of(table, what), crowd=np.zeros(table.num_rows, bool)) for table, what in
                ((before, "pre-labels"), (after, "corrected labels")))
    same = _one_to_one(overlaps(new, old, settings.least), len(old), len(new))
    free = np.setdiff1d(np.arange(len(old)), same.found), np.setdiff1d(np.arange(len(new)), same.truth)
    rest = _one_to_one(overlaps(new.take(free[1]), old.take(free[0]), settings.least, same_class=False),
                       len(free[0]), len(free[1]))
    pairs = Pairs(np.concatenate([same.found, free[0][rest.found]]), np.concatenate([same.truth, free[1][rest.truth]]),
                  np.concatenate([same.iou, rest.iou]))
    return _table(old, new, pairs, settings)


def totals(rows: pa.Table, settings: Settings | None = None) -> Totals:
    """Sums of `compare`; from nothing each corrected box is drawn."""
    settings = settings or Settings()
    needed = rows["needed"].to_numpy(zero_copy_only=False)
    counts = {name: int((needed == name).sum()) for name in NEEDED}
    drawn = rows.num_rows - counts["deleted"]
    return Totals(counts, float(np.sum(rows["clicks"].to_numpy())), drawn * settings.draw)


def by_picture(rows: pa.Table, pictures: np.ndarray) -> np.ndarray:
    """Clicks of each picture, float64 [n].

    Args:
        pictures: image_ids, ascending, all that occur among them.
    """
    place = np.searchsorted(pictures, rows["image_id"].to_numpy())
    return np.bincount(place, weights=rows["clicks"].to_numpy(), minlength=len(pictures))


def _one_to_one(pairs: Pairs, found: int, truth: int) -> Pairs:
    """The pair with the largest overlap, then the largest of what is left, and so on.

    In rounds: a pair that is the best of both its boxes is in any case among the chosen ones.
    """
    order = np.lexsort((pairs.truth, pairs.found, -pairs.iou))
    pairs, chosen = pairs.take(order), []
    place = np.arange(len(pairs))
    while len(place):
        first = [np.full(count, len(order)) for count in (found, truth)]
        np.minimum.at(first[0], pairs.found[place], place)
        np.minimum.at(first[1], pairs.truth[place], place)
        best = (first[0][pairs.found[place]] == place) & (first[1][pairs.truth[place]] == place)
        chosen.append(place[best])
        taken = (np.isin(pairs.found[place], pairs.found[chosen[-1]])
                 | np.isin(pairs.truth[place], pairs.truth[chosen[-1]]))
        place = place[~taken]
    return pairs.take(np.sort(np.concatenate([np.zeros(0, np.int64), *chosen])))


def _table(old: Boxes, new: Boxes, pairs: Pairs, settings: Settings) -> pa.Table:
    moved = pairs.iou < settings.same
    renamed = old.label[pairs.found] != new.label[pairs.truth]
    kept = np.select([moved & renamed, moved, renamed], [BOTH, ADJUSTED, CLASS], ACCEPTED)
    gone, drawn = np.setdiff1d(np.arange(len(old)), pairs.found), np.setdiff1d(np.arange(len(new)), pairs.truth)
    kind = np.concatenate([kept, np.full(len(gone), DELETED), np.full(len(drawn), DRAWN)]).astype(np.int64)
    image = np.concatenate([old.image[pairs.found], old.image[gone], new.image[drawn]])
    before = np.concatenate([pairs.found, gone, np.full(len(drawn), -1)])
    after = np.concatenate([pairs.truth, np.full(len(gone), -1), drawn])
    iou = np.concatenate([pairs.iou, np.zeros(len(gone) + len(drawn))])
    # drawn ones last
    order = np.lexsort((after, np.where(before < 0, len(old), before), image))
    kind, before, after = kind[order], before[order], after[order]
    return pa.table([
        pa.array(image[order], pa.int64()), pa.array(NEEDED).take(pa.array(kind)), pa.array(settings.costs()[kind]),
        pa.array(before, mask=before < 0), pa.array(after, mask=after < 0),
        pa.array(iou[order], mask=(before < 0) | (after < 0))], schema=ROWS)
