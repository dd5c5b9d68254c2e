"""YOLO written: round trips, and what it cannot carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco, yolo
from tasks.data.formats.record import Box, Picture, Reading
from tests.data.exports import export_of, written
from tests.data.folders import save_picture
from tests.data.roundtrip import exported, plain, read_all, round_trip
from tests.data.test_yolo import ROW, TWO, make


def test_round_trip_of_boxes(tmp_path: Path) -> None:
    rows = "0 0.333333 0.1 0.123456789 0.2\n1 0.1234567890123456 0.7 0.1 0.3\n1 .5 .5 0 0\n"
    root = make(tmp_path / "a", TWO + "extra: {a: b}\n", {"train/a": rows, "train/sub/a": ROW, "val/a": rows})
    before, after = round_trip(yolo, root, tmp_path / "trip")
    assert [plain(p) for p in before] == [plain(p) for p in after] and len(after) == 3
    again = read_all(yolo, tmp_path / "trip/out")[1]
    assert again.ids == {"cat": 0, "dog": 1} and again.attributes == {"yolo": {"extra": {"a": "b"}}}


def test_round_trip_of_polygons_scores_and_keypoints(tmp_path: Path) -> None:
    ring = "0 .1 .2 .333333 .2 0.31234567 .6\n1 .5 .5 .6 .5 .6 .7 .55 .9\n"
    for name, yaml, rows in (("rings", TWO, ring), ("scores", TWO, "0 .5 .5 .1 .1 .9\n1 .2 .2 .1 .1 .25\n"),
                             ("poses", TWO + "kpt_shape: [2, 3]\nflip_idx: [1, 0]\n", "0 .5 .5 .2 .2 .1 .2 2 0 0 0\n")):
        root = make(tmp_path / name, yaml, {"train/a": rows, "val/b": ""})
        before, after = round_trip(yolo, root, tmp_path / f"{name}-trip")
        assert [plain(p) for p in before] == [plain(p) for p in after], name
        assert exported(yolo, root, tmp_path / f"{name}-again").losses.total() == 0
        assert read_all(yolo, root)[1].problem == read_all(yolo, tmp_path / f"{name}-trip/out")[1].problem


def test_polygons_of_another_format(mirror: Path, tmp_path: Path) -> None:
    """165 nuts: each ring and its class come back; COCO's boxes reach a pixel further than their rings."""
    raw = mirror / "datasets/nuts_coco_seg"
    pictures, into = read_all(coco, raw)
    export = written(yolo, pictures, raw, tmp_path, into)
    assert +export.losses == {"boxes that are not their polygon's extent": 165}
    found = {Path(p.file).name: p for p in read_all(yolo, export.out)[0]}
    for picture in pictures:
        for one, other in zip(picture.boxes, found[Path(picture.file).name].boxes, strict=True):
            assert one.label == other.label and one.polygons is not None and other.polygons is not None
            assert other.polygons == [pytest.approx(ring, abs=1e-9) for ring in one.polygons]


def test_without_splits_the_pictures_stand_in_images(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    picture = Picture("a.jpg", None, None, "r", [Box("cat", 1, 2, 3, 4, "r")])
    export = written(yolo, [picture], tmp_path / "raw", tmp_path)
    assert (export.out / "labels/a.txt").is_file() and "train: images\n" in (export.out / "data.yaml").read_text()
    assert [(p.file, p.split) for p in read_all(yolo, export.out)[0]] == [("images/a.jpg", None)]


def test_some_without_split_keep_having_none(tmp_path: Path) -> None:
    for number in range(2):
        save_picture(tmp_path / f"raw/{number}.jpg", number)
    pictures = [Picture(f"{k}.jpg", split, None, "r", [Box("cat", 1, 2, 3, 4, "r")])
                for k, split in enumerate((None, "test"))]
    export = written(yolo, pictures, tmp_path / "raw", tmp_path)
    assert {p.file: p.split for p in read_all(yolo, export.out)[0]} == {"images/unsplit/0.jpg": None,
                                                                       "images/test/1.jpg": "test"}


def test_what_yolo_cannot_carry_is_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    small, large = [1.0, 1, 2, 1, 2, 2], [5.0, 5, 20, 5, 20, 20, 5, 20]
    boxes = [Box("a", 5, 5, 15, 15, "r", polygons=[small, large]), Box("a", 1, 1, 9, 9, "r", rle=(48, 64, "0")),
             Box("a", 0, 0, 1, 1, "r", polygons=[[1, 1, 2, 2]]), Box("a", 0, 0, 40, 40, "r", polygons=[large])]
    export = written(yolo, [Picture("a.jpg", None, None, "r", boxes)], tmp_path / "raw", tmp_path,
                     Reading(problem="segment"))
    assert +export.losses == {
        "parts of an object beyond the first polygon": 1, "boxes that are not their polygon's extent": 1,
        "masks and boxes that became rectangles": 2}
    read = read_all(yolo, export.out)[0][0].boxes
    assert read[0].polygons == [pytest.approx(large)]
    assert read[1].polygons == [pytest.approx([1, 1, 10, 1, 10, 10, 1, 10])]


def test_polygons_of_some_are_left_out_of_a_set_of_boxes(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    boxes = [Box("a", 5, 5, 15, 15, "r", polygons=[[1, 1, 2, 1, 2, 2]], score=0.5), Box("a", 1, 1, 9, 9, "r")]
    export = written(yolo, [Picture("a.jpg", None, None, "r", boxes)], tmp_path / "raw", tmp_path)
    assert +export.losses == {"annotations.polygons": 1, "annotations.score": 1}
    assert [len(line.split()) for line in (export.out / "labels/a.txt").read_text().splitlines()] == [5, 5]


def test_classes_and_files_of_any_name(tmp_path: Path) -> None:
    names = ["null", "a/b", "😀", "say \"x\": #1", "'", "- y", "\x85\x7fbell\x07", "two\nlines", "true", "{x}"]
    files = ["odd #t=1.jpg", "'q' \"d\".jpg", f"{'n' * 251}.jpg", "Case.jpg", "case.jpg", "s/1.jpg", "t/1.jpg"]
    for number, file in enumerate(files):
        save_picture(tmp_path / "raw" / file, number)
    pictures = [Picture(file, "train", None, "r", [Box(name, k, k, 9, 9, "r") for name in names])
                for k, file in enumerate(files)]
    export = written(yolo, pictures, tmp_path / "raw", tmp_path)
    found, into = read_all(yolo, export.out)
    assert sorted(p.boxes[0].x for p in found) == pytest.approx(range(len(files))) and not into.notes
    assert into.labels == {name.strip() for name in names}


def test_labels_of_pictures_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    export = export_of([Picture("a.jpg", None, None, "r", labels=["cat"])], tmp_path / "raw", tmp_path,
                       Reading(problem="classify"))
    with pytest.raises(DataError, match="--format folders"):
        yolo.write(export)


def test_the_class_numbers_stay_where_they_are_without_gaps(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    picture = Picture("a.jpg", None, None, "r", [Box("b", 1, 1, 2, 2, "r"), Box("a", 1, 1, 2, 2, "r")])
    for number, ids in enumerate(({"b": 0, "a": 1}, {"a": 1, "b": 90}, {"a": 1}, {})):
        export = written(yolo, [picture], tmp_path / "raw", tmp_path / str(number), Reading(ids=ids))
        assert read_all(yolo, export.out)[1].ids == ({"b": 0, "a": 1} if number == 0 else {"a": 0, "b": 1})
