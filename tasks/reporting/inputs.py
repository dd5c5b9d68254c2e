"""Everything that the page shows, read once. What an earlier stage did not leave behind is None, never an error."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.base.files import read_json
from tasks.data.table import SPLITS, Dataset, boxes_of, read_dataset
from tasks.metrics.detections import read_detections
from tasks.reporting import words

REFERENCE = "trained/torch"
HEADER_LIMIT = 1 << 26  # a safetensors header that is larger than 64 MiB is not one


@dataclass(frozen=True)
class Model:
    """A model folder: its card, history, pruning summary, the shape of each tensor, and the points of its pruning."""

    name: str
    card: dict[str, Any]
    history: list[dict[str, Any]]
    prune: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    points: list[dict[str, Any]] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        """Numbers in all tensors that are no running statistics."""
        return sum(int(np.prod(s)) for name, s in self.shapes.items() if not _statistic(name))


@dataclass(frozen=True)
class Material:
    """The inputs of the report.

    Attributes:
        findings: what validation wrote, one entry a finding; None when it left no list.
        metrics: `metrics.json` of the evaluation; empty when there is none.
        benchmark: `benchmark.json`; empty when there is none.
        detections: artefact name -> detections table, in the order of the artefacts.
    """

    raw: Path
    dataset: Dataset
    findings: list[dict[str, Any]] | None
    trained: Model
    pruned: Model
    metrics: dict[str, Any]
    benchmark: dict[str, Any]
    detections: dict[str, pa.Table]

    @property
    def classes(self) -> list[str]:
        return self.dataset.meta.classes

    @property
    def line(self) -> str | None:
        return self.trained.card.get("line") or self.pruned.card.get("line")

    @cached_property
    def artefacts(self) -> list[str]:
        """Names in the order of every table: torch first, then target by target, trained before pruned."""
        found = {**self.metrics.get("artefacts", {}), **self.benchmark.get("artefacts", {})}
        targets = list(dict.fromkeys(name.partition("/")[2] for name in found))
        targets.sort(key=lambda t: t != "torch")
        return sorted(found, key=lambda n: (targets.index(n.partition("/")[2]), not n.startswith("trained/")))

    @cached_property
    def splits(self) -> dict[str, Dataset]:
        """The splits that have pictures, train first."""
        names = set(self.dataset.images["split"].to_pylist())
        return {name: self.dataset.subset(name) for name in SPLITS if name in names}

    @cached_property
    def judged(self) -> Dataset:
        """The split that the artefacts were measured on."""
        return self.dataset.subset(self.split)

    @property
    def split(self) -> str:
        return str(self.metrics.get("split", "test"))

    @cached_property
    def truth(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """image_id -> boxes xyxy in pixels, class ids."""
        return boxes_of(self.dataset)

    @cached_property
    def pictures(self) -> dict[int, tuple[str, tuple[int, int]]]:
        """image_id -> file, (width, height)."""
        columns = self.dataset.images.select(["image_id", "file", "width", "height"]).to_pydict()
        return {i: (f, (w, h)) for i, f, w, h in zip(*columns.values(), strict=True)}

    def quality(self, artefact: str) -> dict[str, Any]:
        return self.metrics.get("artefacts", {}).get(artefact, {})

    def speed(self, artefact: str) -> dict[str, Any]:
        return self.benchmark.get("artefacts", {}).get(artefact, {})

    def bytes_of(self, artefact: str) -> float | None:
        value = self.quality(artefact).get("bytes", self.speed(artefact).get("bytes"))
        return float(value) if words.known(value) else None


def read_material(
    raw: Path, data: Path, valid: Path, trained: Path, pruned: Path, evaluation: Path, benchmark: Path
) -> Material:
    """Read all inputs.

    Raises:
        DataError: `data` is no dataset folder; all else may be missing.
    """
    dataset = read_dataset(data)
    metrics = _object(evaluation / "metrics.json")
    tables = {
        name: _detections(evaluation / "detections" / f"{name.replace('/', '__')}.parquet")
        for name in metrics.get("artefacts", {})
    }
    material = Material(
        raw,
        dataset,
        read_findings(valid / "findings.json"),
        read_model(trained),
        read_model(pruned),
        metrics,
        _object(benchmark / "benchmark.json"),
        {},
    )
    for name in material.artefacts:
        if (table := tables.get(name)) is not None:
            material.detections[name] = table
    return material


def read_model(folder: Path) -> Model:
    return Model(
        folder.name,
        _object(folder / "model.json"),
        _objects(folder / "history.json"),
        _object(folder / "prune.json"),
        tensor_shapes(folder / "model.safetensors"),
        _objects(folder / "frontier.json"),
    )


def _objects(path: Path) -> list[dict[str, Any]]:
    content = _json(path)
    return [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []


def read_findings(path: Path) -> list[dict[str, Any]] | None:
    """The list of findings, with or without an object around it; None when there is no such file."""
    content = _json(path)
    if isinstance(content, dict):
        content = content.get("findings")
    return [f for f in content if isinstance(f, dict)] if isinstance(content, list) else None


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file, from its header alone (https://huggingface.co/docs/safetensors)."""
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length)) if length <= HEADER_LIMIT else {}
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return {}


def _statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _object(path: Path) -> dict[str, Any]:
    content = _json(path)
    return content if isinstance(content, dict) else {}


def _detections(path: Path) -> pa.Table | None:
    try:
        return read_detections(path)
    except DataError:
        return None
