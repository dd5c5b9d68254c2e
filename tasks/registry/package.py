"""A version's files: a loadable MLflow model from code and ONNX, no pickle, with the folders it was made from."""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.base.params import read_yaml
from tasks.registry import alone, smoke
from tasks.registry.gates.gate import GateReport
from tasks.registry.outputs import FILES, Outputs

NEEDS = ("mlflow", "numpy", "pillow", "onnxruntime", "pandas")


def build_model(outputs: Outputs, report: GateReport, folder: Path, model_id: str, run_id: str, *,
                smoke_pictures: int = 0) -> None:
    """Write the MLflow model of the judged artefact to `folder`, which must not exist.

    Beside what MLflow needs it holds trained/ and pruned/ (model.json, model.safetensors), lineage/ (dvc.lock,
    dvc.yaml, params.yaml), report/, evaluation/ and smoke/ (`tasks.registry.smoke`).

    Args:
        smoke_pictures: test pictures that go along; with 0 neither they nor the test set's boxes leave the workspace.
    """
    import mlflow
    from mlflow.models import Model

    described = Model(model_uuid=model_id, run_id=run_id, model_id=model_id)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as made:
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder), python_model=str(alone.write_code(Path(made))),
            artifacts={"model": str(outputs.file(report.artefact).resolve())},
            signature=signature(), input_example=example(), mlflow_model=described, pip_requirements=requirements())
    drop_paths(folder / "MLmodel")
    for name in ("trained", "pruned"):
        shutil.copytree(outputs.workspace / "models" / name, folder / name)
    add_lineage(outputs, folder)
    smoke.add_evaluation(outputs, report, folder, truth=smoke_pictures > 0)
    smoke.add_smoke(outputs, report.artefact, folder, smoke_pictures)


def add_lineage(outputs: Outputs, folder: Path) -> None:
    """Copy dvc.lock, dvc.yaml, params.yaml and the report into `folder`."""
    (folder / "lineage").mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (outputs.workspace / name).is_file():
            shutil.copy(outputs.workspace / name, folder / "lineage" / name)
    if (outputs.workspace / "results/report").is_dir():
        shutil.copytree(outputs.workspace / "results/report", folder / "report")


def signature() -> Any:
    """Base64 pictures in; boxes [n, 4] in pixels, class names and scores out; thresholds as parameters."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    answer = Schema([ColSpec(Array(Array(DataType.double)), "boxes"), ColSpec(Array(DataType.string), "classes"),
                     ColSpec(Array(DataType.double), "scores")])
    knobs = ParamSchema([ParamSpec("score_threshold", DataType.double, -1.0),
                         ParamSpec("max_detections", DataType.long, 100)])
    return ModelSignature(Schema([ColSpec(DataType.string, "image")]), answer, knobs)


def example() -> Any:
    """A request that every version answers: one small grey picture."""
    import pandas as pd
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (64, 48), (114, 114, 114)).save(content, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(content.getvalue()).decode()]})


def requirements() -> list[str]:
    """The packages the served code needs, at the versions that are installed."""
    return [f"{name}=={version(_installed(name))}" for name in NEEDS]


def _installed(name: str) -> str:
    if name != "onnxruntime":
        return name
    from importlib.metadata import PackageNotFoundError

    try:
        version("onnxruntime")
    except PackageNotFoundError:
        return "onnxruntime-gpu"
    return name


def drop_paths(file: Path) -> None:
    """MLflow writes into MLmodel where code and ONNX file came from, with this machine's paths; it reads neither."""
    from ruamel.yaml import YAML

    described = read_yaml(file)
    flavor = described["flavors"]["python_function"]
    flavor["model_code_path"] = alone.NAME
    for artefact in flavor["artifacts"].values():
        artefact["uri"] = artefact["path"]
    with file.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(described, stream)
