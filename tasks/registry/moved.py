"""A workspace that was moved or copied: the addresses of artefacts in its own MLflow file are absolute, so they follow.

MLflow has no addresses relative to the file: it makes a relative one absolute when an experiment is made, and takes one
that is relative all the same from the current folder, which for `mlflow ui` and `mlflow models serve` may be any.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from tasks.base.files import write_atomic
from tasks.registry import store

# table, column: where MLflow 3.17 keeps addresses of files
COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
           ("model_versions", "source"), ("model_versions", "storage_location"), ("trace_tags", "value"))
FOLDER = "mlruns"


def follow(workspace: Path) -> list[str]:
    """Point what lay below `mlruns` of the folder where the workspace was to `mlruns` of the one where it is.

    One transaction: a kill leaves the old addresses or the new ones. Nothing is read or written where the workspace
    was, so that a copy and its original know nothing of each other. Call it under the lock of the workspace's store.

    Returns:
        The folders that the workspace was in before; empty when it was not moved.
    """
    root, file = workspace.resolve(), workspace / "mlflow.db"
    with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as base:
        known = earlier_roots(base, root)
        if not known:
            return []
        base.execute("begin immediate")
        for old in known:
            for table, column in COLUMNS:
                _point(base, table, column, Path(old), root)
        base.execute("commit")
    for old, name in known.items():
        _keep_name(name, Path(old), root)
        print(f"note: this workspace was moved or copied from {old}: its runs and versions now point to {root}",
              file=sys.stderr, flush=True)
    return list(known)


def earlier_roots(base: sqlite3.Connection, root: Path) -> dict[str, str]:
    """Folder → experiment, for each other folder in which this workspace had its experiments' artefacts.

    Ours are known by their form, `FOLDER/mlruns/NAME`: MLflow's own end with a number. The experiments of another
    workspace that shares this file, and what a person has put elsewhere, stay where they are.
    """
    found: dict[str, str] = {}
    for name, place in base.execute("select name, artifact_location from experiments where artifact_location like "
                                    "'file:///%' order by experiment_id"):
        path = Path(unquote(urlparse(place).path))
        old = path.parent.parent
        if path.name != name or path.parent.name != FOLDER or old == root:
            continue
        own = (root / FOLDER / name).exists() or name == store.workspace_name(root)
        if own or not path.exists():
            found.setdefault(str(old), name)
    return found


def _point(base: sqlite3.Connection, table: str, column: str, old: Path, root: Path) -> None:
    if not list(base.execute("select 1 from pragma_table_info(?) where name = ?", (table, column))):
        return  # another version of MLflow
    for before, after in (((old / FOLDER).as_uri(), (root / FOLDER).as_uri()),
                          (f"file://{old / FOLDER}", f"file://{root / FOLDER}"),
                          (str(old / FOLDER), str(root / FOLDER))):
        base.execute(f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                     (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"))


def _keep_name(name: str, old: Path, root: Path) -> None:
    """The model goes on under the name that it got from the folder's."""
    if not (root / store.NAME).is_file() and store.clean_name(old.name) == name:
        write_atomic(root / store.NAME, f"{name}\n")
