"""A workspace as the stages before `report` leave it: real photographs, made-up but plausible models and detections."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from safetensors.numpy import save_file

from tasks.base.files import digest_file, write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, boxes_of, write_dataset
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.detections import detections_table, write_detections
from tasks.runtime.detections import Detections

ARTEFACTS = (
    "trained/torch",
    "pruned/torch",
    "trained/cpu-fp32",
    "pruned/cpu-fp32",
    "trained/cpu-int8",
    "pruned/cpu-int8",
)
# median latency in ms, bytes, and how much worse than the labels the detections are
COSTS = {
    "trained/torch": (46.2, 13_400_000, 0.5),
    "pruned/torch": (21.4, 3_700_000, 0.7),
    "trained/cpu-fp32": (21.9, 13_300_000, 0.5),
    "pruned/cpu-fp32": (9.6, 3_650_000, 0.7),
    "trained/cpu-int8": (11.3, 3_600_000, 0.65),
    "pruned/cpu-int8": (5.4, 1_080_000, 0.85),
}
LAYERS = {
    "backbone.stem": (32, 32),
    "backbone.block1.conv": (96, 48),
    "backbone.block2.conv": (144, 48),
    "backbone.block10.conv": (240, 96),
    "fpn.inner.0": (64, 64),
    "head.tower.0": (64, 48),
}
FINDINGS = [
    {"kind": "degenerate", "file": "a.xml", "row": "#3", "detail": "the box is 0 px wide", "action": "dropped"},
    {"kind": "overhang", "file": "b.xml", "row": "#1", "detail": "4 px outside the picture", "action": "fixed"},
    {"kind": "overhang", "file": "c.xml", "row": "#7", "detail": "1 px outside the picture", "action": "fixed"},
]


@dataclass
class Workspace:
    """Paths of the stages' outputs, by the names of the stage's arguments."""

    root: Path
    dataset: Dataset
    paths: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        places = {
            "raw": "data/raw",
            "data": "data/split",
            "valid": "data/valid",
            "trained": "models/trained",
            "pruned": "models/pruned",
            "evaluation": "results/evaluate",
            "benchmark": "results/benchmark",
            "out": "results/report",
        }
        self.paths = {name: self.root / place for name, place in places.items()}

    @property
    def page(self) -> str:
        return (self.paths["out"] / "index.html").read_text(encoding="utf-8")


def make(
    root: Path, classes: list[str], *, pictures: int = 6, unseen: tuple[int, ...] = (), seed: int = 0
) -> Workspace:
    """A whole workspace over crops of the photographs that scikit-learn carries.

    Args:
        unseen: class ids without a labelled box.
    """
    rng = np.random.default_rng(seed)
    workspace = Workspace(root, _dataset(root / "data/raw", classes, pictures, unseen, rng))
    write_dataset(workspace.paths["data"], workspace.dataset)
    write_json(workspace.paths["valid"] / "findings.json", {"schema": 1, "findings": FINDINGS})
    add_results(workspace, rng)
    return workspace


def add_results(workspace: Workspace, rng: np.random.Generator) -> None:
    """Models, evaluation and benchmark for a workspace that has its data."""
    _models(workspace, rng)
    test, measured = workspace.dataset.subset("test"), {}
    for name in ARTEFACTS:
        table = detections_table(detect(test, COSTS[name][2], np.random.default_rng(7)))
        write_detections(workspace.paths["evaluation"] / f"detections/{name.replace('/', '__')}.parquet", table)
        measured[name] = {
            **evaluate_coco(test, table),
            **sure(measured.get("trained/torch"), evaluate_coco(test, table)),
            "robustness": {
                "noise": [0.5, 0.4, 0.1],
                "blur": [0.6, 0.5, 0.4],
                "jpeg": [0.7, 0.6, None],
                "clean": 0.8,
                "mean": 0.475,
            },
            "bytes": COSTS[name][1],
            "voc": {"sample": {"mAP": 0.81, "per_class": {}}, "integrate": {"mAP": 0.82, "per_class": {}}},
        }
    write_json(
        workspace.paths["evaluation"] / "metrics.json",
        {"test_hash": "4f" * 32, "split": "test", "images": test.images.num_rows, "artefacts": measured},
    )
    timed = {
        n: {
            "median_ms": ms,
            "p95_ms": 1.2 * ms,
            "throughput_per_s": 1000 / ms,
            "peak_memory_mb": 310.0,
            "bytes": size,
            "provider": "CPUExecutionProvider",
        }
        for n, (ms, size, _) in COSTS.items()
    }
    write_json(
        workspace.paths["benchmark"] / "benchmark.json",
        {"machine": {"cpu": "EPYC 9R14", "threads": 2}, "artefacts": timed},
    )


def sure(reference: dict[str, Any] | None, one: dict[str, Any]) -> dict[str, Any]:
    """Intervals in the form of the stage `evaluate`."""
    found: dict[str, Any] = {}
    for key in ("AP", "AP50"):
        known = one[key] is not None
        found |= {f"{key}_low": one[key] - 0.1 if known else None, f"{key}_high": one[key] + 0.1 if known else None}
        if reference is not None:
            fell = one[key] - reference[key] if known else None
            found[f"{key}_change"] = {"value": fell, "low": fell - 0.2 if known else None,
                                      "high": fell + 0.2 if known else None}
    return found


def detect(dataset: Dataset, noise: float, rng: np.random.Generator) -> dict[int, Detections]:
    """The labels again, shaken, some lost, some of another class, and a few false alarms."""
    found, classes = {}, len(dataset.meta.classes)
    sizes = dict(
        zip(
            dataset.images["image_id"].to_pylist(),
            zip(dataset.images["width"].to_pylist(), dataset.images["height"].to_pylist(), strict=True),
            strict=True,
        )
    )
    for image, (boxes, ids) in boxes_of(dataset).items():
        side = np.sqrt(np.clip((boxes[:, 2:] - boxes[:, :2]).prod(axis=1, keepdims=True), 1, None))
        shaken = boxes + rng.normal(0, 0.08 * noise, boxes.shape) * side
        scores = np.clip(rng.beta(6, 2.2, len(boxes)) - 0.25 * noise * rng.random(len(boxes)), 0.06, 0.99)
        wrong = np.where(rng.random(len(ids)) < 0.06 * noise, rng.integers(0, classes, len(ids)), ids)
        alarms = rng.random((2, 4)) * 0.3 * np.array([*sizes[image]] * 2)
        alarms[:, 2:] += alarms[:, :2] + 12
        keep = rng.random(len(boxes)) > 0.08 * noise
        corners = np.concatenate([shaken[keep], alarms])
        corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
        values = np.concatenate([scores[keep], rng.beta(2, 5, 2)]).astype(np.float32)
        labels = np.concatenate([wrong[keep], rng.integers(0, classes, 2)])
        order = np.argsort(-values, kind="stable")
        found[image] = Detections(corners[order].astype(np.float32), values[order], labels[order].astype(np.int64))
    return found


def _dataset(
    raw: Path, classes: list[str], pictures: int, unseen: tuple[int, ...], rng: np.random.Generator
) -> Dataset:
    raw.mkdir(parents=True)
    seen = [c for c in range(len(classes)) if c not in unseen]
    images, rows = [], []
    for i in range(pictures):
        file = f"picture-{i}.jpg"
        width, height = _photograph(raw / file, rng)
        split = ("train", "val", "test")[i % 3]
        images.append([i, file, width, height, digest_file(raw / file), (raw / file).stat().st_size, 1, split])
        for _ in range(int(rng.integers(3, 8)) if seen else 0):
            w, h = rng.uniform(14, 70, 2)
            place = [rng.uniform(0, width - w), rng.uniform(0, height - h), w, h, w * h]
            label, row = int(rng.choice(seen)), f"a.xml#{len(rows)}"
            rows.append([len(rows), i, label, *place, False, False, "import", None, None, None, None, row])
    meta = Meta(name="photographs", classes=classes, licence="BSD-3-Clause")
    return Dataset(_table(images, IMAGES), _table(rows, ANNOTATIONS), meta)


def _table(rows: list[list[Any]], schema: pa.Schema) -> pa.Table:
    # columns that came later are empty
    rows = [[*row, *[None] * (len(schema) - len(row))] for row in rows]
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in schema.names]
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _photograph(path: Path, rng: np.random.Generator) -> tuple[int, int]:
    folder = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets/images"  # type: ignore[union-attr,arg-type]
    with Image.open(folder / str(rng.choice(["china.jpg", "flower.jpg"]))) as photograph:
        left, top = int(rng.integers(0, 380)), int(rng.integers(0, 220))
        photograph.crop((left, top, left + 240, top + 180)).save(path, quality=85)
    return 240, 180


def _models(workspace: Workspace, rng: np.random.Generator) -> None:
    card = {
        "schema": 1,
        "problem": "detect",
        "classes": workspace.dataset.meta.classes,
        "height": 240,
        "width": 320,
        "preset": {"architecture": "fcos", "backbone": "efficientnet_lite0"},
        "line": "5f0c" * 8,
        "plan": None,
    }
    for place, (name, start) in enumerate((("trained", 0.0), ("pruned", 0.55))):
        folder, plan = workspace.paths[name], {layer: {"out_channels": c[place]} for layer, c in LAYERS.items()}
        write_json(folder / "model.json", card | {"plan": plan if place else None})
        save_file(
            {f"{layer}.weight": np.zeros((c[place], 8, 1, 1), np.float16) for layer, c in LAYERS.items()},
            folder / "model.safetensors",
        )
        write_json(folder / "history.json", [_epoch(e, start, rng) for e in range(12)])
    write_json(
        workspace.paths["pruned"] / "prune.json",
        {
            "kept_parameters": 0.276,
            "macs_before": 1.61e9,
            "macs_after": 5.2e8,
            "parameters_before": 3_350_000,
            "parameters_after": 925_000,
        },
    )
    way = [(1.0, 1.61e9, 0.55), (0.5, 9.0e8, 0.552), (0.276, 5.2e8, 0.549)]
    write_json(workspace.paths["pruned"] / "frontier.json", [
        {"taken": share < 0.3, "kept_parameters": share, "parameters": int(3_350_000 * share), "macs": macs,
         "val_AP": ap}
        for share, macs, ap in way])


def _epoch(number: int, start: float, rng: np.random.Generator) -> dict[str, float]:
    risen = start + (0.88 - start) * (1 - np.exp(-(number + 1) / 3))
    noise = float(rng.normal(0, 0.008))
    return {
        "epoch": number + 1,
        "loss": float(0.7 + 1.6 * (1 - start) * np.exp(-number / 3) + noise),
        "lr": 1e-3 * float(np.cos(number / 12 * np.pi / 2)),
        "val_AP50": float(risen + noise),
        "val_AP": float(0.62 * risen + noise),
    }
