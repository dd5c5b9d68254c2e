"""Masks as COCO's compressed run lengths: columns of the table `rle`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data.pictures import MAX_PIXELS

# digits of 5 bits: no run has more
DIGITS = 7


def encode(pixels: np.ndarray) -> dict[str, Any]:
    """The run lengths of a mask, bool [height, width]: height, width and counts."""
    from pycocotools import mask

    found = mask.encode(np.asfortranarray(pixels, np.uint8))
    return {"h": pixels.shape[0], "w": pixels.shape[1], "counts": found["counts"].decode("ascii")}


def decode(rle: Mapping[str, Any], where: object = None) -> np.ndarray:
    """The mask of run lengths, bool [height, width].

    pycocotools fills up runs that are too short with whatever is in memory; here they are refused.

    Raises:
        DataError: the runs do not fill the mask, or it has more than `MAX_PIXELS`.
    """
    height, width = int(rle["h"]), int(rle["w"])
    lengths = run_lengths(str(rle["counts"])) if min(height, width) >= 0 and height * width <= MAX_PIXELS else None
    # each is compared first: a sum of long runs may wrap around
    if lengths is None or (lengths > height * width).any() or lengths.sum() != height * width:
        raise DataError(f"damaged run lengths of a mask of {width} x {height} pixels", where=where,
                        mend="draw the mask again, or leave this label out")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def run_lengths(counts: str) -> np.ndarray | None:
    """Lengths of the runs down the columns, background first: int64; None where the text is damaged.

    Each number is in digits of 5 bits, the lowest first; from the fourth number on it is the difference to the one
    before the last (`rleFrString` in common/maskApi.c of https://github.com/cocodataset/cocoapi).
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.zeros(0, np.int64)
    last = (codes & 32) == 0
    if codes.min() < 0 or codes.max() > 63 or not last[-1]:
        return None
    starts = np.flatnonzero(np.r_[True, last[:-1]])
    digits = np.diff(np.r_[starts, len(codes)])
    if digits.max() > DIGITS:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, digits)
    values = np.add.reduceat((codes & 31) << 5 * place, starts)
    values -= ((codes[last] & 16) > 0) * (np.int64(1) << 5 * digits)
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return values if values.min() >= 0 else None
