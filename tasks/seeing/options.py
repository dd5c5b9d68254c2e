"""What may be chosen when pictures are looked at; the command line and Python fill in the same form."""

from __future__ import annotations

from pydantic import Field

from tasks.base.params import Params
from tasks.runtime.cascade import Cascading
from tasks.runtime.slicing import Slicing


class Options(Params):
    """Settings of `visionmill predict`.

    Attributes:
        threshold: `0.5` for all classes, `NAME=0.3` for one; the model's own where nothing is said.
        runtime, device: what computes; what the file is made for when None.
        every: of a video, each frame with this distance is looked at.
        slicing: cut large pictures into tiles.
        cascade: a classifier that names the boxes.
    """

    threshold: list[str] = []
    runtime: str | None = None
    device: str | None = None
    every: int = Field(default=1, ge=1)
    slicing: Slicing | None = None
    cascade: Cascading | None = None
