"""What lineage tells of a version, and what it says where a piece is missing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.base.errors import UserError
from tasks.base.files import digest_file, read_json, write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.registry import store
from tasks.registry.register import register
from tasks.registry.tracing import origins, reading
from tasks.registry.tracing.kept import Kept
from tasks.registry.tracing.trail import trail
from tasks.reporting.project.lineage_page import lineage_page

from .cases import commit
from .conftest import build, isolate

EVIL = "<script>alert('x')</script>&\x1b[31m.jpg"
PICTURE = b"the bytes of a picture"


def table(columns: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table([pa.array(columns.get(field.name, [None] * rows), field.type) for field in schema], schema=schema)


def dataset() -> Dataset:
    """Four pictures: boxes by a person, by an import and by a model, of which one was reviewed."""
    images: dict[str, list[Any]] = {
        "image_id": [0, 1, 2, 3], "file": ["a/one.jpg", "a/two.jpg", EVIL, "b/two.jpg"], "width": [64] * 4,
        "height": [48] * 4, "digest": [hashlib.sha256(PICTURE).hexdigest(), "d1", "d2", "d3"], "bytes": [9] * 4,
        "orientation": [1] * 4, "split": ["train", "train", "val", "test"]}
    boxes: dict[str, list[Any]] = {
        "annotation_id": [0, 1, 2, 3], "image_id": [0, 0, 1, 2], "class_id": [0, 1, 1, 0], "area": [16.0] * 4,
        **{name: [4.0] * 4 for name in "xywh"}, "iscrowd": [False] * 4, "difficult": [False] * 4,
        "source": ["human", "models:/cells/1", "models:/cells/1", "import"], "score": [None, 0.5, 0.9, None],
        "reviewed_by": [None, "eva", None, None], "row": ["r0", "r1", "r2", "r3"]}
    return Dataset(table(images, IMAGES), table(boxes, ANNOTATIONS),
                   Meta(name="cells", classes=["<b>round</b>", "square"], licence="CC0",
                        recipe={"ingest": {"sources": [["coco", "a.json"]]}}))


def put_split(workspace: Path, data: Dataset) -> str:
    """The tables as DVC would keep them."""
    def put(content: bytes, ending: str = "") -> str:
        md5 = hashlib.md5(content).hexdigest() + ending
        file = workspace / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return md5

    write_dataset(workspace / "data/split", data)
    entries = [{"md5": put(file.read_bytes()), "relpath": file.name}
               for file in sorted((workspace / "data/split").iterdir())]
    found = put(json.dumps(entries).encode(), ".dir")
    shutil.rmtree(workspace / "data")
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A registered version whose split is in DVC's cache, and whose train run's record is too."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        folder = build(tmp_path_factory.mktemp("trail") / "cells", empty_store)
        (folder / ".dvc").mkdir()
        lock = (folder / "dvc.lock").read_text()
        lock = lock.replace("0123456789abcdef0123456789abcdef.dir", put_split(folder, dataset()))
        record = hashlib.md5((folder / "runs/train.json").read_bytes()).hexdigest()
        kept = folder / ".dvc/cache/files/md5" / record[:2] / record[2:]
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "runs/train.json", kept)
        (folder / "dvc.lock").write_text(f"{lock}    - path: runs/train.json\n      md5: {record}\n")
        commit(folder)
        register(folder)
        yield folder


@pytest.fixture
def own(workspace: Path, tmp_path: Path, quiet: None) -> Path:
    """A copy to break, whose store points to its own files."""
    made = Path(shutil.copytree(workspace, tmp_path / "copy" / "cells"))
    store.client(made)
    return made


def told(workspace: Path) -> dict[str, Any]:
    found = trail("cells", "1", workspace)
    json.dumps(found, allow_nan=False)
    return found


def missing(found: dict[str, Any]) -> set[str]:
    return {one["piece"] for one in found["missing"]}


def test_the_whole_trail(workspace: Path) -> None:
    found = told(workspace)
    assert "candidate" in found["version"]["aliases"] and found["version"]["uri"] == "models:/cells/1"
    assert found["papers"] == "the version's artefacts" and found["params"]["train"] == {"epochs": 3}
    assert found["pictures"]["splits"] == {"train": 2, "test": 1, "val": 1} and found["pictures"]["count"] == 4
    assert found["pictures"]["folders"] == {"a": 2, EVIL.partition("/")[0]: 1, "b": 1}
    assert [stage["name"] for stage in found["stages"]] == ["split", "train"]
    assert found["stages"][0]["outs"][0]["hash"] == found["pictures"]["split_hash"]
    assert {run["stage"]: run["state"] for run in found["runs"]} == {"train": "there", "prune": "there"}
    assert all(run["commit"] and "threads" in run["machine_kind"] for run in found["runs"])
    head = subprocess.run(["git", "-C", str(workspace), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert found["code"]["commit"] == head.stdout.strip() and found["code"]["uncommitted"] == "no"
    assert {one["here"] for one in found["code"]["commits"]} == {True}
    assert found["gate"]["verdict"] == found["version"]["tags"]["gate"] and found["gate"]["rules"]
    served = [file for file in found["files"] if file["served"]]
    assert [file["path"] for file in served] == ["artifacts/pruned.onnx"] and served[0]["bytes"] > 0
    assert served[0]["hash"] == f"sha256:{digest_file(workspace / 'exports/cpu-int8/pruned.onnx')}"
    assert found["deployed"] == [] and missing(found) == set()


def test_who_drew_the_boxes(workspace: Path) -> None:
    labels = told(workspace)["labels"]
    assert labels["boxes"] == 4 and labels["reviewers"] == {"eva": 1}
    by = {one["source"]: one for one in labels["origins"]}
    assert set(by) == {"human", "import", "models:/cells/1"}
    model = by["models:/cells/1"]
    assert (model["boxes"], model["pictures"], model["reviewed"]) == (2, 2, 1)
    assert model["score"] == pytest.approx([0.5, 0.7, 0.9]) and by["human"]["score"] == [None, None, None]


def test_a_deleted_run_is_told_and_the_rest_goes_on(own: Path) -> None:
    before = {run["stage"]: run for run in told(own)["runs"]}
    mlflow = store.client(own)
    mlflow.delete_run(before["train"]["id"])
    found = told(own)
    train = next(run for run in found["runs"] if run["stage"] == "train")
    assert train["state"] == "deleted" and missing(found) == {"run of train"} and found["labels"]["boxes"] == 4


def test_a_run_that_is_gone_is_told_from_its_record(own: Path) -> None:
    import sqlite3
    from contextlib import closing

    run = next(run for run in told(own)["runs"] if run["stage"] == "train")
    with closing(sqlite3.connect(own / "mlflow.db")) as base:
        for where in ("tags", "params", "metrics", "latest_metrics", "runs"):
            base.execute(f"delete from {where} where run_uuid = ?", (run["id"],))
        base.commit()
    again = next(one for one in told(own)["runs"] if one["stage"] == "train")
    assert again["state"] == "not in the store, told from its record"
    assert (again["started"], again["commit"]) == (run["started"], run["commit"])


def artefacts(workspace: Path) -> Path:
    return next((workspace / "mlruns/cells/models").iterdir()) / "artifacts"


def test_a_version_without_artefacts_has_its_papers_from_its_run_then_from_git(own: Path) -> None:
    shutil.rmtree(artefacts(own))
    found = told(own)
    assert found["papers"] == "the artefacts of the line's run" and found["stages"] and missing(found) == {"artefacts"}
    parent = found["version"]["tags"]["parent_run"]
    shutil.rmtree(own / "mlruns/cells" / parent)
    (own / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    found = told(own)
    assert found["papers"] == "git, at the version's commit"
    assert [stage["name"] for stage in found["stages"]] == ["split", "train"]
    assert missing(found) == {"artefacts", "gate report"}


def test_a_version_without_any_paper_still_has_a_trail(own: Path) -> None:
    shutil.rmtree(own / "mlruns")
    shutil.rmtree(own / ".git")
    (own / "dvc.lock").unlink()
    found = told(own)
    assert found["papers"] == "nowhere" and found["stages"] == []
    assert missing(found) == {"dvc.lock", "parameters", "artefacts", "gate report"}
    assert found["version"]["tags"]["AP"] == "0.5" and found["labels"]["boxes"] == 4
    assert "What is missing" not in lineage_page(found) and "dvc.lock" in lineage_page(found)


@pytest.mark.parametrize(("text", "stages", "lost"), [
    ("train:\n  cmd: t\n  outs:\n  - path: models/trained\n    md5: abc\n", ["train"], set()),
    ("schema: '9.0'\nstages: {}\n", [], {"dvc.lock"}),
    ("- a list\n", [], {"dvc.lock"}), (": : no yaml [", [], {"dvc.lock"})])
def test_a_lock_of_another_time(text: str, stages: list[str], lost: set[str], own: Path) -> None:
    (artefacts(own) / "lineage/dvc.lock").write_text(text)
    found = told(own)
    assert [stage["name"] for stage in found["stages"]] == stages and missing(found) == lost


def test_a_moved_workspace_reads_its_own_files(own: Path, tmp_path: Path) -> None:
    moved = own.rename(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "copy")
    found = trail("cells", "1", moved)
    assert found["papers"] == "the version's artefacts" and missing(found) == set()
    (artefacts(moved) / "lineage/params.yaml").write_text("train: {epochs: 7}\n")
    assert trail("cells", "1", moved)["params"] == {"train": {"epochs": 7}}


def test_data_that_was_not_pulled(own: Path) -> None:
    shutil.rmtree(own / ".dvc/cache")
    found = told(own)
    assert missing(found) == {"split tables"} and found["labels"] == {} and "count" not in found["pictures"]
    assert "dvc pull" in found["missing"][0]["mend"]
    assert "labels are not counted" in lineage_page(found)


def test_from_another_workspace(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    (tmp_path / "params.yaml").write_text("register:\n  name: another\n")
    found = trail("cells", "1", tmp_path)
    assert found["papers"] == "the version's artefacts" and len(found["stages"]) == 2
    assert missing(found) == {"split tables"} and found["code"]["commits"][0]["here"] is False


def test_an_alias_or_a_version_that_is_not_there(workspace: Path) -> None:
    with pytest.raises(UserError, match="has no version 7"):
        trail("cells", "7", workspace)


def test_a_picture_and_its_boxes(workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "renamed.jpg"
    file.write_bytes(PICTURE)
    tables = origins.tables(told(workspace)["pictures"]["split_hash"], Kept(workspace))
    assert tables is not None
    row, = origins.rows_of(origins.wanted(str(file)), tables)
    assert (row["file"], row["split"], row["licence"]) == ("a/one.jpg", "train", "CC0")
    drawn = [(box["source"], box["reviewed_by"]) for box in row["boxes"]]
    assert drawn == [("human", None), ("models:/cells/1", "eva")]
    assert [row["file"] for row in origins.rows_of(origins.wanted("two.jpg"), tables)] == ["a/two.jpg", "b/two.jpg"]
    assert origins.rows_of(origins.wanted("wo.jpg"), tables) == []
    with pytest.raises(UserError, match="folder"):
        origins.wanted(str(tmp_path))


def test_which_versions_saw_a_picture(workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "renamed.jpg"
    file.write_bytes(PICTURE)
    known = reading.open_registry(workspace).versions("cells")
    found, unknown = origins.seen_by(origins.wanted(str(file)), known, Kept(workspace))
    assert [(one["version"], one["splits"], one["files"]) for one in found] == [("1", ["train"], ["a/one.jpg"])]
    assert unknown == []
    (tmp_path / ".dvc").mkdir()
    assert origins.seen_by(origins.wanted(str(file)), known, Kept(tmp_path)) == ([], ["1"])


def test_a_cache_elsewhere_is_found_by_dvcs_settings(own: Path, tmp_path: Path) -> None:
    (own / ".dvc/cache").rename(tmp_path / "shared cache")
    (own / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'shared cache'}\n")
    assert told(own)["labels"]["boxes"] == 4


def test_names_cannot_break_the_page(workspace: Path) -> None:
    found = told(workspace)
    tables = origins.tables(found["pictures"]["split_hash"], Kept(workspace))
    assert tables is not None
    rows = origins.rows_of(origins.wanted(EVIL), tables)
    found["picture"] = {"name": EVIL, "digest": None, "rows": rows, "datasets": []}
    found["version"]["aliases"] = ["<img src=x>"]
    found["gate"]["rules"] = [{"name": "</table><b>", "verdict": "<i>", "reason": EVIL}]
    found["deployed"] = [{"target": "<u>cpu</u>", "version": "1"}]
    page = lineage_page(found)
    for text in ("<script>alert", "<img src=x", "</table><b>", "<u>cpu", "<b>round</b>", "\x1b"):
        assert text not in page
    assert "&lt;script&gt;alert" in page and "http" not in page.replace("http-equiv", "")


def test_an_imported_version_has_a_trail_too(own: Path) -> None:
    mlflow = store.client(own)
    mlflow.create_registered_model("nuts")
    mlflow.create_model_version("nuts", (own / "exports").as_uri(), None, tags={
        "visionmill.imported": "yes", "visionmill.gate": "not asked: imported", "visionmill.licence": "MIT"})
    found = trail("nuts", "1", own)
    assert found["gate"]["verdict"] == "not asked: imported" and found["pictures"]["licence"] == "MIT"
    assert "dvc.lock" in missing(found) and "not asked: imported" in lineage_page(found)


def test_damaged_files_are_told_not_raised(own: Path) -> None:
    parent = told(own)["version"]["tags"]["parent_run"]
    (own / "mlruns/cells" / parent / "artifacts/version-1/gate.json").write_text("{")
    (artefacts(own) / "lineage/params.yaml").write_text("a: [")
    assert missing(told(own)) == {"gate report", "parameters"}
    write_json(own / "mlruns/cells" / parent / "artifacts/version-1/gate.json", ["no report"])
    assert missing(told(own)) == {"gate report", "parameters"}
    assert read_json(own / ".visionmill/registered.json")["version"] == "1"
