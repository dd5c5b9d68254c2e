"""Numbers as a reader wants them: units, as many digits as mean something, and `n/a` where there is none."""

from __future__ import annotations

import math
from typing import TypeGuard

NONE = "n/a"


def known(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def accuracy(value: object) -> str:
    """`0.8731` → `0.873`."""
    return f"{value:.3f}" if known(value) else NONE


def points(value: object) -> str:
    """A difference of two accuracies in points of 100: `0.0123` → `+1.2`."""
    if not known(value):
        return NONE
    text = f"{100 * value:+.1f}".replace("-", "\u2212")
    return "0.0" if text in ("+0.0", "\u22120.0") else text


def percent(value: object) -> str:
    return f"{100 * value:.{0 if abs(value) >= 0.1 else 1}f} %" if known(value) else NONE


def count(value: object) -> str:
    return f"{round(value):,}".replace(",", "\u202f") if known(value) else NONE


def short(value: object) -> str:
    """Three digits with a factor: `11689512` → `11.7 M`."""
    if not known(value):
        return NONE
    for limit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{digits(value / limit)} {sign}"
    return digits(value)


def size(value: object) -> str:
    """Bytes, in powers of 1000."""
    if not known(value):
        return NONE
    if value < 1e3:
        return f"{round(value)} B"
    unit, limit = next((u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if value >= f)
    return f"{digits(value / limit)} {unit}"


def milliseconds(value: object) -> str:
    return f"{digits(value)} ms" if known(value) else NONE


def times(value: object) -> str:
    """A factor: `4.31` → `4.3×`."""
    return f"{digits(value, 2)}×" if known(value) else NONE


def digits(value: float, significant: int = 3) -> str:
    """`significant` digits, never an exponent."""
    if not known(value):
        return NONE
    if value == round(value) and abs(value) < 1e4:
        return str(round(value))
    places = significant - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(places, 0), 6)}f}"


def plural(number: int, word: str) -> str:
    if number == 1:
        return f"1 {word}"
    many = word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith(("s", "x")) else "s")
    return f"{count(number)} {many}"
