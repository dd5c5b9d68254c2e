"""Where the file to bundle comes from, and what is known of it: a registered version, a workspace, or a lone file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.base import presets
from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import read_json
from tasks.base.params import read_yaml
from tasks.registry import store, versions
from tasks.runtime.artefacts import MODELS

SHORT = re.compile(r"[\w\-. ]+(@[\w-]+|/(\d+|latest))")  # NAME@ALIAS, NAME/3
NUMBERS = ("AP", "AP50", "median_ms", "p95_ms", "speedup")


@dataclass(frozen=True)
class Source:
    """A file to bundle.

    Attributes:
        file: the .onnx file.
        name: of the model.
        provenance: version, artefact, line, git_commit, data_hash … as far as known.
        measured: AP, AP50 (0..1), median_ms, p95_ms, speedup, test_hash, test_images, machine … as far as known.
        licence: of the data, as its dataset states it.
        network: what the model is built of.
    """

    file: Path
    name: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    network: str | None = None


def find_source(model: str | None, target: str | None, artefact: str | None, workspace: Path = Path()) -> Source:
    """What the words of the command name.

    Args:
        model: NAME@ALIAS, NAME/VERSION, models:/…, or an .onnx file; None inside a workspace.
        target: name of a file of conf/target/ that the result must be made for.
        artefact: `pruned/TARGET` or `trained/TARGET` of the workspace.
        workspace: whose store and exports are asked.

    Raises:
        UserError: no such model, version, target or artefact; what there is, is said.
    """
    if target is not None:
        presets.find("target", target, workspace)
    if model is None:
        return _of_workspace(artefact or (f"pruned/{target}" if target else None), workspace)
    if artefact is not None:
        raise UserError("a model and an artefact are asked for at once", where=f"{model}, --artefact {artefact}",
                        mend="name one: a version carries the file that was judged, --artefact is the workspace's own")
    address = model if versions.is_address(model) or Path(model).exists() else _address(model)
    if not versions.is_address(address):
        file = versions.resolve_model(address, "deployed", workspace)
        return Source(Path(file), Path(file).stem)
    return _of_version(address, target, workspace)


def _address(model: str) -> str:
    return f"models:/{model}" if SHORT.fullmatch(model) else model


def _of_version(address: str, target: str | None, workspace: Path) -> Source:
    file = versions.resolve_model(address, "deployed", workspace)
    version = _version(address, workspace)
    tags = {key.removeprefix("visionmill."): value for key, value in version.tags.items()
            if key.startswith("visionmill.")}
    carried = tags.get("artefact", "")
    if target is not None and carried and carried.partition("/")[2] != target:
        raise UserError(f"version {version.version} of {version.name!r} carries no file for {target!r}", where=address,
                        mend=f"it carries {carried}: --target {carried.partition('/')[2]}; another one of the same "
                             f"line, in its workspace: visionmill bundle --artefact pruned/{target} --out DIR")
    wanted = ("artefact", "line", "data_hash", "git_commit", "uncommitted", "gate", "params.yaml", "dvc.lock")
    provenance = {"name": version.name, "version": str(version.version), **{k: tags[k] for k in wanted if k in tags}}
    measured = {key: float(tags[key]) for key in NUMBERS if key in tags}
    measured |= {key: tags[key] for key in ("test_hash", "test_images", "machine") if key in tags}
    licence = tags.get("licence") or _licence_of(address, tags, workspace)
    return Source(file, version.name, provenance, measured, licence, _network(_piece(address, carried, workspace)))


def _version(address: str, workspace: Path) -> Any:
    """The registered version behind an address that `resolve_model` has found."""
    match = versions.ADDRESS.fullmatch(address)
    assert match is not None
    with store.told_in_words("a version was looked up", workspace):
        client = store.client(workspace)
        if match["alias"]:
            return versions.by_alias(client, match["name"], match["alias"])
        known = versions.versions(client, match["name"])
        number = known[0].version if match["version"] == "latest" else match["version"]
        return next(found for found in known if str(found.version) == str(number))


def _piece(address: str, artefact: str, workspace: Path) -> Path | None:
    part = artefact.partition("/")[0]
    try:
        return versions.resolve_model(address, "trained" if part == "trained" else "pruned", workspace)
    except VisionmillError:
        return None  # imported models have none


def _licence_of(address: str, tags: Mapping[str, str], workspace: Path) -> str | None:
    """The licence in the version's own parameters, or in this workspace's table when it is the same data."""
    from tasks.registry.lineage import dvc_hashes

    try:
        lineage = read_yaml(versions.resolve_model(address, "lineage", workspace) / "params.yaml")
        stated = (lineage.get("ingest") or {}).get("licence")
    except VisionmillError:
        stated = None
    if stated is None and tags.get("data_hash") and dvc_hashes(workspace).get("data/split") == tags["data_hash"]:
        return _licence(workspace)
    return stated


def _licence(workspace: Path) -> str | None:
    table = workspace / "data/split/dataset.json"
    return read_json(table).get("licence") if table.is_file() else None


def _network(folder: Path | None) -> str | None:
    structure = folder / "model.json" if folder else None
    told: dict[str, Any] = read_json(structure) if structure and structure.is_file() else {}
    preset: dict[str, Any] = told.get("preset") or {}
    return f"FCOS, {preset['backbone']}" if preset.get("backbone") else None


def _of_workspace(artefact: str | None, workspace: Path) -> Source:
    there = sorted(f"{file.stem}/{file.parent.name}" for file in workspace.glob("exports/*/*.onnx"))
    listed = f"there are: {', '.join(there)}" if there else "visionmill run makes them"
    if artefact is None:
        raise UserError("no model is named", mend=f"NAME@champion, an .onnx file, or --artefact; {listed}")
    kind, _, target = artefact.partition("/")
    file = workspace / "exports" / target / f"{kind}.onnx"
    if kind not in MODELS or artefact not in there:
        raise UserError(f"this workspace has no exported file {artefact!r}", where=file, mend=listed)
    from tasks.registry.lineage import dvc_hashes

    hashes = dvc_hashes(workspace)
    provenance = {"artefact": artefact, **({"data_hash": hashes["data/split"]} if "data/split" in hashes else {})}
    return Source(file, store.workspace_name(workspace), provenance, _measured(artefact, file, workspace),
                  _licence(workspace), _network(workspace / "models" / kind))


def _measured(artefact: str, file: Path, workspace: Path) -> dict[str, Any]:
    """What `evaluate` and `benchmark` left of this very file; nothing when they saw one of another size."""
    said: dict[str, Any] = {}
    for name in ("evaluate/metrics", "benchmark/benchmark"):
        result = workspace / "results" / f"{name}.json"
        told = read_json(result) if result.is_file() else {}
        mine = told.get("artefacts", {}).get(artefact, {})
        if mine.get("bytes") != file.stat().st_size:
            continue
        said |= {key: mine[key] for key in NUMBERS if mine.get(key) is not None}
        said |= {new: told[old] for old, new in (("test_hash", "test_hash"), ("images", "test_images")) if old in told}
        said |= {"machine": told["machine"]} if "machine" in told else {}
        base = told["artefacts"].get("trained/torch", {}).get("median_ms")
        said |= {"speedup": base / mine["median_ms"]} if base and mine.get("median_ms") else {}
    return said
