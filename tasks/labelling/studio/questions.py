"""What a person is asked to look at: the suspicions of `label errors`, in words, beside the picture and at each box."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.data.formats._superb_json import mapping
from tasks.labelling.checking.queue import KEY

# a picture of a hundred suspicions: the note must leave room for the picture
LONGEST = 600
FAR = 1e9
# as the note above the picture says it
WORDS = {"badly located": "badly placed"}


def asked_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a task's data say of a picture of the review queue: `asked`, the note above it, and `suspected`, the kinds
    of errors, to filter by."""
    told = mapping(attributes.get(KEY))
    note, places = told.get("note"), told.get("places")
    kinds = [mapping(one).get("kind") for one in (places if isinstance(places, list) else [])]
    named = dict.fromkeys(kind for kind in (*kinds, told.get("kind")) if isinstance(kind, str) and kind)
    found = {"asked": _short(note) if isinstance(note, str) else ""}
    return found | ({"suspected": ", ".join(named)} if named else {})


def asked_of_box(attributes: str | None) -> str | None:
    """What stands at a box in question when it is chosen; None for all others."""
    try:
        told = mapping(mapping(json.loads(attributes or "null")).get(KEY))
    except ValueError:
        return None
    kind, suggests = told.get("kind"), mapping(told.get("suggests"))
    if not isinstance(kind, str) or not kind:
        return None
    score, name = suggests.get("score"), suggests.get("class")
    sure = f" ({score:.2f})" if isinstance(score, float) else ""
    looks = f" looks like {name}{sure}" if isinstance(name, str) and kind == "swapped" else \
        f" {name} is seen{_at(suggests.get('box'))}{sure}" if isinstance(name, str) else ""
    return _short(f"{WORDS.get(kind, kind)}?{looks}")


def _at(box: Any) -> str:
    sides = box if isinstance(box, list) else []
    if len(sides) != 4 or not all(isinstance(side, int | float) and abs(side) < FAR for side in sides):
        return ""
    x, y, w, h = sides
    return f" at {x:.0f}, {y:.0f}, {w:.0f} x {h:.0f}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST - 2]} …"
