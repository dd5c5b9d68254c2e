from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import ingest
from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree, read_json
from tasks.base.params import check
from tasks.data.table import boxes_of, read_dataset
from tests.data.folders import HEIGHT, WIDTH, box, cells, coco, image, make_coco, make_voc, put, save_picture, xml


def test_two_forms_of_the_same_data_give_the_same_boxes(tmp_path: Path) -> None:
    cat, dog = ("cat", 2, 3, 20, 30), ("dog", 10, 5, 40, 45)
    make_voc(tmp_path / "voc", {"1": [cat, dog], "2": [cat], "3": []})
    rows = [box(1, 1), box(2, 1, 2, (10, 5, 30, 40)), box(3, 2)]
    make_coco(tmp_path / "coco", coco([image(1), image(2), image(3)], rows))
    tables = []
    for form in ("voc", "coco"):
        ingest.run(ingest.Params(), raw=tmp_path / form, out=tmp_path / f"{form}-data")
        tables.append(read_dataset(tmp_path / f"{form}-data"))
    first, second = ({i: (b.tolist(), c.tolist()) for i, (b, c) in boxes_of(t).items()} for t in tables)
    assert first == second and tables[0].meta.classes == tables[1].meta.classes == ["cat", "dog"]


def test_images_are_sorted_and_measured(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "raw", {"b": [("cat", 1, 1, 9, 9)], "a": []})
    save_picture(root / "JPEGImages/a.jpg", 3, orientation=6)
    ingest.run(ingest.Params(name="mine", licence="CC0"), raw=root, out=tmp_path / "data")
    dataset = read_dataset(tmp_path / "data")
    turned, plain = dataset.images.to_pylist()
    assert (turned["file"], turned["width"], turned["height"], turned["orientation"]) == (
        "JPEGImages/a.jpg", HEIGHT, WIDTH, 6)
    assert (plain["image_id"], plain["width"], plain["orientation"], plain["split"]) == (1, WIDTH, 1, None)
    assert (dataset.meta.name, dataset.meta.licence) == ("mine", "CC0")
    assert dataset.annotations.to_pylist()[0]["row"] == "Annotations/b.xml#0"
    assert [n["kind"] for n in read_json(tmp_path / "data/notes.json")] == ["size_differs"]


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(5), {"train": ["p0", "p1"]})
    for out in ("a", "b"):
        ingest.run(ingest.Params(), raw=raw, out=tmp_path / out)
    assert digest_tree(tmp_path / "a") == digest_tree(tmp_path / "b")


def test_listed_classes_keep_their_order_and_others_are_noted(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(4) | {"q": [("dogg", 1, 1, 5, 5), ("", 1, 1, 5, 5)]})
    ingest.run(ingest.Params(classes=["zebra", "dog", "cat"]), raw=raw, out=tmp_path / "data")
    dataset = read_dataset(tmp_path / "data")
    assert dataset.meta.classes == ["zebra", "dog", "cat"]
    assert dataset.annotations["class_id"].to_pylist() == [2, 1, 2, 2, 2, 1]
    assert [(n["kind"], n["file"], n["row"], n["detail"]) for n in read_json(tmp_path / "data/notes.json")] == [
        ("unknown_class", "Annotations/q.xml", "0", "class 'dogg' is not in the list of classes; did you mean 'dog'?"),
        ("unknown_class", "Annotations/q.xml", "1", "the label has no class")]


def test_annotations_without_any_picture(tmp_path: Path) -> None:
    put(tmp_path / "raw/Annotations/a.xml", xml("a.jpg"))
    with pytest.raises(DataError, match=r"annotations without pictures: there is no picture 'a\.jpg'"):
        ingest.run(ingest.Params(), raw=tmp_path / "raw", out=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_hostile_input_leaves_the_old_table(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(2))
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    before = digest_tree(tmp_path / "data")
    put(raw / "Annotations/p1.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotation/>')
    with pytest.raises(DataError, match="entities"):
        ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    assert digest_tree(tmp_path / "data") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "raw"]


def test_broken_pictures_enter_the_table_for_validate_to_judge(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(2))
    put(raw / "JPEGImages/p1.jpg", "text")
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    assert read_dataset(tmp_path / "data").images["width"].to_pylist() == [WIDTH, 0]


@pytest.mark.parametrize(("values", "message"), [
    ({"format": "tfrecord"}, "must be auto, superb"), ({"clases": []}, "did you mean 'classes'"),
    ({"classes": ["a", "a"]}, "listed twice: a")])
def test_wrong_parameters(values: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check(ingest.Params, values, "params.yaml: ingest")


def test_area_is_the_masks_where_there_is_one(tmp_path: Path) -> None:
    rows = [box(1, 1, area=10.0), box(2, 1, area=0), box(3, 1, area=json.loads("NaN")), box(4, 1)]
    ingest.run(ingest.Params(), raw=make_coco(tmp_path / "raw", coco([image(1)], rows)), out=tmp_path / "data")
    assert read_dataset(tmp_path / "data").annotations["area"].to_pylist() == [10, 486, 486, 486]


def test_bccd(mirror: Path, tmp_path: Path) -> None:
    ingest.run(ingest.Params(), raw=mirror / "datasets/bccd", out=tmp_path)
    dataset = read_dataset(tmp_path)
    assert (dataset.images.num_rows, dataset.annotations.num_rows) == (364, 4888)
    assert dataset.meta.classes == ["Platelets", "RBC", "WBC"] and read_json(tmp_path / "notes.json") == []
    assert {name: dataset.subset(name).images.num_rows for name in ("train", "val", "test")} == {
        "train": 205, "val": 87, "test": 72}
