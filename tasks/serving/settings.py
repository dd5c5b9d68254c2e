"""What a request may ask beside its pictures: which scores count, and how many boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tasks.base.errors import nearest

KNOWN = ("score_threshold", "thresholds", "max_detections")
MOST = 10_000  # boxes of a picture


class BadRequest(ValueError):
    """What was asked cannot be answered; the text is the client's."""


@dataclass(frozen=True)
class Settings:
    """Checked settings of a request.

    Attributes:
        score_threshold: for all classes, 0..1; what the file says of each class when None.
        thresholds: class name → 0..1, before everything else.
        max_detections: the best of each picture; what the file says when None.
    """

    score_threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    max_detections: int | None = None

    def plain(self) -> dict[str, Any]:
        """JSON-able, as `settings_of` takes it."""
        given = {"score_threshold": self.score_threshold, "thresholds": dict(self.thresholds),
                 "max_detections": self.max_detections}
        return {name: value for name, value in given.items() if value not in (None, {})}


def settings_of(given: Mapping[str, Any], classes: Sequence[str]) -> Settings:
    """Values of a query, a form or a JSON body, checked.

    Raises:
        BadRequest: an unknown name or class, or a value out of its range.
    """
    for name in given:
        if name not in KNOWN:
            guess = nearest(name, KNOWN)
            raise BadRequest(f"unknown parameter {name!r}" + (f": did you mean {guess!r}?" if guess else
                                                              f"; there are {', '.join(KNOWN)}"))
    threshold = given.get("score_threshold")
    return Settings(None if threshold in (None, "") else _share(threshold, "score_threshold"),
                    _by_class(given.get("thresholds"), classes), _count(given.get("max_detections")))


def of_query(query: str) -> dict[str, Any]:
    """Names and values of a query; one that stands twice is refused.

    Raises:
        BadRequest: it does.
    """
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise BadRequest(f"{name!r} is given twice")
        found[name] = value
    return found


def _share(value: Any, name: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise BadRequest(f"{name} is a number from 0 to 1, got {value!r}"[:300])
    return number


def _by_class(value: Any, classes: Sequence[str]) -> dict[str, float]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value else {}
        except ValueError:
            raise BadRequest('thresholds is a JSON object, {"class": 0.3}') from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest('thresholds is an object, {"class": 0.3}')
    for name in value:
        if name not in classes:
            guess = nearest(str(name), classes)
            raise BadRequest(f"the model knows no class {str(name)[:100]!r}" + (
                f": did you mean {guess!r}?" if guess else f"; its classes: {', '.join(classes)[:500]}"))
    return {name: _share(number, f"thresholds of {name!r}") for name, number in value.items()}


def _count(value: Any) -> int | None:
    if value in (None, ""):
        return None
    try:
        number = int(str(value)) if not isinstance(value, bool) else 0
    except ValueError:
        number = 0
    if not 1 <= number <= MOST:
        raise BadRequest(f"max_detections is a whole number from 1 to {MOST:,}, got {value!r}"[:300])
    return number
