"""From values to pixels: linear and logarithmic axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.reporting import words


@dataclass(frozen=True)
class Scale:
    """An axis: values from `low` to `high` lie between the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(max(value, self.low * 1e-9, 1e-300)) if self.log else value
        share = min(max((at - low) / (high - low), -0.02), 1.02)
        return self.start + share * (self.end - self.start)


def linear(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    zero: bool = False,
    limits: tuple[float, float] | None = None,
    wanted: int = 5,
    whole: bool = False,
) -> Scale:
    """A linear axis that ends on round ticks; `limits` fixes its ends, `zero` includes 0, `whole` has no tick between
    whole numbers."""
    low, high = limits if limits else _span([v for v in values if words.known(v)], zero)
    step = round_step((high - low) / max(wanted, 1))
    if whole:
        step = max(1.0, math.ceil(step))
    if limits is None:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, start, end, tuple(i * step for i in range(first, last + 1)))


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis for values above 0, with ticks at 1, 2 and 5 times a power of ten."""
    positive = [v for v in values if words.known(v) and v > 0] or [1.0]
    low, high = min(positive) / 1.25, max(positive) * 1.25
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    if len(ticks) > 7:
        ticks = [t for t in ticks if math.isclose(math.log10(t), round(math.log10(t)), abs_tol=1e-9)]
    return Scale(low, high, start, end, tuple(ticks), log=True)


def fitting(values: list[float], start: float, end: float, *, ratio: float = 12.0) -> Scale:
    """Logarithmic where the values span more than `ratio`, else linear from 0."""
    positive = [v for v in values if words.known(v) and v > 0]
    if positive and max(positive) / min(positive) > ratio:
        return logarithmic(positive, start, end)
    return linear(positive, start, end, zero=True)


def round_step(raw: float) -> float:
    """The round number 1, 2, 2.5 or 5 times a power of ten that is not below `raw`."""
    if not raw > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))


def tick_text(value: float, step: float) -> str:
    """A tick without digits that say nothing."""
    if abs(value) >= 1e4:
        return words.short(value)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if not math.isclose(step * 10**places, round(step * 10**places), rel_tol=1e-6):
        places += 1
    return f"{value:.{min(places, 6)}f}".replace("-", "\u2212")


def _span(values: list[float], zero: bool) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12 * max(abs(high), 1.0):
        pad = abs(high) * 0.1 or 1.0
        low, high = (low, high + pad) if zero or low == 0 else (low - pad, high + pad)
    return low, high
