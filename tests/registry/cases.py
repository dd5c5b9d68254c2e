"""A finished line in small: real files in the form that the stages write, and a tiny real ONNX detector."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tasks.base.files import digest_file, write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.metrics.detections import SCHEMA, write_detections
from tasks.metrics.testset import digest_testset
from tasks.registry.runs import stage_run

LINE = "c0ffee" * 10
CLASSES = ["round", "square"]
SIDE = 32
PICTURES = 40  # of the test split; picture i shows one cell of brightness (i + 1) / 40
KINDS = ("trained/torch", "pruned/torch", "trained/cpu-fp32", "pruned/cpu-fp32", "trained/cpu-int8", "pruned/cpu-int8")
MS = {"trained/torch": 30.0, "pruned/torch": 12.0, "trained/cpu-fp32": 18.0, "pruned/cpu-fp32": 9.0,
      "trained/cpu-int8": 8.0, "pruned/cpu-int8": 4.0}


def tiny_onnx(path: Path, thresholds: Any = None, finds: float = 1.0, classes: list[str] | None = None) -> None:
    """A detector whose scores follow the picture: cell means over a 4 × 4 grid, red for class 0, blue for class 1.

    It is blind to a cell with a mean below 1 − `finds`.
    """
    cells = SIDE // 4
    corners = [(x * cells, y * cells) for y in range(4) for x in range(4)]
    boxes = np.array([[x - 3, y - 3, x + cells + 3, y + cells + 3] for x, y in corners], dtype=np.float32)[None]
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "full"], ["unit"]),
        helper.make_node("AveragePool", ["unit"], ["means"], kernel_shape=[cells, cells], strides=[cells, cells]),
        helper.make_node("Gather", ["means", "channels"], ["two"], axis=1),
        helper.make_node("Reshape", ["two", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["means_of_cells"], perm=[0, 2, 1]),
        helper.make_node("GreaterOrEqual", ["means_of_cells", "blind"], ["is_seen"]),
        helper.make_node("Cast", ["is_seen"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["means_of_cells", "seen"], ["scores"]),
        helper.make_node("Identity", ["fixed"], ["boxes"]),
    ]
    constants = {"full": np.float32(255), "channels": np.array([0, 2], dtype=np.int64),
                 "flat": np.array([1, 2, 16], dtype=np.int64), "fixed": boxes,
                 "blind": np.float32(1 - finds - 1e-6)}
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 16, 4]),
         helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 16, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {
        "classes": json.dumps(classes or CLASSES), "height": str(SIDE), "width": str(SIDE), "line": LINE,
        "thresholds": json.dumps(thresholds if thresholds is not None else {"round": 0.6, "square": 0.6})})
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def evaluation(ap: float | None = 0.5, ap50: float = 0.8, test_hash: str = "a" * 64, images: int = 72,
               size: int = 4_000_000, **better: float) -> dict[str, Any]:
    """results/evaluate/metrics.json; `better` moves single artefacts' AP, with `_` for `/` and `-`."""
    by_class = {name: {"AP": ap, "AP50": ap50, "ground_truth": images, "detections": 99} for name in CLASSES}
    rows = {name: {"AP": better.get(name.replace("/", "_").replace("-", "_"), ap), "AP50": ap50, "bytes": size,
                   "per_class": by_class} for name in KINDS}
    return {"test_hash": test_hash, "split": "test", "images": images, "artefacts": rows}


def benchmark(**ms: float) -> dict[str, Any]:
    changed = {name: ms.get(name.replace("/", "_").replace("-", "_"), value) for name, value in MS.items()}
    return {"machine": {"cores": 2}, "artefacts": {
        name: {"median_ms": value, "p95_ms": value * 1.2, "throughput_per_s": 1000 / value, "peak_memory_mb": 300.0,
               "bytes": 4_000_000, "provider": "CPUExecutionProvider"} for name, value in changed.items()}}


def export_json(drop: float = 0.005) -> dict[str, Any]:
    numbers = {"max_score_difference": 0.01, "max_box_difference_px": 0.5, "val_AP_torch": 0.5, "val_AP": 0.5 - drop}
    return {"trained": numbers, "pruned": numbers}


def commit(folder: Path) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(folder), *who, "commit", "-qm", "all", "--allow-empty"], check=True)


def cell(image: int) -> tuple[int, int, int]:
    """Column, row and class of the one cell that a picture shows."""
    return image % 4, image // 4 % 4, image % 2


def box(image: int) -> list[float]:
    """x, y, w, h of what the detector answers to that cell."""
    column, row, _ = cell(image)
    ends = [(max(8 * at - 3, 0), min(8 * at + 11, SIDE)) for at in (column, row)]
    return [float(ends[0][0]), float(ends[1][0]), float(ends[0][1] - ends[0][0]), float(ends[1][1] - ends[1][0])]


def write_pictures(raw: Path) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    for image in range(PICTURES):
        column, row, label = cell(image)
        pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
        pixels[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, 2 * label] = round(255 * (image + 1) / PICTURES)
        Image.fromarray(pixels).save(raw / f"{image}.png")


def scene(raw: Path) -> Dataset:
    """The test split of `write_pictures`: a box a picture; the even ones are tagged `even`."""
    rows = [{"image_id": image, "file": f"{image}.png", "width": SIDE, "height": SIDE,
             "digest": digest_file(raw / f"{image}.png"), "bytes": 1, "orientation": 1, "split": "test",
             "tags": ["even"] if image % 2 == 0 else []} for image in range(PICTURES)]
    boxes = [{"annotation_id": image, "image_id": image, "class_id": cell(image)[2],
              **dict(zip("xywh", box(image), strict=True)), "area": box(image)[2] * box(image)[3], "iscrowd": False,
              "difficult": False, "source": "import", "row": ""} for image in range(PICTURES)]
    tables = pa.Table.from_pylist(rows, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS)
    return Dataset(*tables, Meta(name="cells", classes=CLASSES))


def found_by(finds: float) -> pa.Table:
    """What `tiny_onnx(finds=…)` answers on those pictures."""
    scores = [round(255 * (image + 1) / PICTURES) / 255 for image in range(PICTURES)]
    rows = [dict(zip(SCHEMA.names, (image, cell(image)[2], *box(image), score), strict=True))
            for image, score in enumerate(scores) if score >= max(1 - finds - 1e-6, 0.05)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_data(folder: Path, finds: float) -> str:
    """data/ and the detections of a line; the digest of its test set."""
    raw = folder / "data/raw"
    if not raw.is_dir():
        write_pictures(raw)
        write_dataset(folder / "data/split", scene(raw))
        write_json(folder / "data/valid/findings.json", {
            "schema": 1, "checked": {"images": PICTURES, "annotations": PICTURES}, "counts": {}, "policy": {},
            "findings": []})
    for name in KINDS:
        write_detections(folder / f"results/evaluate/detections/{name.replace('/', '__')}.parquet", found_by(finds))
    return digest_testset(scene(raw))


def write_line(folder: Path, ap: float = 0.5, policy: str = "auto", gate: str = "default") -> None:
    """Everything but runs/: the outputs of a line with that accuracy. The weights differ with it."""
    (folder / "params.yaml").write_text("train:\n  epochs: 3\nexport:\n  targets: [cpu-fp32, cpu-int8]\n"
                                        f"register:\n  gate: {gate}\n  policy: {policy}\n")
    (folder / "dvc.yaml").write_text("stages:\n  split:\n    cmd: s\n    outs: [data/split]\n"
                                     "  train:\n    cmd: visionmill stage train\n    deps: [data/split]\n"
                                     "    params: [train]\n    outs: [models/trained]\n"
                                     "  export:\n    foreach: ${export.targets}\n    do:\n      cmd: e\n"
                                     "      params: [export.opset]\n      outs: ['exports/${item}']\n")
    (folder / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        "  split:\n    cmd: s\n    outs:\n    - path: data/split\n      md5: 0123456789abcdef0123456789abcdef.dir\n"
        "  train:\n    cmd: t\n    params:\n      params.yaml:\n        train:\n          epochs: 3\n"
        f"    outs:\n    - path: models/trained\n      md5: {ap}\n")
    for kind in ("trained", "pruned"):
        write_json(folder / "models" / kind / "model.json", {"schema": 1, "problem": "detect", "line": LINE})
        (folder / "models" / kind / "model.safetensors").write_bytes(f"weights {kind} {ap}".encode())
    for target in ("cpu-fp32", "cpu-int8"):
        for kind in ("trained", "pruned"):
            tiny_onnx(folder / "exports" / target / f"{kind}.onnx", finds=ap)
        write_json(folder / "exports" / target / "export.json", export_json())
    tested = write_data(folder, ap)
    write_json(folder / "results/evaluate/metrics.json", evaluation(ap, test_hash=tested, images=PICTURES))
    write_json(folder / "results/benchmark/benchmark.json", benchmark())
    (folder / "results/report").mkdir(parents=True, exist_ok=True)
    (folder / "results/report/index.html").write_text("<title>report</title>")


def log_runs(folder: Path) -> None:
    for stage in ("train", "prune"):
        with stage_run(stage, line=LINE, params={"epochs": 3, "schedule": {"warm_up": 1}},
                       record=folder / "runs" / f"{stage}.json", workspace=folder) as run:
            for epoch in range(3):
                run.metrics({"loss": 1.0 / (epoch + 1), "val": {"AP": 0.1 * epoch, "AP75": None}}, step=epoch)
            run.dataset("cells", "0123456789abcdef0123456789abcdef.dir")
