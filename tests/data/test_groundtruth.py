from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.formats import groundtruth
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import exported, plain, read_all, round_trip

DATE = "2018-10-18T22:18:13.527256"
MAP = {"0": "dog", "5": "bone"}
SIZE = [{"width": WIDTH, "height": HEIGHT, "depth": 3}]


def rect(left: Any = 11, top: Any = 4, width: Any = 16, height: Any = 12, class_id: Any = 0, **more: Any) -> dict[str,
    Any]:
    return {"class_id": class_id, "left": left, "top": top, "width": width, "height": height} | more


def detected(name: str, *boxes: Any, confidence: Any = None, date: str = DATE, **meta: Any) -> dict[str, Any]:
    told = [] if confidence is None else [{"confidence": confidence} for _ in boxes]
    return {name: {"image_size": SIZE, "annotations": list(boxes)}, f"{name}-metadata": {
        "objects": told, "class-map": MAP, "type": "groundtruth/object-detection", "human-annotated": "yes",
        "creation-date": date, "job-name": f"job-{name}"} | meta}


def verified(name: str, **meta: Any) -> dict[str, Any]:
    return {name: "1", f"{name}-metadata": {
        "class-name": "bad", "confidence": 0.93, "type": "groundtruth/label-verification", "job-name": f"job-{name}",
        "human-annotated": "yes", "creation-date": DATE, "worker-feedback": [{"comment": "too wide"}]} | meta}


def make(root: Path, *lines: dict[str, Any] | str, file: str = "manifests/output/output.manifest",
         **first: Any) -> Path:
    """A manifest; the picture of line n is `pictures/<n>.jpg`."""
    whole = []
    for number, line in enumerate(lines):
        save_picture(root / f"pictures/{number}.jpg", number)
        told = {"source-ref": f"s3://bucket/some/pictures/{number}.jpg"} | line if isinstance(line, dict) else line
        whole.append(json.dumps(told) if isinstance(told, dict) else told)
    put(root / file, "\n".join(whole) + "\n")
    return root


def one(root: Path) -> Picture:
    pictures, _ = read_all(groundtruth, root)
    assert len(pictures) == 1
    return pictures[0]


def test_boxes(tmp_path: Path) -> None:
    make(tmp_path, detected("ATTR", rect(), rect(1.5, 2, 3, 4, 5, extra=[1]), confidence=0.8) | {"weather": "fog"})
    pictures, into = read_all(groundtruth, tmp_path)
    dog, bone = pictures[0].boxes
    assert (dog.label, dog.x, dog.y, dog.w, dog.h, dog.source, dog.score) == ("dog", 11, 4, 16, 12, "human", None)
    assert dog.attributes == {"confidence": 0.8} and bone.attributes == {"confidence": 0.8, "extra": [1]}
    assert (bone.label, bone.x) == ("bone", 1.5) and bone.row == "manifests/output/output.manifest#line 1, box 1"
    assert pictures[0].declared == (WIDTH, HEIGHT) and pictures[0].file == "pictures/0.jpg"
    assert into.labels == {"dog", "bone"} and into.ids == {"dog": 0, "bone": 5} and into.problem is None
    assert pictures[0].attributes == {
        "source-ref": "s3://bucket/some/pictures/0.jpg", "weather": "fog", "ground-truth": {
            "attribute": "ATTR", "metadata": {"human-annotated": "yes", "creation-date": DATE, "job-name": "job-ATTR"}}}


def test_a_machine_gives_scores(tmp_path: Path) -> None:
    box, = one(make(tmp_path, detected("A", rect(), confidence=0.25, **{"human-annotated": "no"}))).boxes
    assert (box.source, box.score, box.attributes) == ("model:job-A", 0.25, None)


def test_an_adjusted_label_goes_before_the_one_that_it_adjusts(tmp_path: Path) -> None:
    line = detected("adjusted-A", rect(1), date="2017", **{"adjustment-status": "adjusted"}) | detected("A", rect(2))
    picture = one(make(tmp_path, line))
    assert [box.x for box in picture.boxes] == [1]
    told = picture.attributes or {}
    assert told["A"]["annotations"] == [rect(2)] and told["A-metadata"]["job-name"] == "job-A"
    assert told["ground-truth"]["metadata"]["adjustment-status"] == "adjusted"


def test_the_latest_label_counts_and_classes_that_conflict_are_noted_once(tmp_path: Path) -> None:
    old, new = detected("Z", rect(1), date="2017"), detected("B", rect(2), date="2019")
    pictures, into = read_all(groundtruth, make(tmp_path / "a", old | new, old | new))
    assert [picture.boxes[0].x for picture in pictures] == [2, 2] and not into.notes
    old["Z-metadata"]["class-map"] = {"0": "cat", "9": "dog"}
    _, into = read_all(groundtruth, make(tmp_path / "b", old | new, old | new))
    assert [(note.kind, note.row) for note in into.notes] == [("duplicate_id", "line 1")]
    assert "class 0 is 'cat', not 'dog'" in into.notes[0].detail and "cat" not in into.labels


@pytest.mark.parametrize(("name", "reviewer"), [("verify-A", "job-verify-A"), ("checked", "job-checked"),
                                                ("verify-Z", None)])
def test_a_verification_names_the_reviewer(tmp_path: Path, name: str, reviewer: str | None) -> None:
    line = detected("A", rect(), rect(2)) | detected("Z", rect(3), date="2010") | verified(name)
    picture = one(make(tmp_path, line))
    assert [box.reviewed_by for box in picture.boxes] == [reviewer] * 2
    assert (picture.attributes or {})[f"{name}-metadata"]["worker-feedback"] == [{"comment": "too wide"}]


CLASS = {"sport": 3, "sport-metadata": {"class-name": "tennis", "confidence": 0.5, "job-name": "j",
    "creation-date": DATE,
                                        "type": "groundtruth/image-classification", "human-annotated": "yes"}}
CLASSES = {"c": [1, 0, 8], "c-metadata": {"class-map": {"1": "red", "0": "blue", "8": "green"}, "job-name": "j",
                                          "confidence-map": {"1": 0.8, "0": 0.7, "8": 0.1}, "human-annotated": "yes",
                                          "type": "groundtruth/image-classification-multilabel", "creation-date": DATE}}


@pytest.mark.parametrize(("line", "labels", "ids"), [
    (CLASS, ["tennis"], {"tennis": 3}), (CLASSES, ["blue", "green", "red"], {"red": 1, "blue": 0, "green": 8}),
    (CLASSES | {"c": []}, [], {"red": 1, "blue": 0, "green": 8})])
def test_classes_of_whole_pictures(tmp_path: Path, line: Any, labels: list[str], ids: dict[str, int]) -> None:
    pictures, into = read_all(groundtruth, make(tmp_path / "in", line))
    assert pictures[0].labels == labels and into.problem == "classify" and into.ids == ids
    before, after = round_trip(groundtruth, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    written = json.loads((tmp_path / "out/output.manifest").read_text())
    name = next(iter(line))
    assert sorted(np.atleast_1d(written[name]).tolist()) == sorted(np.atleast_1d(line[name]).tolist())


def semantic(root: Path, **more: Any) -> Path:
    colours = {"0": {"class-name": "BACKGROUND", "confidence": 0.9, "hex-color": "#ffffff"},
               "2": {"class-name": "street", "confidence": 0.9, "hex-color": "#2acf59"}}
    meta = {"internal-color-map": colours, "type": "groundtruth/semantic-segmentation", "human-annotated": "yes",
            "creation-date": DATE, "job-name": "cities"}
    make(root, {"city-ref": "s3://bucket/out/annotations/0_2018.png", "city-ref-metadata": meta} | more)
    (root / "annotations").mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH), 2, np.uint8)).save(root / "annotations/0_2018.png")
    return root


def test_masks(tmp_path: Path) -> None:
    pictures, into = read_all(groundtruth, semantic(tmp_path / "in"))
    assert pictures[0].mask == "annotations/0_2018.png" and into.problem == "semantic"
    assert into.ids == {"BACKGROUND": 0, "street": 2}
    before, after = round_trip(groundtruth, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    assert after[0].mask == "masks/annotations/0_2018.png"
    assert np.asarray(Image.open(tmp_path / "out" / after[0].mask)).all()
    written = json.loads((tmp_path / "out/output.manifest").read_text())
    assert written == json.loads((tmp_path / "in/manifests/output/output.manifest").read_text())


def test_a_mask_that_is_missing(tmp_path: Path) -> None:
    pictures, into = read_all(groundtruth, semantic(tmp_path, **{"city-ref": "s3://bucket/none.png"}))
    assert pictures[0].mask is None and [note.kind for note in into.notes] == ["bad_mask"]


@pytest.mark.parametrize(("line", "says"), [
    ({}, "no label yet"), ({"x": 1, "x-metadata": {"failure-reason": "ClientError: no"}}, "failed: ClientError"),
    ({"x": 1, "x-metadata": {"type": "groundtruth/custom"}}, "no label yet"), (verified("v"), "no label yet")])
def test_lines_without_a_label(tmp_path: Path, line: Any, says: str) -> None:
    pictures, into = read_all(groundtruth, make(tmp_path / "in", line))
    assert [note.kind for note in into.notes] == ["unannotated"] and says in into.notes[0].detail
    assert into.notes[0].picture == pictures[0].file == "pictures/0.jpg"
    exported(groundtruth, tmp_path / "in", tmp_path)
    written = json.loads((tmp_path / "out/output.manifest").read_text())
    assert written == {"source-ref": "s3://bucket/some/pictures/0.jpg"} | line


def test_manifests_of_splits_and_the_one_that_is_meant(tmp_path: Path) -> None:
    make(tmp_path, detected("A", rect()), file="train.manifest")
    make(tmp_path, detected("A", rect()), file="validation.jsonl")
    make(tmp_path, {}, file="manifests/input.manifest")
    make(tmp_path, detected("A", rect()))
    put(tmp_path / "notes.jsonl", '{"text": "no picture"}\n')
    found = groundtruth.find(FolderIndex(tmp_path))
    assert sorted((source.path.name, source.split) for source in found) == [
        ("output.manifest", None), ("train.manifest", "train"), ("validation.jsonl", "val")]


@pytest.mark.parametrize("name", ["x #t=3.jpg", "it's \"b\".jpg", "é/ü 🐈.jpg", "50%20a.jpg", "a//b.jpg",
    "l" * 250 + ".jpg"])
def test_names_of_pictures(tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / "in" / name)
    make(tmp_path / "in", detected("A", rect()) | {"source-ref": f"s3://bucket/{name}"})
    before, after = round_trip(groundtruth, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    assert before[0].file == name.replace("//", "/")


def test_the_longest_ending_finds_the_picture(tmp_path: Path) -> None:
    for number, folder in enumerate(("x/a", "x/b", "y/a")):
        save_picture(tmp_path / folder / "p.jpg", number)
    make(tmp_path, detected("A", rect()) | {"source-ref": "s3://bucket/raw/x/b/p.jpg"})
    assert one(tmp_path).file == "x/b/p.jpg"
    make(tmp_path, detected("A", rect()) | {"source-ref": "s3://bucket/raw/b/p.jpg"})
    assert one(tmp_path).file == "x/b/p.jpg"
    make(tmp_path, detected("A", rect()) | {"source-ref": "s3://bucket/a/p.jpg"})
    with pytest.raises(DataError, match="is there 2 times"):
        one(tmp_path)


def test_a_picture_that_is_missing(tmp_path: Path) -> None:
    make(tmp_path, detected("A", rect()) | {"source-ref": "s3://bucket/none.jpg"})
    pictures, into = read_all(groundtruth, tmp_path)
    assert not pictures and [(note.kind, note.row) for note in into.notes] == [("missing_picture", "line 1")]


@pytest.mark.parametrize("class_id", [7, None, "dog", {}])
def test_a_class_that_is_not_in_the_map(tmp_path: Path, class_id: Any) -> None:
    pictures, into = read_all(groundtruth, make(tmp_path, detected("A", rect(class_id=class_id), rect(class_id=0.0))))
    assert [(note.kind, note.row) for note in into.notes] == [("dangling", "line 1, box 0")]
    assert [box.label for box in pictures[0].boxes] == ["dog"]


@pytest.mark.parametrize(("name", "label"), [(None, ""), ("", ""), (5, ""), ("null", "null"), ("a/b", "a/b"),
    ("🐈", "🐈")])
def test_strange_names_of_classes(tmp_path: Path, name: Any, label: str) -> None:
    make(tmp_path, detected("A", rect(), **{"class-map": {"0": name}}))
    assert [box.label for box in one(tmp_path).boxes] == [label]


@pytest.mark.parametrize("box", [rect(9, 9, -3, 0), rect(1e9, 1, 2, 3)])
def test_nonsense_of_boxes_is_given_as_it_is(tmp_path: Path, box: Any) -> None:
    made, = one(make(tmp_path, detected("A", box))).boxes
    assert [made.x, made.y, made.w, made.h] == [box[side] for side in ("left", "top", "width", "height")]


@pytest.mark.parametrize("value", ["NaN", None, [], float("inf"), float("nan"), 10 ** 400])
def test_what_is_no_number(tmp_path: Path, value: Any) -> None:
    make(tmp_path / "in", detected("A", rect(value), confidence=value, **{"human-annotated": "no"}))
    _, after = round_trip(groundtruth, tmp_path / "in", tmp_path)
    assert not math.isfinite(after[0].boxes[0].x) and after[0].boxes[0].score in (None, 0)
    assert all(json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "out/output.manifest").open())


@pytest.mark.parametrize(("text", "says"), [
    ("{", "not JSON"), ("[" * 100_000, "not JSON"), (b"\xff\xfe{}", "not JSON"),
    ("[1]", "expected 'source-ref', found list"),
    ('{"images": [], "a": 1}', "expected 'source-ref', found 'a', 'images'"), ('{"source": "a text"}', "'source-ref'"),
    ('{"source-ref": 5}', "'source-ref'"), ('{"source-ref": "s3://b/../../etc/x.jpg"}', "leaves the data folder"),
    ('{"source-ref": ""}', "is empty"), ('{"source-ref": "s3://b/a.jpg", "b": ' + "[" * 70 + "]" * 70 + "}", "deeper"),
    ('{"source-ref": "0.jpg", "a": [], "a-metadata": {"type": "groundtruth/object-detection"}}', "list 'annotations'"),
    ("{" + " " * (11 << 20), "more than 10 MiB")])
def test_lines_of_another_kind(tmp_path: Path, text: Any, says: str) -> None:
    make(tmp_path, detected("A", rect()))
    path = tmp_path / "manifests/output/output.manifest"
    put(path, path.read_bytes() + b"\n" + (text.encode() if isinstance(text, str) else text) + b"\n")
    with pytest.raises(DataError, match=says) as raised:
        read_all(groundtruth, tmp_path)
    assert "#line 3" in str(raised.value)


def test_empty_lines_and_a_mark_of_utf_8_are_nothing(tmp_path: Path) -> None:
    path = make(tmp_path, detected("A", rect())) / "manifests/output/output.manifest"
    put(path, b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\n\n  \n")
    assert len(one(tmp_path).boxes) == 1
