"""What a look measures of each picture: what it looks like, its light, sharpness and size. Labels are not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.crew import cores
from tasks.data.near.embedding import Method, look
from tasks.data.near.finding import Settings as Near
from tasks.data.near.finding import compare
from tasks.data.near.groups import smallest
from tasks.data.pictures import Location, over_pictures, read_with, upright

# pixels of the longer side at which light and sharpness are measured: noise of single pixels says little
SIDE = 512
LIGHT = ("brightness", "contrast", "saturation", "sharpness")
NUMBERS = (*LIGHT, "size", "aspect")


@dataclass(frozen=True)
class Entry:
    """A picture of which nothing but its header is known.

    Attributes:
        name: as told to people; relative to its folder.
        width, height: in pixels, as displayed.
    """

    name: str
    place: Location
    digest: str
    width: int
    height: int


@dataclass(frozen=True)
class Seen:
    """What was measured of the pictures that can be read, a row a picture.

    Attributes:
        rows: their positions among the entries, int64 [n].
        vectors: of what they look like, float32 [n, 256].
        numbers: `NUMBERS` by name, float64 [n]: brightness, contrast and saturation of 0 to 1, sharpness as a ratio,
            size in pixels (the root of the area), aspect as width / height.
        groups: equal for near-duplicates of each other, int64 [n].
    """

    rows: np.ndarray
    vectors: np.ndarray
    numbers: dict[str, np.ndarray]
    groups: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """The first of each group, ascending: near-duplicates count once."""
        return np.sort(np.unique(self.groups, return_index=True)[1])

    def some(self, places: np.ndarray) -> Seen:
        """Some rows of it, in that order."""
        numbers = {name: values[places] for name, values in self.numbers.items()}
        return Seen(self.rows[places], self.vectors[places], numbers, self.groups[places])


def see(entries: Sequence[Entry], cache: Path, method: Method = "descriptor") -> tuple[Seen, dict[int, str]]:
    """Measure pictures; also why some cannot be read, by position.

    Args:
        cache: folder in which vectors are kept by digest, as those of near-duplicates are.
    """
    flaws: dict[int, str] = {}
    light = []
    for position, found in enumerate(over_pictures(_light_or_flaw, entries, cores())):
        if isinstance(found, str):
            flaws[position] = found
        else:
            light.append(found)
    rows = np.array([i for i in range(len(entries)) if i not in flaws], np.int64)
    some = [entries[i] for i in rows]
    vectors, groups = _looks(some, cache, method)
    columns = np.array(light, np.float64).reshape(-1, len(LIGHT)).T
    numbers = dict(zip(LIGHT, columns, strict=True))
    width, height = (np.array([getattr(entry, side) for entry in some], np.float64) for side in ("width", "height"))
    return Seen(rows, vectors, numbers | {"size": np.sqrt(width * height), "aspect": width / height}, groups), flaws


def light_of(picture: Image.Image) -> list[float]:
    """Of an opened picture: mean of its brightness, standard deviation of it, mean of its saturation, and sharpness.

    Sharpness is the standard deviation of the Laplacian over that of the brightness, so that more contrast is not
    sharper.
    """
    if picture.format in ("JPEG", "MPO"):
        picture.draft("RGB", (SIDE, SIDE))
    else:
        picture = Image.fromarray(upright(picture))
    scale = SIDE / max(picture.size)
    if scale < 1:
        size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        picture = picture.convert("RGB").resize(size, Image.Resampling.BOX)
    colour = np.asarray(picture.convert("RGB"))
    grey = np.asarray(picture.convert("L"), np.float32)
    wide = np.pad(grey, 1, "edge")
    curved = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * grey
    spread = float(grey.std())
    saturation = float((colour.max(2) - colour.min(2)).mean()) / 255
    return [float(grey.mean()) / 255, spread / 255, saturation, float(curved.std()) / max(spread, 1.0)]


def _light_or_flaw(entry: Entry) -> list[float] | str:
    try:
        return read_with(entry.place, light_of)
    except DataError as error:
        return error.what


def _looks(entries: Sequence[Entry], cache: Path, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and the first position of each one's group of near-duplicates or equal bytes."""
    looks = look([entry.digest for entry in entries], lambda ids: [entries[i].place for i in ids], method, cache)
    firsts: dict[str, int] = {}
    equal = [(firsts.setdefault(entry.digest, i), i) for i, entry in enumerate(entries)]
    alone = np.unique([first for first, _ in equal]).astype(np.int64)
    a, b = np.array(equal, np.int64).reshape(-1, 2).T
    if len(alone) > 1:
        parts, _ = compare(looks, Near(method=method))
        near_a, near_b = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        a, b = np.concatenate([a, near_a]), np.concatenate([b, near_b])
    return looks.vectors, smallest(len(entries), a, b) if len(entries) else np.empty(0, np.int64)
