"""Everything that lineage knows of a version, as one plain dictionary: from pictures to where it is deployed.

It is read from the version's own papers and tags, so another workspace or a clone sees the same. What is missing is
listed under `missing` with its reason, and the rest is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import digest_file, read_json
from tasks.base.params import read_yaml
from tasks.registry import lineage, versions
from tasks.registry.tracing import origins, standing
from tasks.registry.tracing.kept import Kept
from tasks.registry.tracing.papers import Papers, papers
from tasks.registry.tracing.reading import Known, Registry, Run, find, reading

RUN = "visionmill.run."
LOCKS = {None, "1.0", "2.0"}


def trail(name: str, version: str, workspace: Path = Path()) -> dict[str, Any]:
    """The trail of a version of a registered model.

    Returns:
        version (name, version, aliases, created, tags), pictures, labels, datasets, stages, params, code, runs, files,
        gate, audit, deployed, papers (where its own dvc.lock was found) and missing: a list of piece, why, mend.

    Raises:
        UserError: no such version, or the store is away.
    """
    with reading(workspace, "a version's lineage was asked for") as registry:
        return trail_of(find(f"{name}/{version}", registry, workspace), registry, workspace)


def trail_of(known: Known, registry: Registry, workspace: Path = Path()) -> dict[str, Any]:
    """The trail of a version that was looked up already."""
    missing: list[dict[str, str]] = []
    found = papers(known, registry, workspace)
    kept = Kept(workspace)
    stages, params = _stages(found, missing), _params(found, missing)
    runs = _runs(known, registry, stages, kept, missing)
    told: dict[str, Any] = {"version": _version(known), "papers": found.origin, "params": params,
                            "stages": stages, "runs": runs, "code": _code(known, runs, workspace)}
    told |= _data(known, stages, params, kept, workspace, missing)
    told |= {"files": _files(known, found, stages, kept, missing), "gate": _gate(known, registry, workspace, missing),
             "audit": standing.audit(known.name, known.version, workspace),
             "deployed": standing.where(known.name, known.version, workspace), "missing": missing}
    return told


def _version(known: Known) -> dict[str, Any]:
    return {"name": known.name, "version": known.version, "aliases": known.aliases, "created": known.created,
            "uri": f"models:/{known.name}/{known.version}",
            "tags": {name.removeprefix("visionmill."): text for name, text in sorted(known.tags.items())}}


def _miss(missing: list[dict[str, str]], piece: str, why: str, mend: str = "") -> None:
    missing.append({"piece": piece, "why": why, "mend": mend})


def _stages(found: Papers, missing: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The stages of the version's own dvc.lock, in its order, with the hashes of what went in and came out."""
    if found.folder is None:
        _miss(missing, "dvc.lock", "the version has no artefacts, and neither its run nor git has its lock",
              "visionmill register, in the workspace that made it")
        return []
    try:
        lock = read_yaml(found.folder / "dvc.lock")
        schema = lock.get("schema") if isinstance(lock, dict) else "none"
        if schema not in LOCKS:
            raise UserError(f"its dvc.lock has the schema {schema}, which this version of visionmill does not read")
        locked = _locked(found.folder)
        if not locked:
            _miss(missing, "dvc.lock", "it lists no stage")
        return [{"name": name, "cmd": str(stage.get("cmd", "")), "deps": _paths(stage.get("deps")),
                 "outs": _paths(stage.get("outs")),
                 "params": {str(file): values for file, values in (stage.get("params") or {}).items()}}
                for name, stage in locked.items() if isinstance(stage, dict)]
    except VisionmillError as error:
        _miss(missing, "dvc.lock", error.what)
    except AttributeError:
        _miss(missing, "dvc.lock", "it is no lock file of DVC")
    return []


def _locked(folder: Path) -> dict[str, Any]:
    """The stages that the version's dvc.yaml has; all of its lock where that or params.yaml cannot be read."""
    try:
        return lineage.locked_stages(folder)
    except VisionmillError:
        return lineage.stages_of(folder / "dvc.lock")


def _paths(entries: Any) -> list[dict[str, Any]]:
    return [{"path": str(one.get("path")), "hash": str(one.get("md5") or one.get("etag") or ""),
             "size": one.get("size"), "files": one.get("nfiles")} for one in entries or [] if isinstance(one, dict)]


def _params(found: Papers, missing: list[dict[str, str]]) -> dict[str, Any]:
    file = found.folder / "params.yaml" if found.folder else None
    if file is None or not file.is_file():
        _miss(missing, "parameters", "params.yaml is not with the version")
        return {}
    try:
        read = read_yaml(file)
    except VisionmillError as error:
        _miss(missing, "parameters", error.what)
        return {}
    return read if isinstance(read, dict) else {}


def _runs(known: Known, registry: Registry, stages: list[dict[str, Any]], kept: Kept,
          missing: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The run of each stage. A stage that DVC restored points at the run that made it; one that MLflow has lost is
    told from the record that DVC keeps."""
    ids = {name.removeprefix(RUN).replace("/", "@"): text for name, text in known.tags.items() if name.startswith(RUN)}
    parent = known.tag("parent_run") or known.run_id
    store = registry.runs([*ids.values(), *([parent] if parent else [])])
    order = {stage["name"]: place for place, stage in enumerate(stages)}
    found = []
    for stage, run_id in sorted(ids.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])):
        run = store.get(run_id)
        told = _told(stage, run_id, run) if run else _recorded(stage, run_id, stages, kept)
        if told["state"] != "there":
            _miss(missing, f"run of {stage}", f"MLflow has the run {run_id} no more ({told['state']})",
                  "mlflow gc has not run yet: restore it in the UI" if told["state"] == "deleted" else
                  "visionmill register logs it again from its record")
        found.append(told)
    if parent and (parent not in store or not store[parent].alive):
        _miss(missing, "run of the line", f"MLflow has the run {parent} no more")
    return found


def _told(stage: str, run_id: str, run: Run) -> dict[str, Any]:
    return {"stage": stage, "id": run_id, "state": "there" if run.alive else "deleted", "status": run.status,
            "started": run.started, "ended": run.ended, **_of_tags(run.tags)}


def _recorded(stage: str, run_id: str, stages: list[dict[str, Any]], kept: Kept) -> dict[str, Any]:
    """What the record says of a run that is gone: `runs/STAGE.json` is an output of the stage."""
    hashes = [out["hash"] for one in stages if one["name"] == stage for out in one["outs"]
              if out["path"].startswith("runs/")]
    empty = {"stage": stage, "id": run_id, "state": "not in the store", "status": "", "started": None, "ended": None}
    file = kept.file(hashes[0]) if hashes and hashes[0] else None
    try:
        record = read_json(file) if file else {}
    except (OSError, ValueError):
        record = {}
    if not isinstance(record, dict) or not record:
        return {**empty, **_of_tags({})}
    return {**empty, "state": "not in the store, told from its record", "status": str(record.get("status", "")),
            "started": record.get("started"), "ended": record.get("ended"), **_of_tags(record.get("tags") or {})}


def _of_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    names = {"commit": "git_commit", "package_commit": "package_commit", "uncommitted": "uncommitted",
             "flow_run": "flow_run", "machine_kind": "machine_kind", "params_hash": "params_hash"}
    return {key: tags.get(f"visionmill.{name}") for key, name in names.items()}


def _code(known: Known, runs: Iterable[Mapping[str, Any]], workspace: Path) -> dict[str, Any]:
    """The commits. A stage that was restored from the cache may have been made at an earlier one."""
    commit = known.tag("git_commit")
    commits = list(dict.fromkeys(text for text in [commit, *(run["commit"] for run in runs)]
                                 if text and text != "none"))
    subjects = {one: _subject(one, workspace) for one in commits}
    return {"commit": commit, "package_commit": known.tag("package_commit"), "package_version": known.tag("version"),
            "uncommitted": known.tag("uncommitted"), "commits": [{"id": one, "subject": text, "here": text is not None}
                                                                for one, text in subjects.items()]}


def _subject(commit: str, workspace: Path) -> str | None:
    """First line of a commit's message, None where this clone does not have it."""
    if not commit.isalnum():
        return None
    told = lineage.git(workspace, "log", "-1", "--format=%cs %s", commit, "--")
    return told.strip() if told is not None else None


def _data(known: Known, stages: list[dict[str, Any]], params: Mapping[str, Any], kept: Kept, workspace: Path,
          missing: list[dict[str, str]]) -> dict[str, Any]:
    outs = {out["path"]: out for stage in stages for out in [*stage["deps"], *stage["outs"]]}
    raw = outs.get("data/raw", {})
    split = outs.get("data/split", {}).get("hash") or known.tag("data_hash")
    told: dict[str, Any] = {"hash": raw.get("hash"), "bytes": raw.get("size"), "files": raw.get("files"),
                            "licence": known.tag("licence"), "split_hash": split, "test_hash": known.tag("test_hash")}
    found = origins.tables(split, kept)
    if found is None:
        if split and split != "unknown":
            _miss(missing, "split tables", f"the tables {split} are not on this machine: nothing is counted",
                  "dvc pull data/split")
        return {"pictures": told, "labels": {}, "datasets": origins.datasets(params, {}, workspace)}
    return {"pictures": told | origins.pictures(found), "labels": origins.labels(found),
            "datasets": origins.datasets(params, found.meta, workspace)}


def _files(known: Known, found: Papers, stages: list[dict[str, Any]], kept: Kept,
           missing: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Trained and pruned models and exported files with hash and size; `served` marks the one that was judged."""
    told = []
    served = known.tag("artefact") or ""
    kind, _, target = served.partition("/")
    for out in (out for stage in stages for out in stage["outs"] if out["path"].startswith(("models/", "exports/"))):
        inside = kept.listing(out["hash"]) or {}
        told += [{"path": f"{out['path']}/{name}", "hash": md5, "bytes": _size(kept.file(md5)),
                  "served": f"{out['path']}/{name}" == f"exports/{target}/{kind}.onnx"}
                 for name, md5 in inside.items() if name.endswith((".onnx", ".safetensors", ".engine", ".xml", ".bin"))]
        if not inside:
            told.append({"path": out["path"], "hash": out["hash"], "bytes": out["size"], "served": False})
    deployable = sorted((found.files / "artifacts").glob("*.onnx")) if found.files else []
    for file in deployable:
        told.append({"path": f"artifacts/{file.name}", "hash": f"sha256:{digest_file(file)}",
                     "bytes": file.stat().st_size, "served": True})
    if found.files is not None and not deployable:
        _miss(missing, "served file", "the version's artefacts hold no ONNX file")
    elif found.files is None and found.origin != "the version's artefacts":
        _miss(missing, "artefacts", "the version's files are not where MLflow says", "visionmill register")
    return told


def _size(file: Path | None) -> int | None:
    return file.stat().st_size if file is not None and file.is_file() else None


def _gate(known: Known, registry: Registry, workspace: Path, missing: list[dict[str, str]]) -> dict[str, Any]:
    told: dict[str, Any] = {"verdict": known.tag("gate"), "preset": known.tag("gate_preset"),
                            "hash": known.tag("gate_hash"), "rules": []}
    report = gate_report(known, registry, workspace)
    if report is None:
        if told["hash"]:
            _miss(missing, "gate report", "gate.json is not with the line's run")
        return told
    return told | {"rules": report.get("rules", []), "champion": report.get("champion")}


def gate_report(known: Known, registry: Registry, workspace: Path) -> dict[str, Any] | None:
    """`gate.json` of a version, None where it is not on this machine."""
    parent = known.tag("parent_run") or known.run_id
    run = registry.runs([parent]).get(parent) if parent else None
    place = versions.local_files(run.files, workspace) if run else None
    try:
        found = read_json(place / f"version-{known.version}" / "gate.json") if place else None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None
