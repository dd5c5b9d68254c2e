from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco, labelstudio
from tasks.data.formats._labelstudio_brush import encode_brush
from tasks.data.formats._labelstudio_names import names_of, picture_key
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, Source
from tasks.data.runs import decode
from tests.data.folders import HEIGHT, WIDTH, image, make_coco, put, save_picture
from tests.data.folders import coco as content
from tests.data.roundtrip import plain, read_all, round_trip

RECTANGLE = {"x": 25, "y": 50, "width": 12.5, "height": 25, "rotation": 0}
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[4:9, 7:30] = True
MASK[20, 60] = True


def region(kind: str = "rectanglelabels", value: dict[str, Any] | None = None, *labels: str,
           **more: Any) -> dict[str, Any]:
    return {"id": "r", "type": kind, "from_name": "label", "to_name": "image", "original_width": WIDTH,
            "original_height": HEIGHT, "value": (value or RECTANGLE) | {kind: list(labels) or ["cat"]}} | more


def task(*results: dict[str, Any], name: str = "0.jpg", **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": name}, "annotations": [{"id": 5, "result": list(results)}]} | more


def read(root: Path, *tasks: Any) -> tuple[list[Picture], Reading]:
    for number in (0, 1):
        save_picture(root / f"{number}.jpg", number)
    put(root / "export.json", json.dumps(tasks))
    return read_all(labelstudio, root)


def one(root: Path, *results: dict[str, Any], **more: Any) -> tuple[Picture, Reading]:
    pictures, into = read(root, task(*results, **more))
    return pictures[0], into


def seen(notes: list[Note]) -> list[tuple[str, str, str, str | None]]:
    return [(note.kind, note.file, note.row, note.picture) for note in notes]


def test_rectangles_are_shares_of_the_picture(tmp_path: Path) -> None:
    picture, into = one(tmp_path, region(score=0.5), region(value=RECTANGLE | {"x": 0}, original_width=None))
    first, second = picture.boxes
    assert (first.label, first.x, first.y, first.w, first.h) == ("cat", 16, 24, 8, 12)
    assert (first.source, first.score, first.row) == ("human", 0.5, "export.json#[0].result[0]")
    assert (second.x, second.w) == (0, 8) and picture.declared == (WIDTH, HEIGHT)
    assert into.labels == {"cat"} and not into.notes and into.problem is None


def test_a_picture_whose_size_nobody_says_is_measured(tmp_path: Path) -> None:
    bare = {key: value for key, value in region().items() if not key.startswith("original")}
    picture, _ = one(tmp_path, bare)
    assert (picture.boxes[0].x, picture.declared) == (16, None)


def test_turned_rectangles_become_the_box_around_them(tmp_path: Path) -> None:
    picture, _ = one(tmp_path, region(value=RECTANGLE | {"rotation": 90}))
    box = picture.boxes[0]
    assert np.allclose([box.x, box.y, box.w, box.h], [4, 24, 12, 8])
    assert box.attributes == {"rotation": 90.0, "rotated": [16.0, 24.0, 8.0, 12.0]}
    before, after = round_trip(labelstudio, tmp_path, tmp_path / "again")
    assert plain(before[0]) == plain(after[0])


def test_polygons(tmp_path: Path) -> None:
    points = [[25, 50], [50, 50], [50, 75]]
    picture, into = one(tmp_path, region("polygonlabels", {"points": points}))
    box = picture.boxes[0]
    assert box.polygons == [[16, 24, 32, 24, 32, 36]] and into.problem == "segment"
    assert (box.x, box.y, box.w, box.h, box.area) == (16, 24, 16, 12, 96)


def test_brush_strokes(tmp_path: Path) -> None:
    picture, into = one(tmp_path, region("brushlabels", {"format": "rle", "rle": encode_brush(MASK)}))
    box = picture.boxes[0]
    assert box.rle is not None and into.problem == "segment"
    assert (decode(dict(zip(("h", "w", "counts"), box.rle, strict=True))) == MASK).all()
    assert (box.x, box.y, box.w, box.h, box.area) == (7, 4, 54, 17, 116)


@pytest.mark.parametrize(("kind", "value", "reason"), [
    ("polygonlabels", {"points": [[1, 2], [3, 4]]}, "2 points"),
    ("polygonlabels", {"points": [[1, 2], [3]]}, "points are"),
    ("polygonlabels", {"points": [[1, 2], [3, "x"], [4, 5]]}, "no list of numbers"),
    ("polygonlabels", {"points": 3}, "0 points"), ("brushlabels", {"rle": encode_brush(MASK)[:-9]}, "not fill 64 x 48"),
    *(("brushlabels", {"rle": packed}, "do not fill") for packed in (None, [256], ["a"], encode_brush(MASK[:-1]), [])),
    ("brushlabels", {"format": "png"}, "do not fill"), ("brushlabels", {"rle": encode_brush(MASK & False)}, "nothing"),
    ("ellipselabels", {"x": 1}, "cannot be read"), ("keypointlabels", {"x": 1, "y": 2}, "belongs to no region")])
def test_regions_that_are_none(tmp_path: Path, kind: str, value: dict[str, Any], reason: str) -> None:
    more = {"parentID": "gone"} if kind == "keypointlabels" else {}
    picture, into = one(tmp_path, region(kind, value, **more))
    assert picture.boxes == [] and into.problem is None and reason in into.notes[0].detail
    assert seen(into.notes) == [("bad_mask", "export.json", "[0].result[0]", "0.jpg")]
    assert (picture.attributes or {}).get("results", []) == ([region(kind, value)] if kind == "ellipselabels" else [])


def test_labels_beside_regions_without(tmp_path: Path) -> None:
    bare = region("rectangle") | {"value": RECTANGLE}
    picture, _ = one(tmp_path, bare, bare | {"type": "labels", "value": RECTANGLE | {"labels": ["dog"]}})
    assert [box.label for box in picture.boxes] == ["dog"]


def test_regions_with_two_labels_or_none(tmp_path: Path) -> None:
    bare = region("rectangle") | {"value": RECTANGLE, "id": "b"}
    picture, into = one(tmp_path, region("rectanglelabels", None, "cat", "dog"), bare)
    assert [box.label for box in picture.boxes] == ["cat", "dog", ""] and into.labels == {"cat", "dog"}


def test_keypoints_of_a_rectangle(tmp_path: Path) -> None:
    hidden = {"id": "t", "parentID": "r", "meta": {"visibility": 1}}
    nose = region("keypointlabels", {"x": 25, "y": 50, "width": 1}, "nose", id="n", parentID="r")
    tail = region("keypointlabels", {"x": 50, "y": 75, "width": 1}, "tail", **hidden)
    pictures, into = read(tmp_path, task(region(), nose), task(tail, region(), name="1.jpg"))
    assert into.keypoints == {"cat": {"names": ["nose", "tail"], "edges": []}} and not into.notes
    assert [p.boxes[0].keypoints for p in pictures] == [[16, 24, 2, 0, 0, 0], [0, 0, 0, 32, 36, 1]]


def test_a_point_that_stands_alone(tmp_path: Path) -> None:
    picture, into = one(tmp_path, region("keypointlabels", {"x": 25, "y": 50, "width": 3.125}, "nose"))
    box = picture.boxes[0]
    assert (box.x, box.y, box.w, box.h, box.keypoints) == (15, 23, 2, 2, [16, 24, 2])
    assert into.keypoints == {"nose": {"names": ["nose"], "edges": []}}


def test_choices_are_labels_of_the_picture(tmp_path: Path) -> None:
    choices = [{"type": "choices", "from_name": "c", "value": {"choices": names}} for names in (["a", "b"], ["b"])]
    pictures, into = read(tmp_path, task(*choices), task(name="1.jpg"))
    assert [p.labels for p in pictures] == [["a", "b"], None] and into.labels == {"a", "b"}
    assert into.problem == "classify" and not into.notes


def test_answers_about_a_region_and_about_the_picture(tmp_path: Path) -> None:
    about = {"type": "choices", "id": "r", "from_name": "colour", "value": RECTANGLE | {"choices": ["red"]}}
    text = {"type": "textarea", "from_name": "note", "value": {"text": ["blurred"]}}
    picture, into = one(tmp_path, about, region(), text)
    assert picture.boxes[0].attributes == {"colour": ["red"]} and picture.labels is None
    assert picture.attributes == {"results": [text]} and into.problem is None


@pytest.mark.parametrize("kind", [None, [], {}, 3, "unheard of"])
def test_results_of_no_known_type_are_kept(tmp_path: Path, kind: Any) -> None:
    odd = {"type": kind, "id": "r", "value": {"x": 1}}
    picture, _ = one(tmp_path, region(), odd)
    assert len(picture.boxes) == 1 and picture.attributes == {"results": [odd]}


def test_the_latest_annotation_counts(tmp_path: Path) -> None:
    annotations = [
        {"id": number, "updated_at": f"2026-0{month}-01T00:00:00Z", "result": [region("rectanglelabels", None, label)]}
        for number, (month, label) in enumerate([(1, "old"), (3, "new"), (2, "older")])]
    picture, into = one(tmp_path, annotations=[*annotations, {"was_cancelled": True, "updated_at": "2027"}])
    assert [box.label for box in picture.boxes] == ["new"]
    assert seen(into.notes) == [("duplicate_id", "export.json", "[0]", "0.jpg")]
    assert into.notes[0].detail == "3 annotations, the latest counts (id 1)"


def test_predictions_count_where_nobody_annotated(tmp_path: Path) -> None:
    model = [{"model_version": "v7", "score": 0.25, "result": [region(), region(score=0.75)]}]
    cancelled = [{"was_cancelled": True, "result": [region()]}]
    pictures, into = read(tmp_path, task(annotations=cancelled, predictions=model),
                          task(region(), name="1.jpg", predictions=model))
    assert [(box.source, box.score) for box in pictures[0].boxes] == [("model:v7", 0.25), ("model:v7", 0.75)]
    assert [(box.source, box.score) for box in pictures[1].boxes] == [("human", None)] and not into.notes


@pytest.mark.parametrize(("annotations", "said"), [([], "nobody annotated this picture"), (None, "nobody annotated"),
                                                   ([{"was_cancelled": True, "result": []}], ", 1 were cancelled")])
def test_nobody_annotated(tmp_path: Path, annotations: Any, said: str) -> None:
    picture, into = one(tmp_path, annotations=annotations)
    assert picture.file == "0.jpg" and picture.boxes == []
    assert seen(into.notes) == [("unannotated", "export.json", "[0]", "0.jpg")] and said in into.notes[0].detail


def test_an_empty_annotation_is_one(tmp_path: Path) -> None:
    picture, into = one(tmp_path)
    assert picture.boxes == [] and not into.notes


def test_completions_of_early_versions(tmp_path: Path) -> None:
    completions = [{"created_at": time, "result": [region("rectanglelabels", None, label)]}
                   for time, label in ((9, "a"), (10, "b"))]
    pictures, _ = read(tmp_path, {"data": {"image": "0.jpg"}, "completions": completions})
    assert [box.label for box in pictures[0].boxes] == ["b"]


def test_who_made_and_who_agreed(tmp_path: Path) -> None:
    reviews = [{"accepted": True, "created_by": {"email": "b@c"}}, {"accepted": False, "created_by": 9}]
    annotation = {"completed_by": {"id": 3, "email": "a@b"}, "reviews": reviews,
                  "result": [region(meta={"difficult": True, "text": ["x"]})]}
    data = {"image": "0.jpg", "split": "valid", "group": "film", "tags": ["night"], "camera": 7}
    picture, _ = one(tmp_path, annotations=[annotation], data=data, meta={"shift": "late"})
    box = picture.boxes[0]
    assert (box.reviewed_by, box.difficult, box.attributes) == ("b@c", True, {"text": ["x"]})
    assert (picture.split, picture.group, picture.tags) == ("val", "film", ["night"])
    assert picture.attributes == {"shift": "late", "completed_by": "a@b", "data": {"camera": 7}}


@pytest.mark.parametrize(("address", "file"), [
    ("/data/upload/1/0a1b2c3d-a%20b.jpg", "a b.jpg"), ("/data/upload/0a1b2c3d-0.jpg", "0a1b2c3d-0.jpg"),
    ("/data/local-files/?d=deep%2Fa%20b.jpg", "a b.jpg"), ("http://x:80/data/local-files/?d=a%26b.jpg&e=1", "a&b.jpg"),
    ("s3://bucket/deep/a b.jpg", "a b.jpg"), ("https://x/a%20b.jpg?Signature=1#t=3", "a b.jpg"),
    ("clip#t=1.jpg", "clip#t=1.jpg"), ("clip#t=2.jpg", None),
    ("https://x/clip%23t%3D1.jpg", "clip#t=1.jpg"), ("it's \"x\".jpg", "it's \"x\".jpg"),
    ("/data/local-files/?d=C%3A%5Cpics%5Ca%20b.jpg", "a b.jpg"), ("data:image/png;base64,iVBOR", None),
    ("gone.jpg", None), ("%41.jpg", "%41.jpg"), ("\u00e9.jpg", "\u00e9.jpg"), ("https://x/%C3%A9.jpg", "\u00e9.jpg")])
def test_names_of_pictures(tmp_path: Path, address: str, file: str | None) -> None:
    for number, name in enumerate(["a b.jpg", "0a1b2c3d-0.jpg", "a&b.jpg", "clip#t=1.jpg", "clip.jpg", "it's \"x\".jpg",
                                   "%41.jpg", "A.jpg", "\u00e9.jpg"]):
        save_picture(tmp_path / "pictures" / name, number)
    pictures, into = read(tmp_path, task(region(), name=address))
    assert [p.file for p in pictures] == ([f"pictures/{file}"] if file else [])
    assert [note.kind for note in into.notes] == ([] if file else ["missing_picture"])


def test_the_key_that_names_the_picture() -> None:
    assert picture_key({"a": 1, "b": "some text", "c": "s3://x/y.PNG?z", "d": "e.jpg"}) == "c"
    assert picture_key({"d": "e.jpg", "img": "f"}) == "img" and picture_key({"image": ["a.jpg"], "t": "x"}) is None
    assert names_of("a/0a1b2c3d-0a1b2c3d-b.jpg") == ["a/0a1b2c3d-0a1b2c3d-b.jpg", "a/0a1b2c3d-b.jpg"]


@pytest.mark.parametrize("name", [
    "/data/local-files/?d=../../secret.jpg", "s3://b/%2e%2e/a.jpg", "a/../../b.jpg", "a\0.jpg"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"leaves the data folder[\s\S]*export\.json#\[0\]"):
        read(tmp_path, task(name=name))


@pytest.mark.parametrize(("text", "message"), [
    ('{"data": {}, "annotations": [{"result": []}]}', "a list of tasks; this looks like one Label Studio task"),
    ("3", "a list of tasks"), ("[3]", "an object with 'data'"), ('[{"data": []}]', "an object with 'data'"),
    ('[{"data": {}}', "the file is cut off"), ("[", "not JSON"), ("", "not JSON"), ("[{}] x", "object with"),
    ('[{"data": {"image": "0.jpg"}, "annotations": 5}]', "'annotations' of a task"),
    ('[{"data": {"image": "0.jpg"}, "annotations": [{"result": [1]}]}]', "'result' of a task"),
    ('[{"data": {"image": "0.jpg"}, "predictions": [[]]}]', "'predictions' of a task"),
    ("[" * 100_000, "nested too deep")])
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    save_picture(tmp_path / "0.jpg")
    put(tmp_path / "a.json", text)
    source = Source("labelstudio", tmp_path / "a.json", None)
    with pytest.raises(DataError, match=rf"{message}[\s\S]*a\.json"):
        list(labelstudio.read(FolderIndex(tmp_path), source, Reading()))


def test_neither_format_claims_the_other(tmp_path: Path) -> None:
    make_coco(tmp_path, content([image(1)], []), "instances_train.json")
    read(tmp_path, task(region()))
    long = region("brushlabels", {"rle": [1] * 50_000})
    put(tmp_path / "late.json", json.dumps([{"annotations": [{"result": [long]}], "data": {}}]))
    put(tmp_path / "results.json", json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}]))
    index = FolderIndex(tmp_path)
    assert [s.path.name for s in labelstudio.find(index)] == ["export.json", "late.json"]
    assert [s.path.name for s in coco.find(index)] == ["instances_train.json"]


@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
def test_pieces_of_any_size_give_the_same(tmp_path: Path, chunk: int) -> None:
    polygon = region("polygonlabels", {"points": [[1, 2], [3, 4], [5, 7]]})
    _, into = read(tmp_path, task(region()), task(polygon, name="1.jpg"))
    index = FolderIndex(tmp_path)
    pictures = list(labelstudio.read(index, labelstudio.find(index)[0], into, chunk))
    assert [(p.file, len(p.boxes)) for p in pictures] == [("0.jpg", 1), ("1.jpg", 1)]
