"""What timings say about each other: an 8-bit file that is slower than the float file that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def slower_than_float(timed: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Each INT8 artefact that takes longer than the fastest float one of its model, runtime and device → that one.

    Args:
        timed: artefact (`MODEL/TARGET`) → median_ms, runtime, device, precision.
    """
    found = {}
    for name, one in timed.items():
        if one.get("precision") != "int8":
            continue
        floats = {other: two["median_ms"] for other, two in timed.items() if two.get("precision") in ("fp32", "fp16")
                  and _family(other, two) == _family(name, one)}
        if floats and (best := min(floats, key=lambda other: floats[other])) and floats[best] < one["median_ms"]:
            found[name] = best
    return found


def _family(name: str, one: Mapping[str, Any]) -> tuple[str, Any, Any]:
    return name.partition("/")[0], one.get("runtime"), one.get("device")
