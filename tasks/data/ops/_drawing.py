"""One random draw for each new picture, and the affine map and the colour matrix that it stands for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from tasks.data.affine import Affine, compose

# decimals of a drawn value, so that the value that is noted is the one that was used
DECIMALS = 6
# RGB to luma and the two chroma axes of NTSC television, and back
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
GREY = 128.0


@dataclass(frozen=True)
class Draw:
    """What was drawn for one picture.

    Attributes:
        rotate: degrees, clockwise as seen.
        shear_x, shear_y: by how much a row or column is moved for each pixel away from the centre.
        translate_x, translate_y: share of the picture's width or height.
        scale: factor of sizes.
        hue: degrees, red becoming yellow. saturation, contrast, brightness: factors. blur: standard deviation, pixels.
    """

    rotate: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    translate_x: float = 0.0
    translate_y: float = 0.0
    scale: float = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0

    def changes(self) -> dict[str, float | bool]:
        """Those values that change something."""
        neutral = Draw()
        return {name: value for name, value in asdict(self).items() if value != getattr(neutral, name)}

    def affine(self, width: int, height: int) -> Affine:
        """From the old picture to the new one: mirrored, scaled, sheared, turned about its centre, then moved."""
        turn = math.radians(self.rotate)
        sin, cos = math.sin(turn), math.cos(turn)
        x, y = (-self.scale if mirrored else self.scale for mirrored in (self.flip_horizontal, self.flip_vertical))
        return compose((1, 0, -width / 2, 0, 1, -height / 2), (x, 0, 0, 0, y, 0),
                       (1, self.shear_x, 0, self.shear_y, 1, 0), (cos, -sin, 0, sin, cos, 0),
                       (1, 0, width * (0.5 + self.translate_x), 0, 1, height * (0.5 + self.translate_y)))

    def colour(self) -> tuple[float, ...]:
        """Rows of a matrix from red, green, blue, 1 to each of the new colours: hue and saturation in the plane of
        chroma, then contrast about the middle grey, then brightness (P. Haeberli, Matrix Operations for Image
        Processing, 1993)."""
        turn = math.radians(self.hue)
        sin, cos = math.sin(turn) * self.saturation, math.cos(turn) * self.saturation
        chroma = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        matrix = np.linalg.inv(TO_YIQ) @ chroma @ TO_YIQ * (self.contrast * self.brightness)
        shift = np.full((3, 1), GREY * (1 - self.contrast) * self.brightness)
        # rounded: libraries of linear algebra differ in the last bits
        return tuple(np.hstack([matrix, shift]).round(9).ravel().tolist())


SPATIAL = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y", "scale", "flip_horizontal", "flip_vertical")
COLOUR = ("hue", "saturation", "contrast", "brightness")
FACTORS = frozenset({"scale", "saturation", "contrast", "brightness"})


def draw(limits: Mapping[str, float], seed: int, digest: str, copy: int) -> Draw:
    """The draw for a copy of a picture, which depends on the picture's content, the seed and the copy's number alone.

    Args:
        limits: for each field of `Draw`: the largest angle, share or sigma; of a factor f the largest deviation, so
            that it is drawn from 1 / (1 + f) to 1 + f; of a flip its probability.
    """
    key = hashlib.sha256(f"{seed}:{digest}:{copy}".encode()).digest()
    names = [field.name for field in fields(Draw)]
    # one number for each field, used or not: another limit for one does not change the others
    numbers = np.random.default_rng(int.from_bytes(key, "big")).random(len(names)).tolist()
    drawn: dict[str, Any] = {name: _value(name, limits[name], number)
                             for name, number in zip(names, numbers, strict=True)}
    return Draw(**drawn)


def _value(name: str, limit: float, number: float) -> float | bool:
    if name.startswith("flip"):
        return number < limit
    if name == "blur":
        return round(number * limit, DECIMALS)
    centred = 2 * number - 1
    if name in FACTORS:
        return round(math.exp(centred * math.log1p(limit)), DECIMALS)
    return round(centred * limit, DECIMALS)
