"""Registered versions, asked by name: the champion, the last one, and the files behind a `models:/` address."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlparse

from tasks.base.errors import UserError
from tasks.base.files import digest_value, folder_atomic
from tasks.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

Part = Literal["deployed", "trained", "pruned", "lineage", "all"]
PAGE = 1000
ADDRESS = re.compile(r"models:/(?P<name>[\w\-. ]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+|latest))")


def champion(name: str | None = None, workspace: Path = Path()) -> dict[str, Any] | None:
    """What is known of the version that holds the alias `champion`, None when none does.

    Args:
        name: registered model, the workspace's own when it is left out.
        workspace: folder of the workspace.

    Returns:
        name, version, aliases, created (ms since 1970), description, run_id, and tags (name → text) with
        visionmill.AP, .AP50 (0..1), .test_hash, .gate, .git_commit, …
    """
    return next((one for one in _known(name, workspace, "the champion was asked for") if "champion" in one["aliases"]),
                None)


def last_version(name: str | None = None, workspace: Path = Path()) -> dict[str, Any] | None:
    """The newest version, in the form of `champion`; None when nothing was registered."""
    return next(iter(_known(name, workspace, "the last version was asked for")), None)


def versions(mlflow: MlflowClient, name: str) -> list[Any]:
    """All versions of a registered model with their aliases, newest first."""
    found = _all_versions(mlflow, name)
    if found:
        held: dict[str, list[str]] = {}
        # a search leaves the aliases out, and asking version by version is a query each
        for alias, number in mlflow.get_registered_model(name).aliases.items():
            held.setdefault(str(number), []).append(alias)
        for version in found:
            version.aliases = sorted(held.get(str(version.version), []))
    return sorted(found, key=lambda version: -int(version.version))


def _all_versions(mlflow: MlflowClient, name: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = mlflow.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def by_alias(mlflow: MlflowClient, name: str, alias: str) -> Any | None:
    """The version that holds an alias, None when none does."""
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # a store that is away must not read as "there is no champion"
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        return None


def is_address(text: str) -> bool:
    """True for what `resolve_model` looks up in the registry."""
    return str(text).startswith("models:/")


def resolve_model(uri: str | Path, part: Part = "deployed", workspace: Path = Path()) -> Path:
    """The local folder or file behind `models:/NAME@ALIAS`, `models:/NAME/3` or `models:/NAME/latest`.

    Args:
        uri: an address, or a path, which is given back when it exists.
        part: `deployed` the ONNX file that was judged and is served; `trained` and `pruned` the model folders
            (model.json and model.safetensors); `lineage` dvc.lock, dvc.yaml, params.yaml; `all` the MLflow model.
        workspace: whose store is asked.

    Raises:
        UserError: no such path, name, version, alias or part; what there is, is listed.
    """
    if not is_address(str(uri)):
        if not Path(uri).exists():
            raise UserError("no such model", where=uri, mend="a model folder, an .onnx file or models:/NAME@champion")
        return Path(uri)
    match = ADDRESS.fullmatch(str(uri))
    if match is None:
        raise UserError(f"{uri!r} is no address", mend="models:/NAME@ALIAS, models:/NAME/3 or models:/NAME/latest")
    with store.told_in_words("a version was looked up", workspace):
        mlflow = store.client(workspace)
        version = _find(mlflow, match, str(uri))
        if part in ("trained", "pruned") and version.tags.get("visionmill.trainable") == "no":
            raise UserError("that version is an ONNX file from elsewhere: it can be used, quantised and bundled; there "
                            "are no weights to train", where=str(uri),
                            mend="train.init: imagenet, or: visionmill import-model WEIGHTS --preset NAME")
        return _part(_piece(mlflow, version, part, workspace), part, str(uri))


@contextmanager
def global_uri(workspace: Path) -> Iterator[None]:
    """Inside the block the parts of MLflow that know no client use the workspace's store."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = store.tracking_uri(workspace)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _find(mlflow: MlflowClient, match: re.Match[str], uri: str) -> Any:
    name, alias, number = match["name"], match["alias"], match["version"]
    known = versions(mlflow, name)
    if not known:
        models = ", ".join(m.name for m in mlflow.search_registered_models(max_results=20)) or "none"
        raise UserError(f"no version of {name!r} is registered", where=uri, mend=f"registered models: {models}")
    if alias or number == "latest":
        found = by_alias(mlflow, name, alias) if alias else known[0]
    else:
        found = next((v for v in known if str(v.version) == number), None)
    if found is None:
        there = ", ".join(f"{v.version}{''.join(f' @{a}' for a in sorted(v.aliases))}" for v in known)
        raise UserError(f"{name!r} has no {f'alias {alias!r}' if alias else f'version {number}'}", where=uri,
                        mend=f"versions: {there}")
    return found


def _piece(mlflow: MlflowClient, version: Any, part: Part, workspace: Path) -> Path:
    """Local path of a part of a version's files; from a server it is fetched once."""
    source = mlflow.get_model_version_download_uri(version.name, version.version)
    inside = {"deployed": "artifacts", "all": ""}.get(part, part)
    if (local := local_files(source, workspace)) is not None:
        return local / inside
    # a version never changes; equal names in two stores must not meet
    which = digest_value([source, version.creation_timestamp])[:12]
    kept = workspace / store.STATE / "models" / f"{version.name}-{version.version}-{which}" / part
    if not kept.exists():
        _fetch(f"{source}/{inside}".rstrip("/"), kept, workspace)
    return kept / "files"


def local_files(source: str, workspace: Path) -> Path | None:
    """The folder that a `file:` address means, None for an address of a server.

    MLflow writes absolute addresses. In a workspace that was moved or copied its own `mlruns` goes first.
    """
    if not source.startswith(("file:", "/")):
        return None
    told = Path(unquote(urlparse(source).path))
    above, runs, inside = str(told).rpartition("/mlruns/")
    here = workspace.resolve() / "mlruns" / inside
    return here if above and runs and here.exists() else told


def _fetch(source: str, kept: Path, workspace: Path) -> None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        with folder_atomic(kept) as fresh, global_uri(workspace):
            Path(download_artifacts(artifact_uri=source, dst_path=str(fresh))).rename(fresh / "files")
    except (MlflowException, OSError) as error:
        raise UserError(f"the version's files cannot be fetched: {str(error).splitlines()[0][:160]}", where=source,
                        mend="visionmill register, in the workspace that made it") from error


def _part(piece: Path, part: Part, uri: str) -> Path:
    found = next(iter(sorted(piece.glob("*.onnx"))), None) if part == "deployed" else piece
    if found is None or not found.exists():
        raise UserError(f"that version carries no {part} model", where=uri, mend="register it again with visionmill")
    return found


def _known(name: str | None, workspace: Path, what: str) -> list[dict[str, Any]]:
    """All versions as plain data, newest first; an embedded store is asked without MLflow."""
    from tasks.registry.tracing.reading import own_name, reading

    with reading(workspace, what) as registry:
        return [{"name": one.name, "version": one.version, "aliases": sorted(one.aliases), "created": one.created,
                 "description": one.description, "run_id": one.run_id, "tags": dict(one.tags)}
                for one in registry.versions(name or own_name(registry, workspace))]
