"""What a gate asks: the typed form of `conf/gate/*.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.base import presets
from tasks.base.params import Params, check

Share = Field(default=None, ge=0, le=1)
Policy = Literal["require", "warn", "ignore"]


class ChampionRule(Params):
    """How much worse than the champion, measured again on today's test set, in 0..1 (0.01 is one point).

    Attributes:
        max_AP_drop, max_AP50_drop: δ of the question below.
        ask: `loss`: refuse when a loss of more than δ is shown (the whole 95 % interval of the difference lies below
            -δ); `equality`: refuse unless it is shown that the loss is at most δ (the whole interval lies above -δ).
        max_AP_slide, max_AP50_slide: what may be lost altogether since the best champion, by measured differences
            added up over promotions; None: not asked.
        draws: of pictures, for the intervals.
    """

    max_AP_drop: float = Field(default=0.01, ge=0, le=1)
    max_AP50_drop: float = Field(default=0.01, ge=0, le=1)
    ask: Literal["loss", "equality"] = "loss"
    max_AP_slide: float | None = Field(default=0.02, ge=0, le=1)
    max_AP50_slide: float | None = Field(default=0.03, ge=0, le=1)
    draws: int = Field(default=1000, ge=1000, le=100_000)


class Floors(Params):
    """Least accuracy in 0..1, asked when no champion can be compared."""

    AP: float = Field(default=0.25, ge=0, le=1)
    AP50: float = Field(default=0.50, ge=0, le=1)


class ClassFloor(Params):
    """Least accuracy of one class in 0..1; None: not asked."""

    AP: float | None = Share
    AP50: float | None = Share


class Classes(ClassFloor):
    """Floors of every class, and of single ones by name; a class with fewer boxes in the test set is not asked."""

    AP50: float | None = Field(default=0.05, ge=0, le=1)
    min_boxes: int = Field(default=20, ge=1)
    named: dict[str, ClassFloor] = {}

    def floor(self, name: str, measure: Literal["AP", "AP50"]) -> float | None:
        """What is asked of a class: its own number where it has one, else that of all."""
        own = self.named.get(name)
        if own is not None and measure in own.model_fields_set:
            return getattr(own, measure)
        return getattr(self, measure)


class Slice(Params):
    """Parts of the test set that are asked by themselves.

    Attributes:
        by: `box_size` (small, medium, large as COCO has them), `picture_size`, `tags`, `folder`, a column of the
            pictures' table (`group`, `split`, …), or `attributes.NAME`.
        only: names of the parts that are asked; all when empty.
        floor: least accuracy in 0..1; None: not asked.
        max_drop: loss against the champion, by the same question as for the whole, in 0..1; None: not asked.
        measure: of the floor and of the loss; AP costs ten times the time.
        min_pictures, min_boxes: a part with fewer is not asked.
        edges: longer sides in pixels that part `picture_size`.
        most: parts that are asked, those of most pictures; the rest is counted.
    """

    by: str
    only: list[str] = []
    floor: float | None = Share
    max_drop: float | None = Field(default=0.05, ge=0, le=1)
    measure: Literal["AP", "AP50"] = "AP50"
    min_pictures: int = Field(default=20, ge=1)
    min_boxes: int = Field(default=20, ge=1)
    edges: list[int] = [640, 1280]
    most: int = Field(default=12, ge=1)


class Parity(Params):
    """Largest loss of AP of an exported file against the model it was made from, in 0..1, validation split."""

    max_AP_drop: float = Field(default=0.02, ge=0, le=1)


class Latency(Params):
    """Batch 1, median. `min_speedup`: times faster than trained/torch. None: not asked."""

    min_speedup: float | None = Field(default=1.0, gt=0)
    max_ms: float | None = Field(default=None, gt=0)


class Size(Params):
    """`max_mb` in 1,000,000 bytes, `max_growth` in times the champion's size. None: not asked."""

    max_mb: float | None = Field(default=50.0, gt=0)
    max_growth: float | None = Field(default=None, gt=0)


class Gate(Params):
    """One file of `conf/gate/`."""

    prefer: str = "pruned/cpu-int8"
    champion: ChampionRule = ChampionRule()
    floors: Floors = Floors()
    classes: Classes = Classes()
    slices: list[Slice] = [Slice(by="box_size")]
    parity: Parity = Parity()
    latency: Latency = Latency()
    size: Size = Size()
    min_test_pictures: int = Field(default=30, ge=1)
    min_test_boxes: int = Field(default=30, ge=1)
    data: Policy = "require"
    code: Policy = "warn"


def load_gate(name: str, workspace: Path = Path()) -> Gate:
    """The gate preset `name`, checked.

    Raises:
        ParamsError: no such preset, or an unknown key or wrong value in it.
    """
    return check(Gate, presets.load("gate", name, workspace), f"conf/gate/{name}.yaml")
