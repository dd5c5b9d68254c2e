"""The points of a pruning as one picture: accuracy against work, the dot's area its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reporting.charts import Dot, scatter
from tasks.reporting.markup import Markup


def frontier_chart(points: Sequence[Mapping[str, Any]], taken: int) -> Markup:
    """Validation AP against MACs of every point (`Point.facts`); the one that was taken stands out."""
    dots = [Dot(one["macs"] / 1e6, one["val_AP"], one["parameters"],
                f"{one['kept_parameters']:.2f}" if at else "whole",
                f"{one['kept_parameters']:.3f} of the parameters, AP {one['val_AP']:.4f}", 1 if at == taken else None)
            for at, one in enumerate(points)]
    return scatter(dots, title="Pruning, step by step", x="MACs, millions", y="Validation AP",
                   note="The area of a dot is its parameters; the share kept is written beside it.")
