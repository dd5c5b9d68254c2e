"""What benchmarks.active says of its curves: boxes that a strategy needs, and its gain at equal cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ASKED = 0.6
# of Student's distribution, two-sided 95 %, by degrees of freedom
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Curve:
    """Boxes labelled and accuracy of each round: float [seeds, rounds + 1]."""

    boxes: np.ndarray
    value: np.ndarray

    def mean(self) -> Curve:
        """The curve of the means, [1, rounds + 1]."""
        return Curve(self.boxes.mean(axis=0, keepdims=True), self.value.mean(axis=0, keepdims=True))

    def at(self, boxes: np.ndarray) -> np.ndarray:
        """The value at these costs, of each seed; beyond the ends that of the end. [seeds, len(boxes)]."""
        return np.stack([np.interp(boxes, *row) for row in zip(self.boxes, self.value, strict=True)])

    def reaches(self, target: float) -> float | None:
        """Boxes from which the mean curve is at `target`, between two rounds by proportion; None: it never is."""
        boxes, value = (column[0] for column in (self.mean().boxes, self.mean().value))
        above = np.flatnonzero(value >= target)
        if not len(above):
            return None
        first = int(above[0])
        if first == 0:
            return float(boxes[0])
        share = (target - value[first - 1]) / (value[first] - value[first - 1])
        return float(boxes[first - 1] + share * (boxes[first] - boxes[first - 1]))


def told(name: str, known: dict[str, Any], strategies: Sequence[str], rounds: int) -> Iterator[str]:
    """The lines about one set: the curves, then what was asked beside what was seen."""
    measure = "rare" if name == "rare" else "AP"
    curves = {one: curve for one in strategies if (curve := curve_of(name, known, one, rounds, measure)) is not None}
    if "random" not in curves:
        yield f"{name}: no seed of random is complete yet"
        return
    seeds = len(curves["random"].boxes)
    yield f"\n{name}: {'AP of the rare class' if name == 'rare' else 'AP'}, mean of {seeds} seeds (their spread)"
    for one, curve in curves.items():
        cells = [f"{b:5.0f} boxes {v:.3f} ({s:.3f})" for b, v, s in zip(
            curve.boxes.mean(axis=0), curve.value.mean(axis=0), curve.value.std(axis=0), strict=True)]
        yield f"  {one:9} {'  '.join(cells)}"
    yield from (told_rare if name == "rare" else told_gain)(curves)


def told_rare(curves: dict[str, Curve]) -> Iterator[str]:
    """Boxes to random's final accuracy, of all that were labelled; the first 40 pictures, the same for all, too."""
    drawn = curves["random"]
    target = float(drawn.mean().value[0, -1])
    theirs, first = drawn.reaches(target), float(drawn.mean().boxes[0, 0])
    assert theirs is not None
    if theirs <= first:
        yield f"  random ends at {target:.3f}, where all began: a share of its boxes says nothing. What can be said:"
        yield from (f"  {name:9} {_against_best(curve, drawn)}; {_gain(curve, drawn)}" for name, curve in curves.items()
                    if name != "random")
        return
    yield f"  random needs {theirs:.0f} boxes to its final {target:.3f}; asked: at most {ASKED} of them"
    for name, curve in curves.items():
        mine = curve.reaches(target)
        if name == "random":
            continue
        if mine is None:
            yield f"  {name:9} never reaches it: MISSED"
            continue
        ratio, after = mine / theirs, (mine - first) / (theirs - first)
        each = ", ".join(_ratio(curve, drawn, seed) for seed in range(min(len(curve.boxes), len(drawn.boxes))))
        yield (f"  {name:9} {mine:.0f} boxes: {ratio:.2f} of random's ({after:.2f} of those after the start; by seed "
               f"{each}): {'met' if ratio <= ASKED else 'MISSED'}; at the end {_gain(curve, drawn)}")


def _against_best(curve: Curve, drawn: Curve) -> str:
    """Boxes to the best that random was at in any round, and how many random had then."""
    mean = drawn.mean()
    at = int(mean.value[0].argmax())
    mine = curve.reaches(float(mean.value[0, at]))
    return f"random's best, {mean.value[0, at]:.3f} with {mean.boxes[0, at]:.0f} boxes, " + (
        "is never reached" if mine is None else f"is reached with {mine:.0f} boxes")


def _ratio(curve: Curve, drawn: Curve, seed: int) -> str:
    alone = [Curve(one.boxes[seed:seed + 1], one.value[seed:seed + 1]) for one in (curve, drawn)]
    target = float(alone[1].value[0, -1])
    mine, theirs = (one.reaches(target) for one in alone)
    return "never" if mine is None or theirs is None else f"{mine / theirs:.2f}"


def told_gain(curves: dict[str, Curve]) -> Iterator[str]:
    """Where a strategy is below random's curve by more than random's interval at the same cost, and its gain."""
    drawn = curves["random"]
    for name, curve in curves.items():
        if name == "random":
            continue
        cost = curve.mean().boxes[0, 1:]
        theirs, mine = drawn.at(cost), curve.mean().value[0, 1:]
        half = _half(theirs)
        below = np.flatnonzero(mine < theirs.mean(axis=0) - half)
        rounds = f"in round {', '.join(str(number + 1) for number in below)}" if len(below) else "never"
        yield (f"  {name:9} {rounds} below random by more than its interval (± {half.mean():.3f}): "
               f"{'MISSED' if len(below) else 'met'}; {_gain(curve, drawn)}")


def _gain(curve: Curve, drawn: Curve) -> str:
    """AP more than random at equal boxes, mean over the rounds, with the 95 % interval over paired seeds."""
    seeds = min(len(curve.boxes), len(drawn.boxes))
    gains = []
    for seed in range(seeds):
        cost = curve.boxes[seed, 1:]
        alone = Curve(drawn.boxes[seed:seed + 1], drawn.value[seed:seed + 1])
        gains.append(float((curve.value[seed, 1:] - alone.at(cost)[0]).mean()))
    half = float(_half(np.array(gains)[:, None])[0])
    return f"gain {statistics.mean(gains):+.3f} at equal boxes (± {half:.3f}, {seeds} seeds)"


def _half(values: np.ndarray) -> np.ndarray:
    """Half the 95 % interval of the mean over seeds (axis 0); infinite with one seed."""
    seeds = len(values)
    if seeds < 2:
        return np.full(values.shape[1], np.inf)
    return T95.get(seeds - 1, 1.96) * values.std(axis=0, ddof=1) / np.sqrt(seeds)


def curve_of(name: str, known: dict[str, Any], strategy: str, rounds: int, measure: str) -> Curve | None:
    """The seeds of which all rounds are known; None without one.

    Args:
        known: what each training gave, by SET/SEED/STRATEGY/ROUND; sets of one `name` differ in what follows a dash.
    """
    starts = [key.rsplit("/", 2)[0] for key in known if key.endswith("/start/0") and key.startswith(name)]
    complete = []
    for place in sorted(starts, key=lambda one: int(one.rpartition("/")[2])):
        keys = [f"{place}/start/0", *(f"{place}/{strategy}/{number}" for number in range(1, rounds + 1))]
        if all(key in known for key in keys):
            complete.append([known[key] for key in keys])
    columns = [np.array([[row[what] or 0.0 for row in rows] for rows in complete], float)
               for what in ("boxes", measure)]
    return Curve(*columns) if complete else None
