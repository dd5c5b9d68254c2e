"""Formats that carry films: CVAT's and Superb AI's videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data.exporting import export
from tasks.data.formats import others, superb
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading, Source
from tasks.data.ops import interpolate
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.ops.versions import apply
from tests.data.roundtrip import exported, make_table, plain, read_all, round_trip
from tests.data.test_superb import camel, meta, project, read_explicitly, thing

MISSING = "missing_picture"


def track(number: str, boxes: str, label: str = "cat", more: str = "") -> str:
    return f'<track id="{number}" label="{label}" {more}>{boxes}</track>'


def shape(frame: int, x: float, key: int = 1, outside: int = 0) -> str:
    return (f'<box frame="{frame}" keyframe="{key}" outside="{outside}" occluded="1" xtl="{x}" ytl="5" xbr="{x + 20}" '
            f'ybr="15" z_order="0"><attribute name="fur">long</attribute></box>')


def film(root: Path, tracks: str, frames: tuple[int, ...] = (0, 5, 10), name: str = "frame_{:06d}.jpg") -> Path:
    for frame in frames:
        save_picture(root / "images" / name.format(frame), frame)
    told = (f"<meta><task><labels><label><name>cat</name></label></labels><original_size><width>{WIDTH}</width>"
            f"<height>{HEIGHT}</height></original_size><source>street.mp4</source></task></meta>")
    return put(root / "annotations.xml", f"<annotations><version>1.1</version>{told}{tracks}</annotations>")


def read_cvat(root: Path) -> tuple[list[Picture], Reading]:
    into = Reading()
    return [item for item in others.read(FolderIndex(root), Source("others:cvat", root, None), into)
            if isinstance(item, Picture)], into


@pytest.mark.parametrize("name", ["frame_{:06d}.jpg", "{:06d}.jpg", "{}.jpg"])
def test_a_film_of_cvat(tmp_path: Path, name: str) -> None:
    film(tmp_path, track("0", shape(0, 1) + shape(5, 6.5, key=0) + shape(10, 9, outside=1))
         + track("7", shape(5, 30), "dog", 'source="auto"'), name=name)
    pictures, into = read_cvat(tmp_path)
    assert [(one.frame, one.group, one.declared) for one in pictures] == [
        (frame, "film-street.mp4", (WIDTH, HEIGHT)) for frame in (0, 5, 10)]
    told = [[(box.track, box.label, box.x, box.w, box.source) for box in one.boxes] for one in pictures]
    assert told == [[("0", "cat", 1, 20, "human")],
                    [("0", "cat", 6.5, 20, "model:interpolate"), ("7", "dog", 30, 20, "import")], []]
    assert pictures[0].boxes[0].attributes == {"fur": "long"} and pictures[0].boxes[0].occlusion == 1
    assert pictures[1].boxes[0].attributes == {"fur": "long", "interpolated": "cvat"}
    assert pictures[1].boxes[0].row == "annotations.xml#track 0, shape 1"
    # the track ends here, and no other does
    assert pictures[2].attributes == {"gone": ["0"]} and not into.notes and into.labels == {"cat"}


def test_boxes_between_key_frames_of_cvat_are_made_again(tmp_path: Path) -> None:
    boxes = shape(0, 0) + shape(10, 10) + shape(15, 10, outside=1) + shape(20, 20)
    film(tmp_path / "raw", track("3", boxes), frames=(0, 4, 10, 12, 15, 16, 20))
    pictures, into = read_cvat(tmp_path / "raw")
    from tasks.data.ops import Parent
    from tasks.data.rows import rows

    folder = make_table(pictures, into, tmp_path / "raw", tmp_path / "table")
    made = apply(interpolate, [Parent("clip@1", folder, tmp_path / "raw")], tmp_path / "out")
    assert {row.image["frame"]: [box["x"] for box in row.boxes] for row in rows(made.folder)} == {
        0: [0], 4: [4], 10: [10], 12: [10], 15: [], 16: [], 20: [20]}


def test_key_frames_without_a_picture_are_told(tmp_path: Path) -> None:
    film(tmp_path, track("0", shape(0, 1) + shape(3, 2) + shape(4, 3, key=0) + shape(99, 3) + shape(-1, 0)))
    pictures, into = read_cvat(tmp_path)
    assert [len(one.boxes) for one in pictures] == [1, 0, 0]
    assert [(note.kind, note.detail) for note in into.notes] == [
        (MISSING, "3 key boxes are on frames of street.mp4 without a picture")]


def test_two_films_have_folders_of_their_names(tmp_path: Path) -> None:
    film(tmp_path, track("0", shape(0, 1)))
    save_picture(tmp_path / "other/000000.jpg", 30)
    with pytest.raises(DataError, match="could both be frame 0 of street.mp4"):
        read_cvat(tmp_path)
    (tmp_path / "images").rename(tmp_path / "street-12ab")
    assert [one.file for one in read_cvat(tmp_path)[0]] == [f"street-12ab/frame_{at:06d}.jpg" for at in (0, 5, 10)]


@pytest.mark.parametrize(("tracks", "says"), [
    (track("0", shape(0, 1)) + '<image id="1" name="a.jpg"/>', "beside pictures"),
    (track("0", "<box"), "not XML"), ('<track id="0"><!DOCTYPE a></track>', "not XML")])
def test_films_of_cvat_that_are_refused(tmp_path: Path, tracks: str, says: str) -> None:
    film(tmp_path, tracks)
    with pytest.raises(DataError, match=says):
        read_cvat(tmp_path)


def test_shapes_of_a_film_that_are_left_out(tmp_path: Path) -> None:
    film(tmp_path, track("0", '<polyline frame="0" keyframe="1" outside="0" points="1,1;2,2"/>'))
    pictures, into = read_cvat(tmp_path)
    assert not pictures[0].boxes and [note.kind for note in into.notes] == ["bad_mask"]


# --- Superb AI


def moving(number: Any, *frames: int, of: str = "c1", name: str | None = None, **more: Any) -> dict[str, Any]:
    told = thing(of, "box", {"x": 0, "y": 0, "width": 1, "height": 1})
    return {key: told[key] for key in ("class_id", "class_name", "annotation_type")} | {
        "id": name or f"o{number}", "tracking_id": number, "properties": [], "frames": [
            {"num": num, "properties": [], "annotation": {"multiple": False, "meta": {"z_index": 1}, "coord": {
                "x": 2.5 + num, "y": 3, "width": 10, "height": 20}}} for num in frames]} | more


def video(root: Path, label: Any, frames: list[str] | None = None, save: bool = True, **more: Any) -> Path:
    """An export of one film, `farm/clip.mp4`."""
    detection = project()
    told = {"type": "video-siesta", "data_type": "image sequence",
            "object_tracking": detection.pop("object_detection")}
    put(root / "project.json", json.dumps(detection | told))
    names = ["a.jpg", "b.jpg", "c.jpg"] if frames is None else frames
    about = meta("clip.mp4") | {"frames": names} | more
    put(root / "meta/farm/clip.mp4.json", json.dumps(about))
    whole = {"objects": label, "categories": {"properties": []}} if isinstance(label, list) else label
    put(root / about["label_path"][0], json.dumps(whole))
    for number, name in enumerate(names if save else ()):
        save_picture(root / "pictures/farm/clip.mp4" / name, number)
    return root


@pytest.mark.parametrize("spelled", [lambda value: value, camel])
def test_a_film_of_superb(tmp_path: Path, spelled: Any) -> None:
    video(tmp_path, spelled({"objects": [moving(7, 0, 2), moving(8, 1, of="c3")]}), tags=["night"])
    pictures, into = read_all(superb, tmp_path)
    assert [(one.frame, one.group, one.tags) for one in pictures] == [
        (number, "farm/clip.mp4", ["night"]) for number in range(3)]
    assert [[(box.track, box.label, box.x) for box in one.boxes] for one in pictures] == [
        [("7", "cat", 2.5)], [("8", "ship", 3.5)], [("7", "cat", 4.5)]]
    box = pictures[0].boxes[0]
    assert box.attributes == {"annotation": {"meta": {"z_index": 1}}, "object": {"id": "o7", "tracking_id": 7}}
    assert box.row.endswith("#objects[0].frames[0]") and not into.notes


def test_tracks_with_one_number_are_told_apart(tmp_path: Path) -> None:
    pictures, _ = read_all(superb, video(tmp_path, [moving(1, 0, name="x"), moving(1, 0, name="y"), moving(2, 0)]))
    assert [box.track for box in pictures[0].boxes] == ["x", "y", "2"]


def test_a_round_trip_of_a_film_changes_nothing(tmp_path: Path) -> None:
    label = {"objects": [moving(7, 0, 2), moving(8, 1, of="c1", properties=[{"property_id": "p"}]),
                         moving(1, 0, name="x"), moving(1, 1, name="y"), moving(None, 2)], "difficulty": 1}
    before, after = round_trip(superb, video(tmp_path / "in", label, tags=["night"]), tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and len(before) == 3
    assert [box.track for picture in after for box in picture.boxes] == ["7", "x", "8", "y", "7", None]
    told = json.loads((tmp_path / "out/project.json").read_text())
    assert told["type"] == "video-siesta" and "object_detection" not in told
    assert json.loads((tmp_path / "out/meta/farm/clip.mp4.json").read_text())["frames"] == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_film_of_ours_keeps_its_numbers_and_times(tmp_path: Path) -> None:
    film(tmp_path / "in", track("0", shape(0, 1) + shape(5, 6.5)) + track("x", shape(5, 30)))
    pictures, into = read_cvat(tmp_path / "in")
    for picture in pictures:
        picture.time = (picture.frame or 0) / 25
    folder = make_table(pictures, into, tmp_path / "in", tmp_path / "table")
    losses = export(folder, tmp_path / "in", "superb", tmp_path / "out")
    again, _ = read_all(superb, tmp_path / "out")
    assert [(one.frame, one.time) for one in again] == [(0, 0), (5, 0.2), (10, 0.4)]
    assert [[(box.track, box.x) for box in one.boxes] for one in again] == [[("0", 1)], [("0", 6.5), ("x", 30)], []]
    assert losses == {"annotations.occlusion": 3, "annotations.source": 3}


def test_without_tracks_the_pictures_stand_alone(tmp_path: Path) -> None:
    made = exported(superb, video(tmp_path / "in", [moving(None, 0)]), tmp_path)
    told = json.loads((tmp_path / "out/project.json").read_text())
    assert told["type"] == "image-siesta" and "object_tracking" not in told
    assert made.losses == {"images.group": 3, "images.frame": 3}


@pytest.mark.parametrize(("more", "kinds"), [
    ({"save": False}, [MISSING]), ({"label": None}, ["unannotated"]), ({"label": [moving(1, 9)]}, ["dangling"]),
    ({"label": [moving(1, 0, of="gone")]}, ["dangling"])])
def test_what_is_missing_of_a_film_is_told(tmp_path: Path, more: dict[str, Any], kinds: list[str]) -> None:
    video(tmp_path, more.pop("label", [moving(1, 0)]), **more)
    if more:
        save_picture(tmp_path / "pictures/another.jpg")
    _, into = read_all(superb, tmp_path)
    assert [note.kind for note in into.notes] == kinds


@pytest.mark.parametrize(("more", "says"), [
    ({"frames": "a.jpg"}, "list of names"), ({"frames": ["../a.jpg"], "save": False}, "leaves the data folder"),
    ({"label": {"shapes": []}}, "expected an object with 'objects'")])
def test_films_of_superb_that_are_refused(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    frames = more.pop("frames", None)
    label = more.pop("label", [moving(1, 0)])
    video(tmp_path, label, **more) if frames is None else video(tmp_path, label, save=False)
    save_picture(tmp_path / "pictures/farm/clip.mp4/a.jpg")
    if frames is not None:
        put(tmp_path / "meta/farm/clip.mp4.json", json.dumps(meta("clip.mp4") | {"frames": frames}))
    with pytest.raises(DataError, match=says):
        read_explicitly(tmp_path)
