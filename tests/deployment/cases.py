"""Workspaces whose registry holds versions made by hand: a real small detector, its real answers, no training."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

from tasks.base.files import read_json, write_json
from tasks.registry import store, versions
from tests.bundle.conftest import small_onnx

NAME = "cells"
SITE = {"deploy": {"targets": ["cpu-fp32"], "poll_s": 1.0, "keep": 2}}


def workspace(folder: Path, empty_store: Path, **site: Any) -> Path:
    """A folder that commands take for a workspace, with an empty registry and a site of its own."""
    folder.mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlflow.db")
    (folder / ".dvc").mkdir()
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text(f"register:\n  name: {NAME}\n")
    write_site(folder, **site)
    return folder


def write_site(folder: Path, **more: Any) -> None:
    """conf/site/local.yaml; JSON is YAML."""
    write_json(folder / "conf/site/local.yaml", {**SITE, **more})


def picture(seed: int) -> bytes:
    """A PNG of coarse coloured noise, in which the small detector finds much."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((128, 96))
    content = io.BytesIO()
    coarse.save(content, "PNG")
    return content.getvalue()


def model_folder(folder: Path, seed: int = 0, smoke: bool = True, nan: bool = False) -> Path:
    """The files of a version as registration lays them: artifacts/, and smoke/ with pictures and answers."""
    (folder / "artifacts").mkdir(parents=True)
    file = small_onnx(folder / "artifacts/model.onnx", seed=seed)
    if smoke:
        (folder / "smoke").mkdir()
        write_json(folder / "smoke/answers.json", answers(file, folder / "smoke"))
    if nan:
        broken = onnx.load(file)
        next(x for x in broken.graph.initializer if x.name == "far").CopyFrom(
            onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "far"))
        onnx.save(broken, file)
    (folder / "MLmodel").write_text("flavors: {}\n")
    return folder


def answers(file: Path, into: Path) -> dict[str, Any]:
    from tasks.runtime.detector import open_detector

    detector, rows = open_detector(file, runtime="onnxruntime", device="cpu"), []
    for number in range(2):
        content = picture(number)
        (into / f"{number}.png").write_bytes(content)
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        found = detector.predict([pixels], score_threshold=0.05)[0]
        rows.append({"file": f"{number}.png", "width": 128, "height": 96, "boxes": found.boxes.tolist(),
                     "classes": [detector.classes[k] for k in found.class_ids], "scores": found.scores.tolist()})
    return {"schema": 1, "artefact": "pruned/cpu-fp32", "provider": "CPUExecutionProvider",
            "classes": detector.classes, "score_threshold": 0.05, "pictures": rows}


def add_version(mlflow: Any, root: Path, files: Path, *, gate: str | None = "passed",
                artefact: str | None = "pruned/cpu-fp32", **tags: str) -> str:
    """Register a folder of files; returns the version's number."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException

    experiment = store.experiment(mlflow, root)
    run = mlflow.create_run(experiment).info.run_id
    mlflow.set_terminated(run)
    model = mlflow.create_logged_model(experiment, name=NAME, source_run_id=run)
    mlflow.log_model_artifacts(model.model_id, str(files))
    mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    try:
        mlflow.get_registered_model(NAME)
    except MlflowException:
        mlflow.create_registered_model(NAME)
    known = {"gate": gate, "artefact": artefact, "gate_hash": "abcdef12" if gate else None, **tags}
    told = {f"visionmill.{key}": value for key, value in known.items() if value is not None}
    with versions.global_uri(root):
        made = mlflow.create_model_version(NAME, f"models:/{model.model_id}", run, model_id=model.model_id, tags=told)
    return str(made.version)


def spoil_answers(files: Path) -> None:
    """Expect boxes that no model gives."""
    told = read_json(files / "smoke/answers.json")
    for row in told["pictures"]:
        row.update(boxes=[[1, 1, 5, 5]] * 4, classes=["round"] * 4, scores=[0.95, 0.94, 0.93, 0.92])
    write_json(files / "smoke/answers.json", told)


def aliases(mlflow: Any) -> dict[str, str]:
    return {alias: str(version) for alias, version in mlflow.get_registered_model(NAME).aliases.items()}


def tags(mlflow: Any, version: str) -> dict[str, str]:
    found = mlflow.get_model_version(NAME, version).tags
    return {key.removeprefix("visionmill."): value for key, value in found.items()}


def told(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]
