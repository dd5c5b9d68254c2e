"""What a gate judges by: the results of a line, the champion, and both measured on the same pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.registry.gates.contest import Contest

BASELINE = "trained/torch"


@dataclass(frozen=True)
class Champion:
    """What the registry knows of the version that now holds the alias; accuracies in 0..1.

    Attributes:
        test_hash, AP, AP50: of the test set that it was registered on.
        slide: measure → what it had lost since the best champion when it was judged, 0..1.
    """

    version: str
    test_hash: str
    AP: float | None
    AP50: float | None
    bytes: int | None = None
    slide: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What is judged: the files of `results/` and `exports/`, and the state of data and code.

    Args:
        evaluation: results/evaluate/metrics.json.
        benchmark: results/benchmark/benchmark.json.
        exports: target → its export.json.
        uncommitted: paths, None when the workspace has no repository.
        champion: the version to beat, if there is one.
        contest: candidate and champion on today's test set.
        unmeasured: why there is no contest, or no answer of the champion in it.
        findings: data/valid/findings.json, None when the stage `validate` left none.
    """

    evaluation: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    exports: Mapping[str, Mapping[str, Any]]
    uncommitted: list[str] | None = None
    champion: Champion | None = None
    contest: Contest | None = None
    unmeasured: str = ""
    findings: Mapping[str, Any] | None = None

    def measured(self, artefact: str, key: str) -> Any:
        """A number of the benchmark, None where it was not timed."""
        return self.benchmark.get("artefacts", {}).get(artefact, {}).get(key)
