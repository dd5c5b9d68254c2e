"""The order of every table."""

from __future__ import annotations

from pathlib import Path

from tasks.runtime.artefacts import artefacts, in_order


def test_sorting_names_gives_the_order_they_are_made_in() -> None:
    made = list(artefacts(Path("t"), Path("p"), Path("e"), ["cpu-fp32", "cpu-int8"]))
    assert made == ["trained/torch", "pruned/torch", "trained/cpu-fp32", "pruned/cpu-fp32", "trained/cpu-int8",
                    "pruned/cpu-int8"]
    assert in_order(sorted(made)) == made
