"""What was registered last from this workspace: a small local file, asked before anything heavy is imported."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import ParamsError
from tasks.base.files import digest_file, digest_value, read_json, write_json
from tasks.registry import store
from tasks.registry.gates.gate import GateReport, load_gate

FILE = Path(store.STATE) / "registered.json"


@dataclass(frozen=True)
class Registration:
    """A version in the registry.

    Attributes:
        name, version: of the registered model.
        aliases: those that point to this version now.
        gate: the verdict.
        run_id: the line's parent run.
        uri: `models:/NAME/VERSION`.
        new: False when the version was there already.
        note: one sentence: what happened, and what a person may do next.
    """

    name: str
    version: str
    aliases: list[str]
    gate: GateReport
    run_id: str
    uri: str
    new: bool = False
    note: str = ""


def is_registered(workspace: Path = Path()) -> Registration | None:
    """The registration of exactly what lies in the workspace now, None when `register` has something to do.

    Reads `.visionmill/registered.json` and, for a SQLite store, two rows; imports no MLflow.
    """
    file = workspace / FILE
    if not file.is_file():
        return None
    try:
        saved = read_json(file)
        if saved["state"] != state_of(workspace):
            return None
        aliases = _aliases(saved, workspace)
        if aliases is None:
            return None
        return Registration(saved["name"], saved["version"], aliases,
                            GateReport.from_dict(saved["gate"]), saved["run_id"], saved["uri"],
                            note="registered before, nothing has changed since")
    except (KeyError, TypeError, ValueError):
        return None  # written by another version of this program
    except ParamsError:
        return None  # `register` says what is wrong with params.yaml or with the gate


def remember(registration: Registration, workspace: Path) -> None:
    """Write down what `is_registered` answers from now on."""
    write_json(workspace / FILE, {
        "name": registration.name, "version": registration.version, "aliases": registration.aliases,
        "gate": registration.gate.to_dict(), "run_id": registration.run_id, "uri": registration.uri,
        "state": state_of(workspace)})


def state_of(workspace: Path) -> str:
    """Digest of dvc.lock, dvc.yaml, params.yaml, every value of the gate they ask for, and the store's address.

    The gate is taken as it is judged by, whether its values come from the workspace, the package or their defaults, so
    that one which an upgrade changed is asked again. The state of git is left out: asking for it is too slow here.

    Raises:
        ParamsError: params.yaml or the gate cannot be read.
    """
    files = [workspace / "dvc.lock", workspace / "dvc.yaml", workspace / "params.yaml"]
    known = [[file.name, digest_file(file)] for file in files if file.is_file()]
    name = str(store.register_section(workspace).get("gate", "default"))
    gate = load_gate(name, workspace).model_dump(mode="json")
    return digest_value([known, name, gate, store.tracking_uri(workspace)])


def _aliases(saved: dict[str, Any], workspace: Path) -> list[str] | None:
    """Aliases that point to the saved version now, None when the version is gone; a server is not asked."""
    uri = store.tracking_uri(workspace)
    if not uri.startswith("sqlite:///") or os.environ.get("MLFLOW_REGISTRY_URI"):
        return saved["aliases"]
    which = (saved["name"], int(saved["version"]))
    try:
        with closing(sqlite3.connect(f"file:{uri.removeprefix('sqlite:///')}?mode=ro", uri=True, timeout=2)) as base:
            found = base.execute("select current_stage from model_versions where name = ? and version = ?", which)
            alive = any(row[0] != "Deleted_Internal" for row in found)
            rows = base.execute("select alias from registered_model_aliases where name = ? and version = ?", which)
            return sorted(row[0] for row in rows) if alive else None
    except sqlite3.Error:
        return None
