"""One picture twice, side by side, with what two artefacts see on it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.files import write_atomic
from tasks.runtime.detections import Detections

if TYPE_CHECKING:
    from PIL import Image

SIDE = 720  # pixels of the longer side of each copy
HEAD = 26  # pixels above it for its name
LEAST = 0.4  # score from which a box is drawn
# Okabe and Ito's colours, told apart by most colour-blind people
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def side_by_side(picture: np.ndarray, found: dict[str, Detections], classes: list[str], path: Path) -> None:
    """Write a PNG with one copy of the picture for each name.

    Args:
        picture: uint8 [H, W, 3].
        found: name → detections, left to right.
        classes: names in the order of class ids.
        path: the file; its folder is made.
    """
    from PIL import Image

    copies = [_copy(picture, name, detections, classes) for name, detections in found.items()]
    sheet = Image.new("RGB", (sum(copy.width for copy in copies) + 8 * (len(copies) - 1), copies[0].height), "white")
    left = 0
    for copy in copies:
        sheet.paste(copy, (left, 0))
        left += copy.width + 8
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomic(path, content.getvalue())


def _copy(picture: np.ndarray, name: str, found: Detections, classes: list[str]) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    scale = SIDE / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    canvas = Image.new("RGB", (size[0], size[1] + HEAD), "white")
    canvas.paste(Image.fromarray(picture).resize(size), (0, HEAD))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    seen = found.scores >= LEAST
    pen.text((4, 4), f"{name}: {int(seen.sum())} boxes of a score of {LEAST} or more", fill="black", font=font)
    for box, score, label in zip(found.boxes[seen][::-1], found.scores[seen][::-1], found.class_ids[seen][::-1],
                                 strict=True):
        colour = COLOURS[int(label) % len(COLOURS)]
        left, top, right, bottom = (float(value) * scale for value in box)
        pen.rectangle((left, top + HEAD, max(left, right), max(top, bottom) + HEAD), outline=colour, width=2)
        text, at = f"{classes[int(label)]} {score:.2f}", (left + 2, max(top + HEAD - 15, HEAD))
        pen.rectangle(pen.textbbox(at, text, font=font), fill=colour)
        pen.text(at, text, fill="black", font=font)
    return canvas
