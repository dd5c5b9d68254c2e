"""Copies of pictures as they come about: encoded anew, resized, cropped a little, in other light, with a text on it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Make = Callable[[Image.Image, np.random.Generator], Image.Image]
QUALITY = 90


def encoded(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """JPEG of quality 30 to 90."""
    return Image.open(_jpeg(picture, int(rng.integers(30, 91)))).convert("RGB")


def resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """0.5 to 1.5 times as large."""
    factor = rng.uniform(0.5, 1.5)
    size = tuple(max(8, round(side * factor)) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Up to 5 % less wide and high, wherever."""
    width, height = (max(1, round(side * rng.uniform(0.95, 1))) for side in picture.size)
    left, top = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def relit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness and contrast by ±20 %."""
    brighter = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.8, 1.2))
    return ImageEnhance.Contrast(brighter).enhance(rng.uniform(0.8, 1.2))


def signed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A line of text, a fourteenth of the picture high."""
    marked = picture.copy()
    draw, size = ImageDraw.Draw(marked), max(8, picture.height // 14)
    font, text = ImageFont.load_default(size), f"(c) sample {rng.integers(10_000):04d}"
    place = [rng.uniform(0, max(1.0, room)) for room in (picture.width - draw.textlength(text, font=font),
                                                         picture.height - size)]
    draw.text((place[0], place[1]), text, font=font, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return marked


def everything(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """All of these, one after the other."""
    for make in (resized, cropped, relit, signed, encoded):
        picture = make(picture, rng)
    return picture


def mirrored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Left and right exchanged: another picture, unless mirrored copies are asked for."""
    return ImageOps.mirror(picture)


COPIES: dict[str, Make] = {"encoded": encoded, "resized": resized, "cropped": cropped, "relit": relit,
                           "signed": signed, "everything": everything}
MIRRORED: dict[str, Make] = {"mirrored": mirrored}


def plant(picture: Image.Image, kind: str, seed: int, name: str) -> bytes:
    """A copy of a picture as a JPEG file, the same for the same seed and name."""
    start = hashlib.sha256(f"{seed}:{name}:{kind}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(start[:8], "big"))
    return _jpeg((COPIES | MIRRORED)[kind](picture, rng), QUALITY).getvalue()


def _jpeg(picture: Image.Image, quality: int) -> io.BytesIO:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return buffer
