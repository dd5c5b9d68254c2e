"""What differs between two versions: pictures and labels added, removed, changed, with counts for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data.ops._arrays import tally
from tasks.data.ops._comparing import Shared, counts, labels_of, relabelled, shared_pictures, whole_labels
from tasks.data.ops._hashing import name_classes
from tasks.data.ops._pairing import Labels, pair
from tasks.data.sql import tables
from tasks.data.table import read_meta

SHOWN = 10
# pictures whose labels are compared one by one together
AT_ONCE = 1 << 16


@dataclass
class ClassCounts:
    """Labels of one class: `after` = `before` + `added` - `removed` + `gained` - `lost`.

    Attributes:
        before: in the first version; `after`: in the second.
        added: in the second alone; `removed`: in the first alone, with their pictures or without.
        moved: box and class of the same object, with an IoU of 0.5 to below 1.
        altered: the same class and box; mask, keypoints, flags or attributes differ.
        gained: the same place had another class before; `lost`: it has another class now.
    """

    before: int = 0
    after: int = 0
    added: int = 0
    removed: int = 0
    moved: int = 0
    altered: int = 0
    gained: int = 0
    lost: int = 0

    @property
    def changed(self) -> bool:
        return any(value for name, value in vars(self).items() if name not in ("before", "after"))


@dataclass
class PictureCounts:
    """Pictures are the same by content. Of those `kept`, `renamed` have another file name, `moved` another split, and
    `relabelled` other labels."""

    before: int = 0
    after: int = 0
    added: int = 0
    removed: int = 0
    kept: int = 0
    renamed: int = 0
    moved: int = 0
    relabelled: int = 0


@dataclass
class Difference:
    """From version `a` to version `b`.

    Attributes:
        classes: by name, those of both versions.
        exchanged: (class before, class now) of labels in the same place, with their number.
        files: the first files, by name, that were `added`, `removed` and `relabelled`.
    """

    a: str
    b: str
    pictures: PictureCounts = field(default_factory=PictureCounts)
    classes: dict[str, ClassCounts] = field(default_factory=dict)
    exchanged: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> ClassCounts:
        """All classes together; `gained` and `lost` are equal."""
        return ClassCounts(**{name: sum(getattr(one, name) for one in self.classes.values())
                              for name in vars(ClassCounts())})

    def to_json(self) -> dict[str, Any]:
        exchanged = [{"from": old, "to": new, "labels": count} for (old, new), count in self._exchanged()]
        return {"schema": 1, "a": self.a, "b": self.b, "pictures": asdict(self.pictures), "labels": asdict(self.total),
                "classes": {name: asdict(one) for name, one in self.classes.items()}, "exchanged": exchanged,
                "files": self.files}

    def __str__(self) -> str:
        """A table of the classes that differ, below one line for pictures and one for labels."""
        seen, total = self.pictures, self.total
        lines = [f"{self.a} -> {self.b}",
                 f"pictures  {seen.before:,} -> {seen.after:,}: {seen.added:,} added, {seen.removed:,} removed, "
                 f"{seen.kept:,} kept ({seen.renamed:,} renamed, {seen.moved:,} in another split, "
                 f"{seen.relabelled:,} with other labels)",
                 f"labels    {total.before:,} -> {total.after:,}: {total.added:,} added, {total.removed:,} removed, "
                 f"{total.moved:,} moved, {total.altered:,} altered, {total.gained:,} of another class"]
        lines += _aligned({name: one for name, one in self.classes.items() if one.changed}, len(self.classes))
        lines += [f"{count:,} labels: {old} -> {new}" for (old, new), count in self._exchanged()[:SHOWN]]
        totals = {"added": seen.added, "removed": seen.removed, "relabelled": seen.relabelled}
        for what, names in self.files.items():
            more = totals[what] - len(names)
            lines += [f"{what}: {', '.join(names)}{f' and {more:,} more' if more else ''}"] if names else []
        return "\n".join(lines)

    def _exchanged(self) -> list[tuple[tuple[str, str], int]]:
        return sorted(self.exchanged.items(), key=lambda item: (-item[1], item[0]))


def diff(a: Path, b: Path, names: tuple[str, str] | None = None) -> Difference:
    """Compare two dataset folders. Only pictures whose labels' hashes differ are looked at label by label.

    Args:
        names: what they are called; None: as their tables say.

    Raises:
        DataError: a folder is damaged.
    """
    metas = read_meta(a), read_meta(b)
    classes = sorted({*metas[0].classes, *metas[1].classes})
    place = {name: number for number, name in enumerate(classes)}
    kinds = [np.array([place[name] for name in meta.classes], np.int64) for meta in metas]
    made = Difference(*(names or (metas[0].name, metas[1].name)), classes={name: ClassCounts() for name in classes})
    with tables(a=a, b=b) as connection:
        for view, meta in zip("ab", metas, strict=True):
            name_classes(connection, view, meta.classes)
        shared = shared_pictures(connection, (a, b))
        changed = relabelled(connection, shared)
        _count_pictures(made, shared, changed)
        for view, meta, side in zip("ab", metas, (0, 1), strict=True):
            total, alone = (counts(connection, view, meta.classes, mask) for mask in (None, shared.alone(side)))
            for name, number in total.items():
                setattr(made.classes[name], ("before", "after")[side], number)
            for name, number in alone.items():
                setattr(made.classes[name], ("removed", "added")[side], number)
        for some in np.array_split(np.flatnonzero(changed), changed.sum() // AT_ONCE + 1):
            sides = [(view, ids[some], kind) for view, ids, kind in zip("ab", shared.ids, kinds, strict=True)]
            _count_boxes(made, classes, *(labels_of(connection, *side) for side in sides))
            _count_whole(made, classes, *(whole_labels(connection, *side, len(classes)) for side in sides))
    return made


def _count_pictures(made: Difference, shared: Shared, changed: np.ndarray) -> None:
    alone = shared.alone(0), shared.alone(1)
    made.pictures = PictureCounts(*shared.counts, int(alone[1].sum()), int(alone[0].sum()), len(changed),
                                  int(shared.renamed.sum()), int(shared.moved.sum()), int(changed.sum()))
    told = {"added": (1, np.flatnonzero(alone[1])), "removed": (0, np.flatnonzero(alone[0])),
            "relabelled": (1, np.sort(shared.ids[1][changed]))}
    made.files = {name: shared.names(side, ids[:SHOWN]) for name, (side, ids) in told.items()}


def _count_boxes(made: Difference, names: Sequence[str], a: Labels, b: Labels) -> None:
    found = pair(a, b)
    left, right = (np.ones(len(labels.picture), bool) for labels in (a, b))
    for rows_a, rows_b in found.values():
        left[rows_a] = right[rows_b] = False
    for name, rows in (("moved", found["box"][0]), ("altered", found["other"][0])):
        _add(made, names, name, a.kind[rows])
    _add(made, names, "removed", a.kind[left])
    _add(made, names, "added", b.kind[right])
    _exchange(made, names, a.kind[found["kind"][0]], b.kind[found["kind"][1]])


def _count_whole(made: Difference, names: Sequence[str], a: np.ndarray, b: np.ndarray) -> None:
    """Labels of whole pictures: one that goes where one comes is a class that changed."""
    lost, come = np.setdiff1d(a, b, assume_unique=True), np.setdiff1d(b, a, assume_unique=True)
    (owner_a, kind_a), (owner_b, kind_b) = (np.divmod(codes, max(len(names), 1)) for codes in (lost, come))
    pictures = int(max(owner_a.max(initial=0), owner_b.max(initial=0))) + 1
    single = (np.bincount(owner_a, minlength=pictures) == 1) & (np.bincount(owner_b, minlength=pictures) == 1)
    _exchange(made, names, kind_a[single[owner_a]], kind_b[single[owner_b]])
    _add(made, names, "removed", kind_a[~single[owner_a]])
    _add(made, names, "added", kind_b[~single[owner_b]])


def _exchange(made: Difference, names: Sequence[str], before: np.ndarray, now: np.ndarray) -> None:
    for code, count in zip(*tally(before * len(names) + now), strict=True):
        old, new = names[code // len(names)], names[code % len(names)]
        made.exchanged[old, new] += int(count)
        made.classes[old].lost += int(count)
        made.classes[new].gained += int(count)


def _add(made: Difference, names: Sequence[str], what: str, kinds: np.ndarray) -> None:
    for kind, count in enumerate(np.bincount(kinds, minlength=len(names)).tolist()):
        mine = made.classes[names[kind]]
        setattr(mine, what, getattr(mine, what) + count)


def _aligned(rows: Mapping[str, ClassCounts], of: int) -> list[str]:
    """A table with a column for each count, where any class differs."""
    if not rows:
        return []
    heads = list(vars(ClassCounts()))
    cells = [["class", *heads]]
    cells += [[name, *(f"{value:,}" for value in vars(one).values())] for name, one in rows.items()]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads) + 1)]
    table = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                   zip(row[1:], widths[1:], strict=True))]) for row in cells]
    same = of - len(rows)
    return ["", *table, *([f"{same:,} more classes without a difference"] if same else []), ""]
