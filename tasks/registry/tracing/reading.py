"""The registry as plain records, a few queries for all versions. An embedded store is read as the SQLite file that it
is: importing MLflow alone takes two seconds, and its client asks run by run."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base.errors import UserError, nearest
from tasks.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

AT_ONCE = 500  # run ids in one query
ADDRESS = re.compile(r"(?:models:/)?(?P<name>[\w\-. ]+)(?:@(?P<alias>[\w-]+)|/(?P<number>\d+|latest))")


@dataclass(frozen=True)
class Known:
    """A registered version.

    Attributes:
        created: ms since 1970.
        source: address of its files as it was registered; `Registry.files` gives the one to read from.
        tags: name → text.
    """

    name: str
    version: str
    created: int
    run_id: str
    description: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)

    def tag(self, name: str) -> str | None:
        return self.tags.get(f"visionmill.{name}")

    def number(self, name: str) -> float | None:
        """A tag as a number, None where there is none or it is no number."""
        try:
            return float(self.tags[f"visionmill.{name}"])
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True)
class Run:
    """A run; `alive` is False for one that was deleted in MLflow. Times are ms since 1970."""

    id: str
    name: str
    status: str
    alive: bool
    started: int | None
    ended: int | None
    files: str
    tags: dict[str, str] = field(default_factory=dict)


class Registry(Protocol):
    """What is asked of a store."""

    def names(self) -> list[str]: ...

    def versions(self, name: str) -> list[Known]:
        """All versions of a model with tags and aliases, newest first."""

    def runs(self, ids: Iterable[str]) -> dict[str, Run]:
        """Those of the runs that the store knows, deleted ones too."""

    def latest(self, kind: str) -> Run | None:
        """The newest run whose tag `visionmill.kind` says `kind`: a look for drift, a card."""

    def files(self, known: Known) -> str:
        """The address that a version's files lie at."""


def open_registry(workspace: Path = Path()) -> Registry:
    """The workspace's store, read-only.

    Raises:
        UserError: a server cannot be reached.
    """
    uri = os.environ.get("MLFLOW_REGISTRY_URI") or store.tracking_uri(workspace)
    same = uri == store.tracking_uri(workspace)
    if same and uri.startswith("sqlite:///"):
        file = workspace / uri.removeprefix("sqlite:///").partition("?")[0]
        if not file.exists():
            return Nothing()
        store.follow_move(workspace)
        embedded = Embedded(file)
        if embedded.readable():
            return embedded
    return Client(store.client(workspace))


class Nothing:
    """No store was made yet; asking MLflow for it would make one."""

    def names(self) -> list[str]:
        return []

    def versions(self, name: str) -> list[Known]:
        return []

    def runs(self, ids: Iterable[str]) -> dict[str, Run]:
        return {}

    def latest(self, kind: str) -> Run | None:
        return None

    def files(self, known: Known) -> str:
        return known.source


class Embedded:
    """A SQLite store, opened to read alone. Its tables are those of MLflow 2.9 to 3.17."""

    def __init__(self, file: Path) -> None:
        self._uri = f"{file.resolve().as_uri()}?mode=ro"

    def readable(self) -> bool:
        """Whether the tables are as they are expected; a store of another time goes through MLflow."""
        try:
            self._ask("select name, version, creation_time, run_id, description, source, storage_location, "
                      "current_stage from model_versions limit 1")
            self._ask("select alias, version, name from registered_model_aliases limit 1")
            self._ask("select run_uuid, name, status, lifecycle_stage, start_time, end_time, artifact_uri from runs "
                      "limit 1")
        except sqlite3.Error:
            return False
        return True

    def names(self) -> list[str]:
        return [row[0] for row in self._ask("select name from registered_models order by name")]

    def versions(self, name: str) -> list[Known]:
        tags: dict[str, dict[str, str]] = {}
        for number, key, value in self._ask("select version, key, value from model_version_tags where name = ?", name):
            tags.setdefault(str(number), {})[key] = value or ""
        held: dict[str, list[str]] = {}
        for alias, number in self._ask("select alias, version from registered_model_aliases where name = ? "
                                       "order by alias", name):
            held.setdefault(str(number), []).append(alias)
        rows = self._ask("select version, creation_time, run_id, description, source, storage_location from "
                         "model_versions where name = ? and current_stage != 'Deleted_Internal' order by version desc",
                         name)
        return [Known(name, str(row[0]), row[1] or 0, row[2] or "", row[3] or "", row[5] or row[4] or "",
                      tags.get(str(row[0]), {}), held.get(str(row[0]), [])) for row in rows]

    def runs(self, ids: Iterable[str]) -> dict[str, Run]:
        found: dict[str, Run] = {}
        for some in _parts(ids):
            marks = ", ".join("?" * len(some))
            tags: dict[str, dict[str, str]] = {}
            for run, key, value in self._ask(f"select run_uuid, key, value from tags where run_uuid in ({marks})",
                                             *some):
                tags.setdefault(run, {})[key] = value or ""
            for row in self._ask("select run_uuid, name, status, lifecycle_stage, start_time, end_time, artifact_uri "
                                 f"from runs where run_uuid in ({marks})", *some):
                found[row[0]] = Run(row[0], row[1] or "", row[2] or "", row[3] == "active", row[4], row[5],
                                    row[6] or "", tags.get(row[0], {}))
        return found

    def latest(self, kind: str) -> Run | None:
        rows = self._ask("select r.run_uuid from tags t join runs r on r.run_uuid = t.run_uuid where t.key = "
                         "'visionmill.kind' and t.value = ? and r.lifecycle_stage = 'active' "
                         "order by r.start_time desc limit 1", kind)
        return self.runs([rows[0][0]]).get(rows[0][0]) if rows else None

    def files(self, known: Known) -> str:
        return known.source

    def _ask(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self._uri, uri=True, timeout=20)) as base:
            return base.execute(query, values).fetchall()


class Client:
    """Any other store, through MLflow's client: one request for the versions, one for some hundred runs."""

    def __init__(self, mlflow: MlflowClient) -> None:
        self._mlflow = mlflow

    def names(self) -> list[str]:
        return sorted(model.name for model in self._mlflow.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[Known]:
        from tasks.registry.versions import versions

        return [Known(v.name, str(v.version), v.creation_timestamp, v.run_id or "", v.description or "",
                      v.source or "", dict(v.tags), sorted(v.aliases)) for v in versions(self._mlflow, name)]

    def runs(self, ids: Iterable[str]) -> dict[str, Run]:
        from mlflow.entities import ViewType

        found: dict[str, Run] = {}
        for some in _parts(ids):
            listed = ", ".join(f"'{one}'" for one in some)
            for run in self._mlflow.search_runs(self._places(), f"attributes.run_id IN ({listed})",
                                                run_view_type=ViewType.ALL, max_results=AT_ONCE):
                found[run.info.run_id] = _plain(run)
        return found

    def latest(self, kind: str) -> Run | None:
        runs = self._mlflow.search_runs(self._places(), f"tags.`visionmill.kind` = '{kind}'", max_results=1,
                                        order_by=["attributes.start_time DESC"])
        return _plain(runs[0]) if runs else None

    def _places(self) -> list[str]:
        from mlflow.entities import ViewType

        return [e.experiment_id for e in self._mlflow.search_experiments(view_type=ViewType.ALL, max_results=1000)]

    def files(self, known: Known) -> str:
        return self._mlflow.get_model_version_download_uri(known.name, known.version)


@contextmanager
def reading(workspace: Path, what: str) -> Iterator[Registry]:
    """The store for the length of a block; what goes wrong in it is told in words."""
    with store.told_in_words(what, workspace):
        yield open_registry(workspace)


def find(text: str | None, registry: Registry, workspace: Path = Path()) -> Known:
    """The version that `cells@champion`, `cells/3`, `models:/cells/3`, `3`, `champion` or `cells` means.

    A name alone, and no text at all, mean the champion, else the last version.

    Raises:
        UserError: there is none; what there is, is listed.
    """
    own = own_name(registry, workspace)
    name, alias, number = _taken_apart(text or "", own, registry)
    known = registry.versions(name)
    if not known:
        names = registry.names()
        guess = nearest(name, names)
        raise UserError(f"no version of {name!r} is registered", where=store.shown(store.tracking_uri(workspace)),
                        mend=f"did you mean {guess!r}?" if guess and guess != name else
                        f"registered models: {', '.join(names)}" if names else "visionmill run, then register")
    if alias is None and number in (None, "latest"):
        held = [one for one in known if "champion" in one.aliases] if number is None else []
        return held[0] if held else known[0]
    for one in known:
        if one.version == number or (alias is not None and alias in one.aliases):
            return one
    there = ", ".join(f"{one.version}{''.join(f' @{a}' for a in one.aliases)}" for one in known[:30])
    raise UserError(f"{name!r} has no {f'alias {alias!r}' if alias else f'version {number}'}", where=text,
                    mend=f"versions: {there}")


def own_name(registry: Registry, workspace: Path = Path()) -> str:
    """The workspace's registered model. A workspace that was renamed has the only model of its own file still; that
    of a server may be somebody else's."""
    own = store.workspace_name(workspace)
    names = registry.names() if store.tracking_uri(workspace) == store.own_uri(workspace) else []
    return names[0] if own not in names and len(names) == 1 else own


def _taken_apart(text: str, own: str, registry: Registry) -> tuple[str, str | None, str | None]:
    """Name, alias and number of what was typed."""
    if not text:
        return own, None, None
    if match := ADDRESS.fullmatch(text):
        return match["name"], match["alias"], match["number"]
    bare = text.removeprefix("models:/")
    if bare.isdigit() or bare == "latest":
        return own, None, bare
    if any(bare in one.aliases for one in registry.versions(own)):
        return own, bare, None
    # a word that is no model here was meant as an alias of this one
    return (bare, None, None) if bare in registry.names() else (own, bare, None)


def _plain(run: Any) -> Run:
    info = run.info
    return Run(info.run_id, info.run_name or "", info.status, info.lifecycle_stage == "active", info.start_time,
               info.end_time, info.artifact_uri or "", dict(run.data.tags))


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    every = [one for one in dict.fromkeys(ids) if one.isalnum()]
    for start in range(0, len(every), AT_ONCE):
        yield every[start:start + AT_ONCE]
