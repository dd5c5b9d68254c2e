"""The registry as plain records: the embedded file and MLflow's client say the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.registry import store, versions
from tasks.registry.tracing import reading

from .cases import write_line

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def twice(registered: Path) -> Path:
    """The registered workspace with a second version, an alias on each, and one that was deleted."""
    mlflow = store.client(registered)
    first = mlflow.get_model_version("cells", "1")
    files = mlflow.get_model_version_download_uri("cells", "1")
    for _ in range(2):
        mlflow.create_model_version("cells", files, first.run_id, tags={"visionmill.AP": "0.7"})
    mlflow.set_registered_model_alias("cells", "candidate", "2")
    mlflow.set_registered_model_alias("cells", "champion", "1")
    mlflow.delete_model_version("cells", "3")
    mlflow.create_registered_model("nuts")
    return registered


def both(workspace: Path) -> tuple[reading.Registry, reading.Registry]:
    return reading.open_registry(workspace), reading.Client(store.client(workspace))


def test_the_file_and_the_client_agree(twice: Path) -> None:
    file, client = both(twice)
    assert isinstance(file, reading.Embedded)
    assert file.names() == client.names() == ["cells", "nuts"]
    mine, theirs = file.versions("cells"), client.versions("cells")
    assert [one.version for one in mine] == ["2", "1"] == [one.version for one in theirs]
    for a, b in zip(mine, theirs, strict=True):
        assert (a.tags, a.aliases, a.created, a.run_id, a.description) == (b.tags, b.aliases, b.created, b.run_id,
                                                                           b.description)
        assert file.files(a) == client.files(b)
    ids = [text for name, text in mine[-1].tags.items() if name.startswith("visionmill.run.")]
    assert file.runs([*ids, "0" * 32]) == client.runs([*ids, "0" * 32]) and len(file.runs(ids)) == len(ids) == 2


def test_all_versions_cost_a_few_queries(twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = store.client(twice)
    asked = []
    monkeypatch.setattr(type(mlflow), "get_model_version", lambda *words: asked.append(words))
    found = versions.versions(mlflow, "cells")
    assert not asked and [sorted(one.aliases) for one in found] == [["candidate"], ["champion"]]


def test_versions_over_more_than_one_page(twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PAGE", 1)
    assert [str(one.version) for one in versions.versions(store.client(twice), "cells")] == ["2", "1"]
    assert versions.versions(store.client(twice), "nobody") == []


@pytest.mark.parametrize(("text", "version"), [
    (None, "1"), ("", "1"), ("cells", "1"), ("champion", "1"), ("candidate", "2"), ("1", "1"), ("latest", "2"),
    ("cells@candidate", "2"), ("cells/1", "1"), ("models:/cells/2", "2"), ("models:/cells@champion", "1"),
    ("cells/latest", "2")])
def test_a_version_is_found_by(text: str | None, version: str, twice: Path) -> None:
    for registry in both(twice):
        assert reading.find(text, registry, twice).version == version


@pytest.mark.parametrize(("text", "said"), [
    ("9", "has no version 9"), ("cells@nobody", "has no alias 'nobody'"), ("nobody", "has no alias 'nobody'"),
    ("cell/1", "did you mean 'cells'"), ("nuts/1", "no version of 'nuts'"), ("cells/3", "has no version 3")])
def test_a_version_that_is_not_there(text: str, said: str, twice: Path) -> None:
    with pytest.raises(UserError, match=said) as refused:
        reading.find(text, reading.open_registry(twice), twice)
    assert refused.value.mend


def test_no_store_is_made_by_asking(tmp_path: Path, quiet: None) -> None:
    registry = reading.open_registry(tmp_path)
    assert registry.versions("cells") == [] and registry.runs(["a"]) == {} and registry.latest("drift") is None
    assert not (tmp_path / "mlflow.db").exists() and versions.champion(workspace=tmp_path) is None
    with pytest.raises(UserError, match="visionmill run"):
        reading.find(None, registry, tmp_path)


def test_tables_of_another_time_go_through_mlflow(make_workspace: Make) -> None:
    workspace = make_workspace()
    with closing(sqlite3.connect(workspace / "mlflow.db")) as base:
        base.execute("alter table registered_model_aliases rename to aliases_of_another_time")
        base.commit()
    assert not reading.Embedded(workspace / "mlflow.db").readable()


def test_a_renamed_workspace_has_its_only_model(twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "another"
    moved.mkdir()
    os.link(twice / "mlflow.db", moved / "mlflow.db")
    write_line(moved)
    with closing(sqlite3.connect(f"file:{twice / 'mlflow.db'}?mode=ro", uri=True)) as base:
        names = [row[0] for row in base.execute("select name from registered_models")]
    assert len(names) == 2 and reading.own_name(reading.open_registry(moved), moved) == "another"
    only = reading.Nothing()
    monkeypatch.setattr(only, "names", lambda: ["cells"])
    assert reading.own_name(only, moved) == "cells"
    # on a server the only model may be somebody else's
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert reading.own_name(only, moved) == "another"


def test_the_newest_run_of_a_kind(twice: Path) -> None:
    mlflow = store.client(twice)
    place = store.experiment(mlflow, twice)
    for when, verdict in ((1000, "none"), (3000, "drift"), (2000, "none")):
        mlflow.create_run(place, start_time=when, tags={"visionmill.kind": "drift", "visionmill.verdict": verdict})
    for registry in both(twice):
        found = registry.latest("drift")
        assert found is not None and (found.started, found.tags["visionmill.verdict"]) == (3000, "drift")
        assert registry.latest("nothing of that kind") is None
