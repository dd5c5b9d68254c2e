from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading
from tasks.data.inspect import describe
from tasks.data.reading import find_sources, read_pictures
from tasks.data.table import read_dataset
from tests.data.folders import box, cells, coco, image, make_coco, make_voc, put, save_picture


def sources(root: Path, **options: object) -> list[str]:
    found = find_sources(FolderIndex(root), **options)  # type: ignore[arg-type]
    return [f"{s.format} {s.path.relative_to(root).as_posix()}" for s in found]


def test_the_format_is_found_by_looking(tmp_path: Path) -> None:
    assert sources(make_voc(tmp_path / "a", cells(1))) == ["voc Annotations"]
    assert sources(make_coco(tmp_path / "b", coco([image(1)], []))) == ["coco annotations.json"]


@pytest.mark.parametrize("make", [lambda root: None, lambda root: root.mkdir(), lambda root: put(root / ".x", "")])
def test_an_empty_folder(tmp_path: Path, make: object) -> None:
    make(tmp_path / "raw")  # type: ignore[operator]
    with pytest.raises(UserError, match=r"(empty|no such) folder[\s\S]*put pictures and their annotations there"):
        describe(tmp_path / "raw")


def test_pictures_without_any_annotation_file(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"no annotations found[\s\S]*instances_train\.json[\s\S]*Annotations/\*\.xml"):
        describe(tmp_path)


def test_two_formats_at_once_must_be_chosen(tmp_path: Path) -> None:
    make_coco(make_voc(tmp_path, cells(1)), coco([image(1)], []))
    with pytest.raises(DataError,
                       match=r"several annotations \(coco, voc\)[\s\S]*ingest: \{annotations: \[annotations\.json\]\}"):
        sources(tmp_path)
    assert sources(tmp_path, only=["annotations.json"]) == ["coco annotations.json"]
    assert sources(tmp_path, format="voc") == ["voc Annotations"]


def test_two_files_for_one_split_must_be_chosen(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_coco(tmp_path, coco([image(1)], []), f"{name}.json")
    with pytest.raises(DataError,
                       match=r"several annotations.*a\.json, b\.json"):
        sources(tmp_path)
    with pytest.raises(DataError, match="no annotations found among c.json"):
        sources(tmp_path, only=["c.json"])


def test_pictures_that_nothing_mentions(tmp_path: Path) -> None:
    root = make_coco(tmp_path, coco([image(1)], [box(1, 1)]))
    save_picture(root / "images/extra.jpg", 5)
    save_picture(root / "masks/1.png", 5)
    into, index = Reading(), FolderIndex(root)
    pictures = [item for item in read_pictures(index, find_sources(index), into) if isinstance(item, Picture)]
    assert [p.file for p in pictures] == ["images/1.jpg", "images/extra.jpg"]
    assert [(n.kind, n.picture) for n in into.notes] == [("unannotated", "images/extra.jpg")]


@pytest.mark.parametrize("evaluation", ["test", "val"])
def test_one_picture_under_two_splits(tmp_path: Path, evaluation: str) -> None:
    for split in ("train", evaluation):
        make_coco(tmp_path, coco([image(1)], [box(1, 1)]), f"{split}.json")
    into, index = Reading(), FolderIndex(tmp_path)
    pictures = [item for item in read_pictures(index, find_sources(index), into) if isinstance(item, Picture)]
    assert [p.split for p in pictures] == [evaluation]
    assert [(n.kind, n.file, n.picture) for n in into.notes] == [("leaked", "train.json", "images/1.jpg")]


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_dropping_what_leaked_takes_the_copy_in_train(tmp_path: Path, form: str) -> None:
    from tasks import ingest, validate

    raw = tmp_path / "raw"
    if form == "voc":
        make_voc(raw, cells(3), {"train": ["p0", "p1"], "val": ["p1", "p2"]})
    else:
        make_coco(raw, coco([image(0), image(1)], [box(1, 0), box(2, 1)]), "train.json")
        make_coco(raw, coco([image(1), image(2)], [box(1, 1), box(2, 2)]), "val.json")
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    validate.run(validate.Params(leaked="drop"), raw=raw, data=tmp_path / "data", out=tmp_path / "valid")
    assert read_dataset(tmp_path / "valid").images["split"].to_pylist() == ["train", "val", "val"]
    found = read_json(tmp_path / "valid/findings.json")["findings"]
    assert [(f["kind"], "train" in f["file"], f["action"]) for f in found if f["kind"] == "leaked"] == [
        ("leaked", True, "dropped")]


def test_an_ambiguous_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        make_coco(tmp_path, coco([image(1)], []), folder=folder)
    index = FolderIndex(tmp_path)
    with pytest.raises(DataError, match=r"'1\.jpg' is there 2 times: a/1\.jpg, b/1\.jpg"):
        list(read_pictures(index, find_sources(index), Reading()))


def test_description_is_readable(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(3), {"train": ["p0", "p1"], "test": ["p2"]})
    save_picture(root / "JPEGImages/extra.jpg", 5)
    found = describe(root)
    assert (found.format, found.pictures, found.boxes) == ("voc", 4, 4)
    assert (found.classes, found.splits) == ({"cat": 3, "dog": 1}, {"train": 2, "test": 1})
    assert str(found).splitlines() == [
        "found:   Pascal VOC, by Annotations; problem: detect", "holds:   4 pictures, 4 labels",
        "classes: cat (3), dog (1)", "splits:  train 2, test 1", "flaws:   1 unannotated; `validate` lists them"]


def test_bccd_is_described(mirror: Path) -> None:
    found = describe(mirror / "datasets/bccd")
    assert (found.pictures, found.boxes) == (364, 4888)
    assert found.classes == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    assert found.splits == {"train": 205, "val": 87, "test": 72} and not found.flaws


def test_masks_with_the_pictures_names(mirror: Path) -> None:
    index = FolderIndex(mirror / "datasets/nuclei_256")
    assert all(p.file.startswith("images/") for p in read_pictures(index, find_sources(index), Reading()))
