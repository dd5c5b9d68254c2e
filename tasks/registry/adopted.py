"""A model from elsewhere as a registered version: its file and what is known of it, no line, no verdict of a gate.

Such a version becomes `candidate` and nothing more: it was measured on nothing that its owner has.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_tree, digest_value
from tasks.registry import alone, package, store, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

TYPES = {"detect": "detector", "classify": "classifier"}


@dataclass(frozen=True)
class Adopted:
    """A version in the registry.

    Attributes:
        uri: `models:/NAME/VERSION`.
        new: False when the same files were registered under this name already.
    """

    name: str
    version: str
    uri: str
    new: bool


def adopt(name: str, folder: Path, facts: Mapping[str, Any], *, line: str, problem: str = "detect",
          workspace: Path = Path()) -> Adopted:
    """Register what an import made; the same files again are the same version.

    Args:
        name: of the registered model.
        folder: `model.onnx` and `imported.json`, and `trained/` where there are weights.
        facts: sha256, source, licence and the like: they become tags `visionmill.…`.
        line: key that the file carries.
        problem: `detect` or `classify`.

    Raises:
        UserError: the name cannot be one, the store is away.
    """
    if not name or re.search(r"[^\w\-. ]", name):
        raise UserError(f"{name!r} cannot be the name of a model", where="--name",
                        mend="letters, digits, spaces, and the signs - _ .")
    with (store.file_lock(workspace / store.STATE / "register.lock"), versions.global_uri(workspace),
          store.told_in_words("an imported model was registered", workspace)):
        mlflow = store.client(workspace)
        tags = _tags(folder, facts, line)
        version = _known(mlflow, name, tags["visionmill.key"])
        new = version is None
        if version is None:
            version = _create(mlflow, name, folder, tags, problem, workspace)
        mlflow.set_registered_model_alias(name, "candidate", str(version.version))
    return Adopted(name, str(version.version), f"models:/{name}/{version.version}", new)


def _tags(folder: Path, facts: Mapping[str, Any], line: str) -> dict[str, str]:
    parts = [digest_file(folder / "model.onnx")]
    if (folder / "trained").is_dir():
        parts.append(digest_tree(folder / "trained"))
    plain = {name: str(facts[name]) for name in ("sha256", "source", "licence", "homepage", "preset", "loaded")
             if facts.get(name) is not None}
    tags = {"imported": "yes", "key": digest_value(parts), "line": line, "gate": "not asked: imported",
            "trainable": "yes" if (folder / "trained").is_dir() else "no", **plain}
    return {f"visionmill.{name}": value[:4000] for name, value in tags.items()}


def _known(mlflow: MlflowClient, name: str, key: str) -> Any | None:
    found = mlflow.search_model_versions(f"name = '{name}' and tags.`visionmill.key` = '{key}'", max_results=10)
    return found[0] if found else None


def _create(mlflow: MlflowClient, name: str, folder: Path, tags: dict[str, str], problem: str,
            workspace: Path) -> Any:
    """A new version: the model is built, uploaded and only then registered."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException

    place = store.experiment(mlflow, workspace)
    told = {**tags, "visionmill.kind": "import", "mlflow.source.name": "visionmill"}
    run = mlflow.create_run(place, tags=told, run_name=f"import {name}").info.run_id
    mlflow.log_artifact(run, str(folder / "imported.json"))
    model = mlflow.create_logged_model(place, name=name, source_run_id=run, tags=tags, model_type=TYPES[problem])
    try:
        with tempfile.TemporaryDirectory() as made:
            _build(folder, Path(made) / "model", model.model_id, run, problem)
            mlflow.log_model_artifacts(model.model_id, str(Path(made) / "model"))
    except BaseException:
        mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        mlflow.set_terminated(run, "FAILED")
        raise
    mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    mlflow.set_terminated(run)
    try:
        mlflow.get_registered_model(name)
    except MlflowException:
        mlflow.create_registered_model(name, description="Imported by visionmill.")
    return mlflow.create_model_version(name, f"models:/{model.model_id}", run, tags=tags, model_id=model.model_id,
                                       description=_describe(tags))


def _build(folder: Path, out: Path, model_id: str, run: str, problem: str) -> None:
    """Write the MLflow model; a detector is one that `mlflow models serve` answers, a classifier only its files."""
    import mlflow
    from mlflow.models import Model

    described = Model(model_uuid=model_id, run_id=run, model_id=model_id)
    if problem == "detect":
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as made:
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(out), python_model=str(alone.write_code(Path(made))),
                artifacts={"model": str((folder / "model.onnx").resolve())},
                signature=package.signature(), input_example=package.example(), mlflow_model=described,
                pip_requirements=package.requirements())
        package.drop_paths(out / "MLmodel")
    else:
        (out / "artifacts").mkdir(parents=True)
        shutil.copy(folder / "model.onnx", out / "artifacts/model.onnx")
        described.save(str(out / "MLmodel"))
    if (folder / "trained").is_dir():
        shutil.copytree(folder / "trained", out / "trained")
    shutil.copy(folder / "imported.json", out / "imported.json")


def _describe(tags: Mapping[str, str]) -> str:
    """What a reviewer reads on the version."""
    rows = [f"- {name}: {tags[f'visionmill.{name}']}" for name in ("source", "sha256", "licence", "homepage", "loaded")
            if f"visionmill.{name}" in tags]
    train = ("It can be trained on: `train.init`." if tags["visionmill.trainable"] == "yes" else
             "It can be used, quantised and bundled; there are no weights to train.")
    return "\n".join(["Imported from elsewhere; measured on no data of this workspace, asked of no gate.", "", *rows,
                      "", train])
