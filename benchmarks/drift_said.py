"""What a detector says of a set's pictures, for `benchmarks.drift`: a real one, or one that is made of the labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.drift.look import ALIKE
from tasks.drift.measures import Entry, Seen
from tasks.drift.predictions import Model, Said
from tasks.drift.testing import Side, is_constant, run_tests, sides_of

# of the detector that is made of labels: objects found, and of those called another class; wrong boxes a picture
FOUND, MIXED, WRONG = 0.9, 0.03, 0.3
COUNTS = 0.5  # score from which its boxes count
# sets whose labels are known here, and the class that is to be missing
MISSING = {"bccd": "Platelets", "sign_digits": "5", "coco_tiny": "person"}


def labels_of(name: str, root: Path, entries: Sequence[Entry]) -> tuple[list[str], np.ndarray]:
    """Class names, and how many objects of each are on each picture: int64 [n, K]."""
    counts = [Counter(found) for found in _READERS[name](root, [entry.name for entry in entries])]
    classes = sorted({one for found in counts for one in found})
    return classes, np.array([[found[one] for one in classes] for found in counts], np.int64)


def _bccd(root: Path, names: Sequence[str]) -> list[list[str]]:
    from defusedxml.ElementTree import parse

    files = [root / "bccd/Annotations" / f"{Path(name).stem}.xml" for name in names]
    return [[str(one.findtext("name")) for one in parse(file).iter("object")] for file in files]


def _signs(root: Path, names: Sequence[str]) -> list[list[str]]:
    return [[name.partition("/")[0]] for name in names]


def _coco(root: Path, names: Sequence[str]) -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted((root / "coco_tiny/annotations").glob("*.json")):
        told = json.loads(file.read_text(encoding="utf-8"))
        known = {one["id"]: one["name"] for one in told["categories"]}
        files = {one["id"]: one["file_name"] for one in told["images"]}
        for one in told["annotations"]:
            found.setdefault(Path(files[one["image_id"]]).name, []).append(known[one["category_id"]])
    return [found.get(Path(name).name, []) for name in names]


_READERS = {"bccd": _bccd, "sign_digits": _signs, "coco_tiny": _coco}


def by_labels(counts: np.ndarray, seed: int = 0) -> Said:
    """A detector that is right as often as stated above; a picture always gets the same answer."""
    random = np.random.default_rng(seed)
    kinds = counts.shape[1]
    boxes, best = np.zeros(counts.shape), np.zeros(len(counts))
    for row, objects in enumerate(counts):
        right = np.repeat(np.arange(kinds), random.binomial(objects, FOUND))
        mixed = random.random(len(right)) < MIXED
        right[mixed] = random.integers(0, kinds, mixed.sum())
        wrong = random.integers(0, kinds, random.poisson(WRONG))
        scores = np.concatenate([random.beta(8, 2, len(right)), random.beta(2, 6, len(wrong))])
        said = np.concatenate([right, wrong])[scores >= COUNTS]
        boxes[row] = np.bincount(said, minlength=kinds)
        best[row] = scores.max(initial=0)
    return Said(np.arange(len(counts)), best, boxes)


def by_model(text: str, entries: Sequence[Entry], work: Path) -> Said:
    """Of a registered version, a file, or an entry of conf/import."""
    from tasks.labelling.teachers.finding import find_place

    place = find_place(text, work)
    return Model(place.file, place.name, work).ask(entries)


def parts(count: int, old: int, held: int, new: int, seed: int, allowed: np.ndarray | None = None
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disjoint places: training, held out, and new ones of those allowed; in proportion where there are too few."""
    order = np.random.default_rng(seed).permutation(count)
    share = min(1.0, count / (old + held + new))
    old, held, new = (int(share * number) for number in (old, held, new))
    some = order if allowed is None else order[allowed[order]]
    came = some[:new]
    rest = order[~np.isin(order, came)]
    return rest[:old], rest[old:old + held], came


def look(seen: Seen, said: Said, places: tuple[np.ndarray, np.ndarray, np.ndarray], false_alarm: float, seed: int
         ) -> tuple[bool, bool]:
    """Whether a look gives an alarm as `visionmill drift` makes it with a model, and by the predictions alone."""
    old, held, new = (seen.some(one) for one in places)
    if max(1 - len(part.units) / len(part.rows) for part in (old, new)) > ALIKE and len(new.rows) < len(old.rows):
        old = old.some(np.arange(len(new.rows)))
    pictures = _told(sides_of(old, new))
    before, now = (_answers(said, one) for one in (held, new))
    asked = _told({"boxes": Side(before.boxes.sum(1), now.boxes.sum(1)), "scores": Side(before.best, now.best),
                   "classes": Side(before.boxes, now.boxes)})
    both = run_tests([pictures, asked], false_alarm, seed)
    alone = run_tests([{}, asked], false_alarm, seed)
    return any(test.alarm for test in both), any(test.alarm for test in alone)


def _told(sides: dict[str, Side]) -> dict[str, Side]:
    return {name: side for name, side in sides.items() if not is_constant(side)}


def _answers(said: Said, part: Seen) -> Said:
    """Near-duplicates count once; answers are in the order of the entries that could be read."""
    rows = np.searchsorted(said.rows, part.rows[part.units])
    return Said(rows, said.best[rows], said.boxes[rows])
