"""What several models and people say, and the form in which it comes out as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.params import Params
from tasks.labels.fusion import IOU
from tasks.metrics.detections import Boxes

MERGED = pa.schema([
    ("image_id", pa.int64()), ("class_id", pa.int32()), *((name, pa.float64()) for name in "xywh"),
    # null where a person said it
    ("score", pa.float32()),
    # the voice; for several, the one with the best box
    ("source", pa.string()),
    # how many voices said so
    ("voices", pa.int32()),
    ("reviewed_by", pa.string()),
])
CONFLICTS = pa.schema([
    ("image_id", pa.int64()), ("kind", pa.string()), ("class_id", pa.int32()),
    *((name, pa.float64()) for name in "xywh"), ("voice", pa.string()), ("reason", pa.string()),
])


class Settings(Params):
    """How models are merged where no person has spoken.

    Attributes:
        method: `owner`: each class has one model; `fusion`: weighted boxes fusion; `consensus`: boxes that enough agree
            on, at their mean.
        owners: class name → name of the model that it is taken from, for `owner`.
        agree: how many must, for `consensus`; more than half of those that have looked when left out.
        iou: overlap from which two boxes of a class are taken for one object.
        one_class: of boxes of several classes in one place the one that most voices, then the best score, speak for.
    """

    method: Literal["owner", "fusion", "consensus"] = "fusion"
    owners: dict[str, str] = Field(default={}, description="class name: the model that it is taken from")
    agree: int | None = Field(default=None, ge=1, description="how many must agree; more than half when left out")
    iou: float = Field(default=IOU, gt=0, lt=1, description="overlap from which two boxes are one object")
    one_class: bool = Field(default=True, description="one class in one place")


@dataclass(frozen=True)
class Voice:
    """What one model or one person says.

    Attributes:
        name: of the model, or who.
        boxes: the columns image_id, class_id, x, y, w, h, and for models score.
        pictures: image_ids that it has looked at, those without a box too.
        kind: `person` or `model`.
        when: seconds since 1970 of a person's review; None counts as earliest.
        classes: class ids that it was asked for; all when None.
        weight: of a model in `fusion`.
    """

    name: str
    boxes: pa.Table
    pictures: np.ndarray
    kind: Literal["person", "model"] = "model"
    when: float | None = None
    classes: frozenset[int] | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Merged:
    """Labels in the form of `MERGED`, by picture and class; what was decided against whom, in that of `CONFLICTS`."""

    boxes: pa.Table
    conflicts: pa.Table


@dataclass
class Rows:
    """All boxes of all voices, and what becomes of them."""

    boxes: Boxes
    voice: np.ndarray
    names: list[str]
    conflicts: list[pa.Table] = field(default_factory=list)

    def named(self, voices: np.ndarray) -> pa.Array:
        """The names of some voices."""
        return pa.array(self.names, pa.string()).take(pa.array(voices, pa.int64()))

    def tell(self, rows: np.ndarray, kind: str, reasons: Sequence[str]) -> None:
        """Note that some rows were decided against."""
        some = self.boxes.take(rows)
        if len(rows):
            columns = [some.image, [kind] * len(rows), some.label.astype(np.int32), *some.xywh.T,
                       self.named(self.voice[rows]), list(reasons)]
            self.conflicts.append(pa.table([pa.array(column) for column in columns], schema=CONFLICTS))
