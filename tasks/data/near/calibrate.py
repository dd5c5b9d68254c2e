"""From which agreement on two pictures are copies, found by planting copies whose originals are known."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.crew import cores
from tasks.data.near.embedding import Method, look
from tasks.data.near.finding import FLIPPED, Pairs, Settings, compare
from tasks.data.near.planting import COPIES, MIRRORED, plant
from tasks.data.pictures import Location, over_pictures, read_picture

SAMPLE = 200
PRECISION = 0.99
# thresholds that may be chosen: a sample has no example of what all the pictures may have
RANGE = (0.7, 0.95)
# two originals that agree so much are copies that were there before, and count for nothing
CERTAIN = 0.9
LOWEST = 0.5


@dataclass(frozen=True)
class Calibration:
    """What was measured: shares of 0 to 1.

    Attributes:
        threshold: the agreement from which two pictures count as one.
        recall: share of the planted copies whose original is found from that threshold on.
        precision: share of the found pairs that are copies of one original.
        per_kind: recall of each kind of copy.
        pictures: originals; `skipped` pairs of them are left out as copies that were there before.
    """

    threshold: float
    recall: float
    precision: float
    per_kind: dict[str, float]
    pictures: int
    skipped: int

    def table(self) -> str:
        rows = "".join(f"  {kind:11} {share:.3f}\n" for kind, share in self.per_kind.items())
        return (f"planted copies of {self.pictures} pictures, threshold {self.threshold:.2f}: "
                f"recall {self.recall:.3f}, precision {self.precision:.3f}\n{rows}".rstrip())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Planted:
    """Pairs that were compared: their agreement; the kind of copy, `` for no copy of each other; all [pairs].

    `counts` has the number of planted copies of each kind, found or not; `known` the pairs of originals that are left
    out as copies that were there before.
    """

    similarity: np.ndarray
    kind: np.ndarray
    counts: dict[str, int]
    pictures: int
    known: frozenset[tuple[int, int]]


def calibrate(locations: Sequence[Location], seed: int = 0, method: Method = "descriptor", flips: bool = False,
              sample: int = SAMPLE) -> Calibration:
    """The threshold for these pictures: of those with a precision of `PRECISION`, one with the best recall.

    Where a range of thresholds is equally good, its middle is taken.

    Args:
        flips: mirrored copies count as copies.
        sample: how many of the pictures are copied.

    Raises:
        DataError: fewer than two pictures can be read.
    """
    return choose(measure(locations, seed, method, flips, sample))


def measure(locations: Sequence[Location], seed: int = 0, method: Method = "descriptor", flips: bool = False,
            sample: int = SAMPLE) -> Planted:
    """Plant copies of some pictures among them, and compare all; parameters as of `calibrate`."""
    kinds = [*COPIES, *(MIRRORED if flips else [])]
    with tempfile.TemporaryDirectory(prefix="visionmill-") as name:
        files = plant_all(locations, Path(name), kinds, seed, sample)
        parts = compare_all(files, Settings(method=method, threshold=LOWEST, flips=flips), method, Path(name))
    return judge(parts, len(files), kinds, flips)


def plant_all(locations: Sequence[Location], folder: Path, kinds: Sequence[str], seed: int, sample: int) -> list[Path]:
    """Some pictures and their copies as files in `folder`: each picture, then its copies in the order of `kinds`.

    Raises:
        DataError: fewer than two pictures can be read.
    """
    chosen = np.random.default_rng(seed).permutation(len(locations))[:sample].tolist()
    made = over_pictures(lambda i: _write(locations[i], folder, i, kinds, seed), chosen, cores())
    files = [path for paths in made for path in paths]
    if len(files) <= len(kinds) + 1:
        raise DataError("fewer than two pictures can be read: no copies can be planted",
                        where=f"{len(chosen)} pictures", mend="neighbours: {calibrate: false} in params.yaml")
    return files


def compare_all(files: Sequence[Path], settings: Settings, method: Method, cache: Path) -> list[Pairs]:
    """The pairs of files that `settings` finds, as positions."""
    names = [hashlib.sha256(path.name.encode()).hexdigest() for path in files]
    return compare(look(names, lambda ids: [files[i] for i in ids], method, cache), settings)[0]


def judge(parts: Sequence[Pairs], count: int, kinds: Sequence[str], flips: bool = False,
          known: frozenset[tuple[int, int]] | None = None) -> Planted:
    """Pairs of an original and its copy by kind, and wrong ones as ``; two copies of one original do not count.

    Args:
        parts: pairs among `count` files in the order of `plant_all`.
        flips: whether mirrored copies count; if not, a pair with one is wrong.
        known: originals that are copies of each other; None: those that agree by `CERTAIN`.
    """
    a, b, value, way = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    (first, of_first), (second, of_second) = (np.divmod(ids, len(kinds) + 1) for ids in (a, b))
    if known is None:
        before = (of_first == 0) & (of_second == 0) & (value >= CERTAIN)
        known = frozenset(zip(first[before].tolist(), second[before].tolist(), strict=True))
    named = np.array(["", *kinds])[of_second]
    mirrored = np.isin(named, list(MIRRORED))
    same = (first == second) & (of_first == 0)
    right = same & (mirrored == (way == FLIPPED))
    strangers = first != second
    strangers[strangers] = [pair not in known for pair in zip(first[strangers].tolist(), second[strangers].tolist(),
                                                              strict=True)]
    counts = right | strangers | same & mirrored & (way != FLIPPED)
    asked = [kind for kind in kinds if flips or kind not in MIRRORED]
    originals = count // (len(kinds) + 1)
    return Planted(value[counts], np.where(right, named, "")[counts], dict.fromkeys(asked, originals), originals, known)


def choose(planted: Planted, low: float = RANGE[0], high: float = RANGE[1]) -> Calibration:
    """The best threshold of what was measured; where `PRECISION` is never reached, the highest."""
    rows = [at(planted, step) for step in np.round(np.arange(low, high + 0.005, 0.01), 2)]
    good = [row for row in rows if row.precision >= PRECISION] or rows[-1:]
    best = max(row.recall for row in good)
    equal = [row for row in good if row.recall == best]
    return equal[len(equal) // 2]


def at(planted: Planted, threshold: float) -> Calibration:
    kinds = planted.kind[planted.similarity >= threshold - 1e-6]
    hits = {kind: int((kinds == kind).sum()) for kind in planted.counts}
    true, false = sum(hits.values()), int((kinds == "").sum())
    recall = {kind: round(hits[kind] / count, 4) for kind, count in planted.counts.items()}
    return Calibration(float(threshold), round(true / sum(planted.counts.values()), 4),
                       round(true / max(true + false, 1), 4), recall, planted.pictures, len(planted.known))


def _write(place: Location, folder: Path, number: int, kinds: Sequence[str], seed: int) -> list[Path]:
    """The original and its copies as files; nothing where it cannot be read."""
    try:
        picture = Image.fromarray(read_picture(place))
    except DataError:
        return []
    original = folder / f"{number}.png"
    picture.save(original, compress_level=1)
    copies = [folder / f"{number}-{kind}.jpg" for kind in kinds]
    for path, kind in zip(copies, kinds, strict=True):
        path.write_bytes(plant(picture, kind, seed, str(number)))
    return [original, *copies]
