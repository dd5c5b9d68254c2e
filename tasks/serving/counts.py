"""What happened so far, in the text form that Prometheus reads.

https://prometheus.io/docs/instrumenting/exposition_formats
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable

BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
Gauge = tuple[str, str, list[tuple[dict[str, str], float]]]


class Counts:
    """Counters and one histogram; kept in memory, from zero at each start."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.pictures: Counter[str] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self._seconds: Counter[str] = Counter()
        self._inside: Counter[tuple[str, str]] = Counter()

    def answered(self, model: str, status: int, seconds: float) -> None:
        """A request and how long it took from its first byte to its answer."""
        self.requests[model, status] += 1
        if status == 200:
            self._buckets[model][bisect_left(BOUNDS, seconds)] += 1
            self._seconds[model] += seconds  # type: ignore[assignment]

    def looked(self, model: str, pictures: int, decode_ms: float, infer_ms: float) -> None:
        """Pictures that a process has looked at."""
        self.pictures[model] += pictures
        self._inside[model, "decode"] += decode_ms / 1000  # type: ignore[assignment]
        self._inside[model, "infer"] += infer_ms / 1000  # type: ignore[assignment]

    def mean_s(self, model: str) -> float:
        """Mean seconds of an answered request; 0.1 before the first."""
        count = sum(self._buckets[model]) if model in self._buckets else 0
        return self._seconds[model] / count if count else 0.1

    def text(self, gauges: Iterable[Gauge]) -> str:
        """Everything; `gauges` are what is now: name, help, and labels with their values."""
        lines: list[str] = []
        _family(lines, "requests_total", "counter", "requests by model and status",
                [({"model": model, "status": str(status)}, count) for (model, status), count in self.requests.items()])
        _family(lines, "pictures_total", "counter", "pictures looked at",
                [({"model": model}, count) for model, count in self.pictures.items()])
        _family(lines, "work_seconds_total", "counter", "seconds inside the model's process",
                [({"model": model, "part": part}, value) for (model, part), value in self._inside.items()])
        for event in ("starts", "deaths", "timeouts"):
            _family(lines, f"process_{event}_total", "counter", f"{event} of model processes",
                    [({"model": model}, count) for (kind, model), count in self.events.items() if kind == event])
        self._histogram(lines)
        for name, told, values in gauges:
            _family(lines, name, "gauge", told, values)
        return "\n".join(lines) + "\n"

    def _histogram(self, lines: list[str]) -> None:
        name = "visionmill_request_seconds"
        lines += [f"# HELP {name} seconds of requests that were answered with 200", f"# TYPE {name} histogram"]
        for model, buckets in self._buckets.items():
            total = 0
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
                total += count
                lines.append(f'{name}_bucket{{model="{_quoted(model)}",le="{bound}"}} {total}')
            lines.append(f'{name}_sum{{model="{_quoted(model)}"}} {self._seconds[model]:.6f}')
            lines.append(f'{name}_count{{model="{_quoted(model)}"}} {total}')


def _family(lines: list[str], name: str, kind: str, told: str, values: Iterable[tuple[dict[str, str], float]]) -> None:
    lines += [f"# HELP visionmill_{name} {told}", f"# TYPE visionmill_{name} {kind}"]
    for labels, value in values:
        inner = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
        lines.append(f"visionmill_{name}{{{inner}}} {value:g}" if inner else f"visionmill_{name} {value:g}")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
