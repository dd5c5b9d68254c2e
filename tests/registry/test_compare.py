"""`visionmill compare` on two hand-made versions: numbers, console, page, and its bad inputs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import cli
from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.registry import store
from tasks.registry.comparison.compared import text
from tasks.registry.comparison.comparing import compare, run_compare
from tasks.registry.comparison.sides import address, side
from tasks.registry.register import register
from tasks.registry.versions import resolve_model

from .cases import PICTURES, tiny_onnx, write_line
from .conftest import build, isolate


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """Version 1 finds the brighter half of the pictures and is the champion, version 2 finds 30 %."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        folder = build(tmp_path_factory.mktemp("two") / "cells", empty_store)
        register(folder)
        write_line(folder, ap=0.3)
        register(folder)
        yield folder


@pytest.fixture(scope="module")
def told(two: Path) -> dict[str, Any]:
    return compare(side("champion", two), side("candidate", two), None, two).told


def test_the_numbers(told: dict[str, Any]) -> None:
    assert (told["a"]["title"], told["b"]["title"]) == ("cells version 1 (champion)", "cells version 2 (candidate)")
    assert told["test"]["images"] == told["test"]["boxes"] == PICTURES
    one = told["measures"]["AP50"]
    assert one["a"]["value"] == pytest.approx(0.525, abs=0.02) and one["b"]["value"] == pytest.approx(0.3, abs=0.02)
    assert one["change"]["low"] < one["change"]["value"] < one["change"]["high"] < 0
    assert [(c["name"], c["boxes"]) for c in told["classes"]] == [("round", 20), ("square", 20)]
    assert {(s["by"], s["name"]): s["boxes"] for s in told["slices"]} == {("tags", "even"): 20}
    assert told["latency"] == {"a_ms": 4.0, "b_ms": 4.0, "times_faster": 1.0, "same_machine": True}


def test_where_they_disagree(told: dict[str, Any]) -> None:
    """At a score of 0.5 version 1 shows pictures 19 to 39, version 2 those from 28 on."""
    found = told["disagreements"]
    assert (found["shown_a"], found["shown_b"]) == (21, 12)
    assert (found["only_a"], found["only_b"], found["other_class"], found["pictures"]) == (9, 0, 0, 9)
    assert [one["file"] for one in found["worst"]] == [f"{i}.png" for i in range(19, 28)]
    assert found["worst"][0]["a"][0]["kind"] == "alone" and found["worst"][0]["b"] == []


def test_the_console(told: dict[str, Any]) -> None:
    said = text(told)
    assert re.search(r"^AP50 +0\.5\d\d +0\.\d+ – 0\.\d+ +0\.3\d\d .*−\d+\.\d\*", said, re.M), said
    assert "they disagree on 9 pictures above a score of 0.5: 9 boxes of A alone, 0 of B alone" in said
    assert "the same machine" in said and max(map(len, said.splitlines())) <= 120


def test_the_verb_writes_page_and_numbers(two: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(two)
    isolate(monkeypatch)
    page, numbers = tmp_path / "c.html", tmp_path / "c.json"
    assert cli.main(["compare", "--html", str(page), "--json", str(numbers), "--pictures", "3"]) == 0
    assert "cells version 1 (champion)" in capsys.readouterr().out
    assert len(read_json(numbers)["disagreements"]["worst"]) == 3
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 9 and "prefers-color-scheme:dark" in html
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html) and "http" not in html.replace("http-equiv", "")


def test_a_version_against_a_file(two: Path) -> None:
    tiny_onnx(two.parent / "all.onnx", finds=1.0)
    found = compare(side("cells/1", two), side(str(two.parent / "all.onnx"), two), None, two).told
    assert found["b"]["title"] == "all.onnx" and found["latency"]["times_faster"] is None
    assert found["measures"]["AP50"]["change"]["value"] > 0.4 and "not recorded of both" in text(found)


def test_other_data(two: Path, tmp_path: Path) -> None:
    dataset = read_dataset(two / "data/split")
    shutil.copytree(two / "data/raw", tmp_path / "raw")
    write_dataset(tmp_path / "set", Dataset(dataset.images.slice(30), dataset.annotations.slice(30), dataset.meta))
    found = compare(side("1", two), side("2", two), str(tmp_path / "set"), two).told
    assert (found["test"]["images"], found["measures"]["AP50"]["change"]["value"]) == (10, 0.0)
    assert found["disagreements"]["pictures"] == 0 and "they agree on every box" in text(found)


def without_data(two: Path, folder: Path) -> Path:
    """A clone that has the store and no data."""
    shutil.copytree(two, folder, ignore=shutil.ignore_patterns("data", ".visionmill", "results"))
    return folder


def test_what_both_versions_carry_is_compared_without_a_dataset(two: Path, told: dict[str, Any],
                                                                tmp_path: Path) -> None:
    clone = without_data(two, tmp_path / "cells")
    found = run_compare("1", "2", page=tmp_path / "c.html", workspace=clone).told
    for key in ("measures", "classes", "slices"):
        assert found[key] == told[key]
    assert "both versions carry" in found["test"]["source"]
    assert "The pictures are not here" in (tmp_path / "c.html").read_text()


def test_the_same_pictures_under_other_ids(two: Path, told: dict[str, Any], tmp_path: Path) -> None:
    clone = without_data(two, tmp_path / "cells")
    folder = side("2", clone).evaluation
    assert folder is not None
    from tasks.metrics.detections import read_detections, write_detections

    truth, found = read_dataset(folder / "truth"), read_detections(folder / "detections.parquet")
    moved = [table.set_column(table.schema.get_field_index("image_id"), table.schema.field("image_id"),
                              (table["image_id"].to_numpy() + 1000,)) for table in
             (truth.images, truth.annotations, found)]
    write_dataset(folder / "truth", Dataset(moved[0], moved[1], truth.meta))
    write_detections(folder / "detections.parquet", moved[2])
    assert compare(side("1", clone), side("2", clone), None, clone).told["measures"] == told["measures"]


def test_carried_test_sets_that_differ(two: Path, tmp_path: Path) -> None:
    clone = without_data(two, tmp_path / "cells")
    store.client(clone).set_model_version_tag("cells", "2", "visionmill.test_hash", "f" * 64)
    with pytest.raises(UserError, match="measured on different test sets"):
        compare(side("1", clone), side("2", clone), None, clone)


def test_nothing_to_compare_on(two: Path, tmp_path: Path) -> None:
    clone = without_data(two, tmp_path / "cells")
    shutil.rmtree(side("2", clone).evaluation)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no pictures to compare on") as caught:
        compare(side("1", clone), side("2", clone), None, clone)
    assert "--data FOLDER" in str(caught.value)


@pytest.mark.parametrize(("word", "expected"), [
    ("models:/a/3", "models:/a/3"), ("a@champion", "models:/a@champion"), ("a/3", "models:/a/3"),
    ("3", "models:/cells/3"), ("latest", "models:/cells/latest"), ("champion", "models:/cells@champion"),
    ("my cells@best-1", "models:/my cells@best-1")])
def test_words(two: Path, word: str, expected: str) -> None:
    assert address(word, two) == expected


@pytest.mark.parametrize(("word", "message"), [
    ("best", "'cells' has no alias 'best'"), ("9", "'cells' has no version 9"),
    ("parts@champion", "no version of 'parts' is registered"), ("nowhere.onnx", "names no version and no model"),
    ("../x", "names no version"), ("models:/cells", "is no address"), ("", "names no version")])
def test_words_that_name_nothing(two: Path, word: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        side(word, two)
    assert caught.value.exit_code == 2


def test_a_version_without_artefacts(two: Path, tmp_path: Path) -> None:
    clone = tmp_path / "cells"
    shutil.copytree(two, clone)
    shutil.rmtree(resolve_model("models:/cells/2", "all", clone) / "artifacts")
    with pytest.raises(UserError, match="carries no deployed model"):
        side("2", clone)


def test_a_version_whose_run_was_deleted(two: Path, tmp_path: Path) -> None:
    clone = tmp_path / "cells"
    shutil.copytree(two, clone)
    mlflow = store.client(clone)
    mlflow.delete_run(mlflow.get_model_version("cells", "2").run_id)
    assert compare(side("1", clone), side("2", clone), None, clone, draws=200).told["measures"]["AP50"]["b"]["value"]


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"threshold": 2.0}, UserError, "a score lies in 0..1"), ({"pictures": -1}, UserError, "pictures are counted"),
    ({"data": "models"}, DataError, "not a dataset folder"), ({"data": "cels@1"}, UserError, "no dataset is called")])
def test_wrong_options(two: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kind: type[UserError],
                       message: str) -> None:
    monkeypatch.chdir(two)
    isolate(monkeypatch)
    with pytest.raises(kind, match=message):
        run_compare("1", "2", **options)
