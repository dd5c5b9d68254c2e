"""All near-duplicates among the pictures of a dataset: equal bytes, then vectors, then pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.base.progress import Progress
from tasks.data.crew import cores
from tasks.data.near.embedding import Looks, describe, look
from tasks.data.near.search import Candidates, candidates
from tasks.data.near.verify import similarity
from tasks.data.ops._arrays import codes
from tasks.data.pictures import locate, over_pictures
from tasks.data.table import IMAGES, conform

# Agreement from which two pictures count as one. Of 1,200 copies planted by `calibrate` for 200 pictures of coco_tiny,
# voc100 and bccd, 0.999 are found from here on, with a precision of 1: the lowest copy agrees by 0.79, no two other
# pictures by 0.5. Harder sets set the limit: scenes of digits on one of two photographs reach 0.5, gestures of people
# before one wall (sign_digits, 100 x 100 pixels) 0.78, with one pair in 2,062 pictures at 0.82.
THRESHOLD = 0.8
# cosine from which pairs are compared by their pixels
LEAST: dict[str, float] = {"descriptor": 0.5, "backbone": 0.75}
# Two crops of one picture, or two pictures of one slide, are shifted against each other. A descriptor bears a third of
# a cell, 3 of 64 pixels; so each picture is looked for shifted by up to 6 pixels too, in half of the directions, since
# both pictures of a pair are looked for. Seven pairs of bccd are found so, one without. For more pictures than this it
# would take too long.
SHIFTS = tuple((down, right) for down in (0, 3, 6) for right in (-6, -3, 0, 3, 6) if down > 0 or right > 0)
SHIFTED = 100_000
KINDS = ("exact", "near", "flipped")
EXACT, NEAR, FLIPPED = range(3)
BATCH = 2048
COLUMNS = ["image_id", "file", "digest", "bytes", "shard", "offset"]
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Settings(Section):
    """How near-duplicates are found.

    Attributes:
        method: what the vectors are made by, or `off`: equal bytes alone.
        threshold: agreement from which two pictures count as one; null: `THRESHOLD`.
        flips: whether a mirrored copy counts.
    """

    method: Literal["descriptor", "backbone", "off"] = Field(
        default="descriptor", description="what finds candidates: descriptor, backbone (a network), off (equal bytes "
        "alone)")
    threshold: float | None = Field(default=None, ge=0.5, le=1, description="agreement, 0.5 to 1, from which two "
                                    f"pictures count as one; {THRESHOLD} where it is not given")
    flips: bool = Field(default=False, description="mirrored copies count too")

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.flips and self.method == "backbone":
            raise ValueError("mirrored copies are found with method: descriptor")
        return self


@dataclass(frozen=True)
class Found:
    """Pairs of image_ids, `a` < `b`, ascending; copies are paired with the first picture of their bytes alone.

    Attributes:
        similarity: float32, 1 for equal bytes.
        kind: int8, a place in `KINDS`.
        first: int64 [pictures], the first picture with the same bytes.
        unreadable: image_ids, of those that are `first`.
        plain: how many show nothing that could be compared: one grey.
        capped: how many have so many similar ones that not all were compared.
        looks: of `lookers`, the image_ids of those that are `first`; None where no picture was opened.
    """

    a: np.ndarray
    b: np.ndarray
    similarity: np.ndarray
    kind: np.ndarray
    first: np.ndarray
    unreadable: np.ndarray
    plain: int
    capped: int
    looks: Looks | None
    lookers: np.ndarray


def find(raw: Path, images: pa.Table, settings: Settings, cache: Path) -> Found:
    """Near-duplicates among the pictures of a table, whose files are relative to `raw`.

    Args:
        images: the columns image_id (counted from 0), file, digest, bytes, shard, offset.
        cache: the folder in which what pictures look like is kept by digest.

    Raises:
        UserError: `backbone` without weights.
    """
    first = _first_of_bytes(images)
    everyone = np.arange(len(first))
    copies = np.flatnonzero(first != everyone)
    exact = first[copies], copies, np.ones(len(copies), np.float32), np.full(len(copies), EXACT, np.int8)
    if settings.method == "off":
        return Found(*_sorted([exact]), first, np.empty(0, np.int64), 0, 0, None, np.empty(0, np.int64))
    lookers = np.flatnonzero(first == everyone)
    some = images.take(pa.array(lookers))
    looks = look(some["digest"].to_pylist(), lambda ids: locate(raw, some.take(pa.array(ids))), settings.method, cache)
    parts, capped = compare(looks, settings)
    named = [(lookers[a], lookers[b], value, kind) for a, b, value, kind in parts]
    return Found(*_sorted([exact, *named]), first, lookers[~looks.readable],
                 int((looks.readable & ~looks.vectors.any(axis=1)).sum()), capped, looks, lookers)


def read_images(folder: Path) -> pa.Table:
    """The columns of a dataset's pictures that near-duplicates are found by.

    Raises:
        DataError: it is no dataset folder, or damaged.
    """
    path = folder / "images.parquet"
    try:
        known = pq.read_schema(path).names
        table = conform(pq.read_table(path, columns=[name for name in COLUMNS if name in known], memory_map=False),
                        pa.schema([IMAGES.field(name) for name in COLUMNS]))
    except FileNotFoundError:
        raise DataError("not a dataset folder: no images.parquet", where=folder, mend="dvc repro") from None
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(f"damaged dataset folder: {error}", where=path, mend="dvc repro --force") from None
    if not np.array_equal(table["image_id"].to_numpy(), np.arange(table.num_rows)):
        raise DataError("damaged dataset folder: image_id does not count from 0", where=path, mend="dvc repro --force")
    return table


def compare(looks: Looks, settings: Settings) -> tuple[list[Pairs], int]:
    """Near pairs, then flipped ones, as positions (a, b, similarity, kind); and how many pictures were capped."""
    threshold = THRESHOLD if settings.threshold is None else settings.threshold
    least = LEAST[settings.method]
    small = settings.method == "descriptor" and len(looks.rows) <= SHIFTED
    shifted = [partial(_described, looks, shift) for shift in SHIFTS] if small else []
    found = candidates(looks.vectors, least, shifted)
    parts, capped = [_verified(looks, found, threshold, NEAR)], found.capped
    if settings.flips:
        found = candidates(looks.vectors, least, [partial(_described, looks, mirrored=True)], own=False)
        a, b, value, kind = _verified(looks, found, threshold, FLIPPED)
        new = ~np.isin(a * len(looks.rows) + b, parts[0][0] * len(looks.rows) + parts[0][1])
        parts.append((a[new], b[new], value[new], kind[new]))
    return parts, capped


def _verified(looks: Looks, found: Candidates, threshold: float, kind: int) -> Pairs:
    progress = Progress(len(found.a), "pairs compared")

    def some(start: int) -> np.ndarray:
        a, b = (looks.thumbs(ids[start:start + BATCH]) for ids in (found.a, found.b))
        return similarity(a, b[:, :, ::-1] if kind == FLIPPED else b)

    values = []
    for part in over_pictures(some, range(0, len(found.a), BATCH), cores()):
        progress.step(count=len(part))
        values.append(part)
    value = np.concatenate([np.empty(0, np.float32), *values])
    good = value >= threshold
    return found.a[good], found.b[good], value[good], np.full(int(good.sum()), kind, np.int8)


def _described(looks: Looks, shift: tuple[int, int] = (0, 0), mirrored: bool = False) -> np.ndarray:
    """Descriptors of the pictures shifted, or mirrored."""
    vectors = np.zeros_like(looks.vectors)
    for start in range(0, len(vectors), BATCH):
        rows = np.arange(start, min(start + BATCH, len(vectors)))
        thumbs = looks.thumbs(rows)
        vectors[rows] = describe(thumbs[:, :, ::-1] if mirrored else thumbs, shift)
    return vectors


def _first_of_bytes(images: pa.Table) -> np.ndarray:
    """The first picture with the same bytes; one without any bytes is only itself."""
    content = codes(images["digest"])
    order = np.argsort(content, kind="stable")
    starts = np.diff(content[order], prepend=-1) != 0
    first = np.empty(len(content), np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1]
    empty = images["bytes"].to_numpy() == 0
    return np.where(empty, np.arange(len(first)), first)




def _sorted(parts: list[Pairs]) -> Pairs:
    a, b, value, kind = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    return a[order].astype(np.int64), b[order].astype(np.int64), value[order], kind[order]
