"""Boxes, names and scores on a copy of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.runtime.cascade import Label
from tasks.runtime.detections import Detections

# Okabe and Ito's colours, told apart by most colour-blind people
COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]

Row = dict[str, Any]


def rows(found: Detections, classes: Sequence[str], labels: Sequence[Label | None] | None = None) -> list[Row]:
    """Detections as plain data, best first: class, score (0..1), box (xyxy in pixels); where a classifier has named
    them label and label_score (0..1) too."""
    plain = [{"class": classes[int(c)], "score": round(float(s), 4), "box": [round(float(v), 2) for v in box]}
             for box, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)]
    for row, label in zip(plain, labels or (), strict=False):
        if label is not None:
            row |= {"label": label.name, "label_score": round(label.score, 4)}
    return plain


def caption(row: Mapping[str, Any]) -> str:
    """What stands at a box: `RBC 0.93`; with a classifier `RBC 0.93: round 0.88`."""
    said = f"{row['class']} {row['score']:.2f}"
    return f"{said}: {row['label']} {row['label_score']:.2f}" if "label" in row else said


def draw(picture: np.ndarray, said: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Image.Image:
    """The picture uint8 [H, W, 3] with the boxes of `rows`, the best one on top."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    width = max(2, round(max(canvas.size) / 320))
    font = _font(max(11, round(max(canvas.size) / 45)))
    for row in reversed(said):
        colour = COLOURS[classes.index(row["class"]) % len(COLOURS)]
        left, top, right, bottom = row["box"]
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
        text = caption(row)
        room = pen.textbbox((left, top), text, font=font)
        at = (max(0, min(left, canvas.width - (room[2] - room[0]) - 2)), max(0, top - (room[3] - room[1]) - 4))
        pen.rectangle(pen.textbbox(at, text, font=font), fill=colour)
        pen.text(at, text, fill="black", font=font)
    return canvas


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
