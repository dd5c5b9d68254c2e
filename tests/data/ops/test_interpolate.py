from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data.ops import Parent, interpolate
from tasks.data.rows import rows
from tasks.data.store.layout import Store
from tasks.data.store.recipes import make, replay
from tests.data.ops.versions import apply, version

Box = tuple[str, float, float, float, float, dict[str, Any]]


def box(track: str | None, x: float, name: str = "cat", **more: Any) -> Box:
    return name, x, 10.0, 20.0, 8.0, {"track": track, **more}


def film(folder: Path, boxes: dict[int, list[Box]], frames: int = 11, group: str = "film-1", **told: Any) -> Parent:
    """A version of the first frames of a film, as pictures; `told` are attributes of the picture `fN`."""
    return version(folder, {f"{group}/{at:03d}.jpg": {
        "group": group, "frame": at, "time": at / 10, "boxes": boxes.get(at, []),
        "attributes": json.dumps(told[f"f{at}"]) if f"f{at}" in told else None} for at in range(frames)})


def places(made: Parent, track: str = "1") -> dict[int, float]:
    """x of a track by frame."""
    return {row.image["frame"]: label["x"] for row in rows(made.folder) for label in row.boxes
            if label["track"] == track}


def report(made: Parent) -> dict[str, Any]:
    return json.loads((made.folder / "interpolate.json").read_text())


@pytest.mark.parametrize(("method", "found"), [
    ("linear", {2: 10, 3: 12.5, 4: 15, 5: 17.5, 6: 20, 7: 22, 8: 24, 9: 26}),
    ("copy", {2: 10, 3: 10, 4: 10, 5: 10, 6: 20, 7: 20, 8: 20, 9: 26})])
def test_boxes_lie_between_their_key_frames(tmp_path: Path, method: str, found: dict[int, float]) -> None:
    parent = film(tmp_path / "a", {2: [box("1", 10)], 6: [box("1", 20, "dog", score=0.5)], 9: [box("1", 26)]})
    made = apply(interpolate, [parent], tmp_path / "b", method=method)
    assert places(made) == pytest.approx(found)
    labels = {row.image["frame"]: row.boxes[0] for row in rows(made.folder) if row.boxes}
    # the class is that of the key frame before; what a person or a model said of a key box is not of the new one
    assert [labels[at]["class_id"] for at in range(2, 10)] == [0, 0, 0, 0, 1, 1, 1, 0]
    assert {labels[at]["source"] for at in (3, 5, 7)} == {"model:interpolate"} and labels[6]["source"] == "import"
    assert labels[7]["score"] is None and labels[6]["score"] == 0.5
    assert json.loads(labels[3]["attributes"]) == {"interpolated": method}
    assert (labels[3]["y"], labels[3]["w"], labels[3]["area"], labels[3]["track"]) == (10, 20, 160, "1")
    assert report(made) == {"tracks": 1, "key_boxes": 3, "boxes": 5, "pictures": 5, "named": ["0: 1"]}


def test_only_pictures_that_are_there_get_boxes(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {f"{at:03d}.jpg": {
        "group": "g", "frame": at, "boxes": [box("1", at)] if at in (0, 1000) else []} for at in (0, 250, 700, 1000)})
    assert places(apply(interpolate, [parent], tmp_path / "b")) == pytest.approx({0: 0, 250: 250, 700: 700, 1000: 1000})


@pytest.mark.parametrize("how", ["another label", "reviewed", "said"])
def test_a_labelled_picture_that_lacks_a_track_ends_it(tmp_path: Path, how: str) -> None:
    boxes = {0: [box("1", 0)], 10: [box("1", 10)]} | ({5: [box(None, 50)]} if how == "another label" else {})
    said: dict[str, dict[str, Any]] = {"reviewed": {"f5": {"review": {"by": "ann"}}}, "said": {"f5": {"gone": ["1"]}}}
    made = apply(interpolate, [film(tmp_path / "a", boxes, **said.get(how, {}))], tmp_path / "b")
    # towards the picture where it is gone there is nothing to move to
    assert places(made) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 10: 10}


def test_after_its_last_key_frame_a_track_stays_until_it_is_gone(tmp_path: Path) -> None:
    gone: dict[str, Any] = {"f8": {"gone": ["1"]}, "f10": {"gone": ["1"]}}
    made = apply(interpolate, [film(tmp_path / "a", {2: [box("1", 0)], 4: [box("1", 10)]}, **gone)], tmp_path / "b")
    assert places(made) == pytest.approx({2: 0, 3: 5, 4: 10, 5: 10, 6: 10, 7: 10})


def test_boxes_that_the_tool_has_interpolated_are_not_lost(tmp_path: Path) -> None:
    def cvat(x: float) -> Box:
        return box("1", x, source="model:interpolate", attributes=json.dumps({"fur": "long", "interpolated": "cvat"}))

    # CVAT writes every frame: beside key frames of other tracks, and after the last key frame to the film's end
    boxes = {0: [box("1", 0)], 1: [cvat(7), box("2", 50)], 2: [cvat(9)], 3: [box("1", 30)], 4: [cvat(30)]}
    made = apply(interpolate, [film(tmp_path / "a", boxes, frames=5)], tmp_path / "b")
    assert places(made) == {0: 0, 1: 7, 2: 9, 3: 30, 4: 30} and report(made)["boxes"] == 0


def test_several_tracks_and_films(tmp_path: Path) -> None:
    both: dict[str, Any] = {f"{name}{at}.jpg": {"group": name, "frame": at, "boxes": [
        box(track, x + at) for track, x in tracks if at in (0, 4)]}
        for name, tracks in (("a", [("1", 0), ("2", 50)]), ("b", [("1", 100)])) for at in range(5)}
    made = apply(interpolate, [version(tmp_path / "a", both)], tmp_path / "b")
    found = {row.image["file"]: sorted(label["x"] for label in row.boxes) for row in rows(made.folder)}
    assert found["a2.jpg"] == [2, 52] and found["b3.jpg"] == [103]
    assert report(made)["tracks"] == 3 and report(made)["boxes"] == 9


def test_what_is_no_film_stays(tmp_path: Path) -> None:
    pictures: dict[str, Any] = {
        "a.jpg": {"group": "g", "frame": 0, "boxes": [box("1", 0)]}, "b.jpg": {"group": "g", "frame": 1},
        "c.jpg": {"group": "g", "frame": 2, "boxes": [box("1", 2)]}, "d.jpg": [box("1", 7)],
        "e.jpg": {"frame": 1, "boxes": [box(None, 8)]}, "f.jpg": {}}
    made = apply(interpolate, [version(tmp_path / "a", pictures)], tmp_path / "b")
    assert {row.image["file"]: [label["x"] for label in row.boxes] for row in rows(made.folder)} == {
        "a.jpg": [0], "b.jpg": [1], "c.jpg": [2], "d.jpg": [7], "e.jpg": [8], "f.jpg": []}


def test_a_long_gap_is_left_open(tmp_path: Path) -> None:
    parent = film(tmp_path / "a", {0: [box("1", 0)], 3: [box("1", 3)], 10: [box("1", 10)]})
    assert places(apply(interpolate, [parent], tmp_path / "b", longest=2)) == {0: 0, 1: 1, 2: 2, 3: 3, 10: 10}
    assert len(places(apply(interpolate, [parent], tmp_path / "c", longest=6))) == 11


def test_it_can_be_done_again_after_a_correction(tmp_path: Path) -> None:
    parent = film(tmp_path / "a", {0: [box("1", 0)], 10: [box("1", 10)], 5: [
        box("1", 99, source="model:interpolate")], 8: [box("1", 20, source="human")]})
    assert places(apply(interpolate, [parent], tmp_path / "b"))[4] == 10
    once = apply(interpolate, [parent], tmp_path / "c")
    assert places(apply(interpolate, [once], tmp_path / "d")) == places(once)


@pytest.mark.parametrize(("boxes", "more", "words"), [
    ({0: [box(None, 0)]}, {}, "no label has a track"), ({}, {}, "no label has a track"),
    ({3: [box("7", 0), box("7", 5)]}, {}, "track '7' has two boxes on frame 3"),
    ({0: [box("1", 0)]}, {"x.jpg": {"group": "film-1", "frame": 0}}, "two pictures are frame 0 of one film"),
    ({0: [box("1", 0)]}, {"x.jpg": {"group": "film-1", "frame": 1 << 60, "boxes": [box("1", 0)]}}, "frames long")])
def test_what_cannot_be_interpolated_is_told(tmp_path: Path, boxes: dict[int, list[Box]], more: dict[str, Any],
                                             words: str) -> None:
    pictures: dict[str, Any] = {f"{at}.jpg": {"group": "film-1", "frame": at, "boxes": boxes.get(at, [])}
                                for at in range(5)} | more
    with pytest.raises(DataError, match=words):
        apply(interpolate, [version(tmp_path / "a", pictures)], tmp_path / "b")


def test_as_an_operation_it_replays(tmp_path: Path) -> None:
    parent = film(tmp_path / "a", {2: [box("1", 10)], 6: [box("1", 20)]})
    store = Store(tmp_path / "store")
    with store.locked():
        making = store.begin("clip", "me")
        for path in parent.folder.iterdir():
            path.rename(making.folder / path.name)
        one = store.publish(making, {"import": {"from": "here"}}, "me", {})
    made, new = make(store, "interpolate", [one], {"method": "copy"}, out="clip", owner="me")
    assert new and made.ref == "clip@2" and replay(store, made) == made.digest
    assert make(store, "interpolate", [one], {"method": "copy"}, out="clip", owner="me") == (made, False)
