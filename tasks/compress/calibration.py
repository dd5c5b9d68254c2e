"""Which training pictures fix the ranges of an INT8 file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import digest_value
from tasks.base.params import Params
from tasks.data.pictures import Location, locate, read_picture
from tasks.data.table import Dataset
from tasks.runtime.letterbox import letterbox


class Calibration(Params):
    """Which training pictures fix the ranges of an INT8 file.

    Attributes:
        pictures: how many are drawn; all of them when there are fewer, which is said.
        seed: fixes the draw.
        method: how a range is taken from what was seen.
    """

    pictures: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)
    method: Literal["minmax", "entropy", "percentile"] = "minmax"


def drawn(dataset: Dataset, raw: Path, calibration: Calibration) -> list[tuple[Location, str]]:
    """Place and digest of the training pictures that calibrate, drawn by seed.

    Raises:
        DataError: the training split is empty.
    """
    images = dataset.subset("train").images
    if not images.num_rows:
        raise DataError("no training picture to calibrate with", where="data/split", mend="mend split.fractions")
    if images.num_rows < calibration.pictures:
        print(f"calibrated with all {images.num_rows} training pictures: {calibration.pictures} were asked for")
    order = np.random.default_rng(calibration.seed).permutation(images.num_rows)[: calibration.pictures]
    some = images.take(sorted(order.tolist()))
    return list(zip(locate(raw, some), some["digest"].to_pylist(), strict=True))


def inputs(files: list[tuple[Location, str]], shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """The pictures as network inputs uint8 [1, 3, H, W]; grey ones have three equal channels."""
    for place, _ in files:
        canvas, _ = letterbox(read_picture(place), shape)
        yield np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])


def record(calibration: Calibration, files: list[tuple[Location, str]]) -> dict[str, Any]:
    """What export.json says: the parameters, how many pictures there really were, and the hash of their digests."""
    return {**calibration.model_dump(), "asked": calibration.pictures, "pictures": len(files),
            "hash": digest_value([digest for _, digest in files])}
