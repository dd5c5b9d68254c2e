"""How a version came to be, in words, from its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def made_by(recipe: Mapping[str, Any], otherwise: str = "made") -> str:
    """What made a version: `merge`, `import`, `picked by mixed`, `labelled by people (ann)`; `otherwise` without a
    recipe."""
    labels = recipe.get("labels")
    if not isinstance(labels, Mapping):
        return str(recipe.get("operation") or ("import" if recipe else otherwise))
    if isinstance(picked := labels.get("picked"), Mapping):
        return f"picked by {picked.get('strategy', '?')}"
    people = ", ".join(map(str, labels.get("people") or []))
    return f"labelled by {labels.get('by', 'people')}" + (f" ({people})" if people else "")
