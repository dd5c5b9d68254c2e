from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks import ingest, validate
from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree, read_json
from tasks.base.params import check
from tasks.data.table import Dataset, read_dataset
from tests.data.folders import WIDTH, box, cells, coco, image, make_coco, make_voc, put, save_picture, xml
from tests.data.test_pictures import bomb

PICTURE = "JPEGImages/p1.jpg"


def line(raw: Path, classes: list[str] | None = None, **policy: Any) -> tuple[Dataset, list[dict[str, Any]]]:
    """Ingest and validate; the dataset that goes on, and the findings."""
    data, out = raw.parent / "data", raw.parent / "valid"
    ingest.run(ingest.Params(classes=classes or []), raw=raw, out=data)
    validate.run(validate.Params(**policy), raw=raw, data=data, out=out)
    return read_dataset(out), read_json(out / "findings.json")["findings"]


def stops(raw: Path, kind: str, *places: str, **options: Any) -> None:
    """The line stops with exit code 2, says where and how to allow it, and leaves nothing."""
    with pytest.raises(DataError) as raised:
        line(raw, **options)
    message = str(raised.value)
    assert raised.value.exit_code == 2 and f"1 {kind}" in message and f"{kind}: " in message, message
    assert all(place in message for place in places), message
    assert "params.yaml, section validate" in message and "drop" in message
    assert not (raw.parent / "valid").exists()


def test_sound_data_has_no_findings(tmp_path: Path) -> None:
    dataset, findings = line(make_voc(tmp_path / "raw", cells()))
    assert findings == [] and dataset.images.num_rows == 6


@pytest.mark.parametrize(("kind", "content"), [
    ("zero_size", b""), ("unreadable", b"this is text\n"), ("truncated", None), ("too_large", b"bomb")])
def test_pictures_that_cannot_be_read(tmp_path: Path, kind: str, content: bytes | None) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    whole = (raw / PICTURE).read_bytes()
    put(raw / PICTURE, whole[:-300] if content is None else content)
    if content == b"bomb":
        (raw / PICTURE).unlink()
        bomb(raw / PICTURE)
    stops(raw, kind, PICTURE)
    dataset, findings = line(raw, **{kind: "drop"})
    assert "p1.jpg" not in str(dataset.images["file"].to_pylist()) and dataset.images.num_rows == 5
    assert [(f["kind"], f["file"], f["action"]) for f in findings] == [(kind, PICTURE, "dropped")]
    assert dataset.annotations["image_id"].to_pylist() == [0, 0, 1, 2, 2, 3, 4]


def test_rotated_pictures_are_listed_and_kept(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    save_picture(raw / PICTURE, 1, orientation=3)
    stops(raw, "rotated", PICTURE, rotated="error")
    dataset, findings = line(raw)
    assert [(f["kind"], f["file"], f["action"]) for f in findings] == [("rotated", PICTURE, "kept")]
    assert dataset.images.num_rows == 6


def test_boxes_of_the_picture_before_it_was_turned(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    save_picture(raw / PICTURE, 1, orientation=6)
    stops(raw, "size_differs", "the annotation says 64 x 48, it is 48 x 64")


@pytest.mark.parametrize("size", [(0, 0), (640, 480), ("", "")])
def test_a_size_that_is_not_the_pictures(tmp_path: Path, size: tuple[Any, Any]) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    put(raw / "Annotations/p1.xml", xml("p1.jpg", [("cat", 1, 1, 9, 9)], size))
    stops(raw, "size_differs", PICTURE, "it is 64 x 48")
    dataset, findings = line(raw, size_differs="keep")
    assert [f["action"] for f in findings] == ["kept"] and dataset.images["width"][1].as_py() == WIDTH


def test_equal_pictures_are_listed(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    put(raw / "JPEGImages/p4.jpg", (raw / PICTURE).read_bytes())
    _, findings = line(raw)
    assert [(f["kind"], f["file"], f["detail"]) for f in findings] == [
        ("duplicate", "JPEGImages/p4.jpg", f"the same bytes as {PICTURE}")]
    assert line(raw, duplicate="drop")[0].images.num_rows == 5


def test_a_picture_under_two_splits_leaks(tmp_path: Path) -> None:
    splits = {"train": ["p0", "p1", "p2"], "val": ["p3"], "test": ["p4", "p5"]}
    raw = make_voc(tmp_path / "raw", cells(), splits)
    put(raw / "JPEGImages/p4.jpg", (raw / PICTURE).read_bytes())
    stops(raw, "leaked", PICTURE, "JPEGImages/p4.jpg (train, test)")
    dataset, _ = line(raw, leaked="drop")
    assert "JPEGImages/p4.jpg" in dataset.subset("test").images["file"].to_pylist()
    assert PICTURE not in dataset.images["file"].to_pylist(), "train's copy goes, test's stays"


def test_pictures_without_annotations(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    (raw / "Annotations/p1.xml").unlink()
    stops(raw, "unannotated", PICTURE)
    assert line(raw, unannotated="drop")[0].images.num_rows == 5
    assert line(raw, unannotated="keep")[0].images.num_rows == 6


def test_annotations_without_pictures(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    (raw / PICTURE).unlink()
    stops(raw, "missing_picture", "Annotations/p1.xml", "'p1.jpg'")
    assert line(raw, missing_picture="drop")[0].images.num_rows == 5


def test_backgrounds_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells() | {"q": []})
    dataset, findings = line(raw)
    assert [(f["kind"], f["action"]) for f in findings] == [("no_boxes", "kept")] and dataset.images.num_rows == 7
    assert line(raw, no_boxes="drop")[0].images.num_rows == 6


@pytest.mark.parametrize(("kind", "corners"), [
    ("degenerate", (5, 5, 5, 9)), ("degenerate", (9, 9, 4, 12)), ("outside", (70, 5, 80, 9)),
    ("outside", (-9, 5, -2, 9)), ("outside", (64, 5, 80, 9)), ("overhang", (60, 5, 80, 9)),
    ("not_a_number", (math.nan, 1, 2, 3)), ("not_a_number", (1, 1, math.inf, 9)), ("not_a_number", ("a", 1, 2, 3))])
def test_flawed_boxes(tmp_path: Path, kind: str, corners: tuple[Any, ...]) -> None:
    raw = make_voc(tmp_path / "raw", cells() | {"p1": [("cat", 1, 1, 9, 9), ("dog", *corners)]})
    stops(raw, kind, "Annotations/p1.xml#1: dog: ", "in 64 x 48", **{kind: "error"})
    dataset, findings = line(raw, **{kind: "drop"})
    assert [(f["kind"], f["file"], f["row"], f["action"]) for f in findings] == [
        (kind, "Annotations/p1.xml", "1", "dropped")]
    assert dataset.annotations.num_rows == 8 and dataset.images.num_rows == 6


def test_overhanging_boxes_are_clipped(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", {"p1": [("cat", 60, 5, 80, 9)], "p2": [("cat", -3, 5, 10.004, 48.004)]})
    dataset, findings = line(raw)
    assert {f["action"] for f in findings} == {"fixed"} and len(findings) == 2
    rows = dataset.annotations.select(["x", "y", "w", "h", "area"]).to_pylist()
    assert [list(row.values()) for row in rows] == [[60, 5, 4, 4, 16], [0, 5, 10.004, 43, pytest.approx(430.172)]]
    assert line(raw, overhang="keep")[0].annotations["w"].to_pylist()[0] == 20


def test_a_class_that_is_not_in_the_list(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(4) | {"q": [("dogg", 1, 1, 5, 5), ("cat", 1, 1, 9, 9)]})
    stops(raw, "unknown_class", "Annotations/q.xml#0", "did you mean 'dog'?", classes=["cat", "dog"])
    assert line(raw, ["cat", "dog"], unknown_class="drop")[0].annotations.num_rows == 7


@pytest.mark.parametrize(("rows", "kind"), [
    ([box(1, 9)], "dangling"), ([box(1, 1, 7)], "dangling"), ([box(2, 1)], "duplicate_id"),
    ([box(1, 1, bbox=(math.nan, 1, 2, 3))], "not_a_number")])
def test_flawed_coco(tmp_path: Path, rows: list[dict[str, Any]], kind: str) -> None:
    good = [box(2, 1), box(3, 2, 2)]
    raw = make_coco(tmp_path / "raw", coco([image(1), image(2)], [*good, *rows]))
    stops(raw, kind, "annotations.json#annotations[2]")
    assert line(raw, **{kind: "drop"})[0].annotations.num_rows == 2


def test_imbalance_is_listed(tmp_path: Path) -> None:
    raw = make_coco(tmp_path / "raw", coco([image(1)], [box(n, 1) for n in range(9)] + [box(9, 1, 2)], ["a", "b", "c"]))
    _, findings = line(raw, imbalance_ratio=5)
    assert [(f["row"], f["detail"][:7]) for f in findings] == [("b", "1 boxes"), ("c", "0 boxes")]
    with pytest.raises(DataError, match="2 imbalance"):
        line(raw, imbalance_ratio=5, imbalance="error")


def test_many_findings_are_cut_short_in_the_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = [("cat", 90, 5, 99, 9)] * 70
    with pytest.raises(DataError, match=r"70 outside[\s\S]*… and 60 more[\s\S]*outside: drop"):
        line(make_voc(tmp_path / "raw", {"a": [("cat", 1, 1, 9, 9), *boxes]}))
    assert "… and 20 more, all in findings.json" in capsys.readouterr().out


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is left: 1 pictures, 0 boxes"):
        line(make_voc(tmp_path / "raw", {"a": [("cat", 5, 5, 5, 5)]}))


def test_a_full_disk_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make_voc(tmp_path / "raw", cells())
    line(raw)
    before = digest_tree(tmp_path / "valid")

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(DataError, match="no space left on the disk"):
        validate.run(validate.Params(), raw=raw, data=tmp_path / "data", out=tmp_path / "valid")
    assert digest_tree(tmp_path / "valid") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "raw", "valid"]


def test_wrong_policies_are_refused() -> None:
    with pytest.raises(ParamsError, match="did you mean 'truncated'"):
        check(validate.Params, {"trunkated": "drop"}, "params.yaml: validate")
    with pytest.raises(ParamsError, match="'error' or 'drop'"):
        check(validate.Params, {"truncated": "keep"}, "params.yaml: validate")


def test_bccd(mirror: Path, tmp_path: Path) -> None:
    ingest.run(ingest.Params(), raw=mirror / "datasets/bccd", out=tmp_path / "data")
    for out in ("valid", "again"):
        validate.run(validate.Params(), raw=mirror / "datasets/bccd", data=tmp_path / "data", out=tmp_path / out)
    assert digest_tree(tmp_path / "valid") == digest_tree(tmp_path / "again")
    found = json.loads((tmp_path / "valid/findings.json").read_text())
    assert [(f["kind"], f["file"], f["row"], f["action"]) for f in found["findings"]] == [
        ("degenerate", "Annotations/BloodImage_00338.xml", "12", "dropped"),
        ("degenerate", "Annotations/BloodImage_00343.xml", "3", "dropped")]
    assert found["checked"] == {"images": 364, "annotations": 4888} and found["counts"] == {"degenerate": 2}
    dataset = read_dataset(tmp_path / "valid")
    assert (dataset.images.num_rows, dataset.annotations.num_rows) == (364, 4886)
