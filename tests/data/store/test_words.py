"""Recipes in words."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.data.store.words import made_by


@pytest.mark.parametrize(("recipe", "said"), [
    ({}, "catalogue"), ({"import": {"from": "x"}}, "import"), ({"operation": "merge", "parents": []}, "merge"),
    ({"labels": {"by": "people", "people": ["ann", "bob"]}}, "labelled by people (ann, bob)"),
    ({"labels": {"by": "model:cells@3"}}, "labelled by model:cells@3"),
    ({"labels": {"by": "nobody", "picked": {"strategy": "mixed", "budget": 5}}}, "picked by mixed")])
def test_made_by(recipe: dict[str, Any], said: str) -> None:
    assert made_by(recipe, "catalogue") == said
