"""What a desk does not show stays with the object: its track and its points, the picture's place in its film."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.data.store.labelled import publish_labels
from tasks.data.table import ANNOTATIONS, IMAGES, read_dataset, write_dataset
from tasks.labelling.jobs.fetching import Fetched, fetch
from tasks.labelling.jobs.files import FilesDesk
from tasks.labelling.jobs.job import FILES, Job
from tasks.labelling.jobs.reading import Coming
from tasks.labelling.jobs.sending import send

from .bench import BOXES, Bench, People, labels_of

POINTS = [5.0, 6.0, 2.0, 9.0, 8.0, 1.0]
FRAMES = {"one/a.png": 4, "one/b.png": 6, "two/a.png": 9, "two/c.png": 12}


@pytest.fixture
def film(bench: Bench) -> Bench:
    """The bench's pictures as frames of a film, each box with the name of its object, those of cells with points."""
    data = bench.data
    name = {row["image_id"]: next(name for name in BOXES if row["file"].endswith(name))
            for row in data.images.to_pylist()}
    images = [row | {"group": "film.mp4", "frame": FRAMES[name[row["image_id"]]],
                     "time": FRAMES[name[row["image_id"]]] / 25} for row in data.images.to_pylist()]
    table = pa.Table.from_pylist(images, IMAGES)
    rows = [row | {"track": f"{name[row['image_id']]}#{row['class_id']}",
                   "keypoints": POINTS if row["class_id"] == 0 else None} for row in data.annotations.to_pylist()]
    # as `data frames` writes a film: the version that people get has its pictures' frames
    meta = data.meta.model_copy(update={"keypoints": {"cell": {"names": ["tip", "end"], "edges": []}}})
    write_dataset(bench.version.folder, replace(data, images=table, meta=meta))
    version, _ = publish_labels(bench.store, bench.version, out="pool-auto", owner="me", said={"by": "model:m@1"},
                                annotations=pa.Table.from_pylist(rows, ANNOTATIONS))
    return replace(bench, version=version)


def answered(film: Bench, name: str, rows: list[dict[str, Any]], before: list[int | None] | None = None) -> Fetched:
    job = send(film.version, film.store, People(), workspace=film.workspace)
    return fetch(job, film.store, "done", "me", desk=People([film.answer(name, rows, before=before)]))


def kept(found: Fetched, name: str) -> list[tuple[Any, ...]]:
    assert found.version is not None
    return [(row["needed"], row["track"], row["keypoints"]) for row in labels_of(found.version)[name]]


def numbers(film: Bench, name: str) -> list[int]:
    image = next(row["image_id"] for row in film.data.images.to_pylist() if row["file"].endswith(name))
    return [row["annotation_id"] for row in film.data.annotations.to_pylist() if row["image_id"] == image]


def test_a_box_that_is_the_same_object_keeps_its_track_and_its_points(film: Bench) -> None:
    cell, plate = film.boxes("one/a.png")
    drawn = {"class_id": 0, "x": 50.0, "y": 30.0, "w": 9.0, "h": 9.0}
    found = answered(film, "one/a.png", [cell | {"x": 6.0}, plate, drawn])
    assert kept(found, "one/a.png") == [("adjusted", "one/a.png#0", POINTS), ("accepted", "one/a.png#1", None),
                                        ("drawn", None, None)]
    assert found.version is not None
    picture = read_dataset(found.version.folder).images.to_pylist()[0]
    assert (picture["group"], picture["frame"], picture["time"]) == ("film.mp4", 4, 0.16)


def test_what_was_deleted_is_gone_with_its_track(film: Bench) -> None:
    assert kept(answered(film, "one/a.png", film.boxes("one/a.png")[1:]), "one/a.png") == [
        ("accepted", "one/a.png#1", None)]


def test_points_go_with_their_class_and_that_is_told(film: Bench) -> None:
    found = answered(film, "one/a.png", [film.boxes("one/a.png")[0] | {"class_id": 1}])
    assert kept(found, "one/a.png") == [("class", "one/a.png#0", None)]
    assert [line for line in found.told if "points" in line] == [
        "the points of 1 boxes are left out, as their class or their place is another now: "
        + next(row["file"] for row in film.data.images.to_pylist() if row["file"].endswith("one/a.png"))]


def test_a_box_that_was_carried_far_is_known_by_its_id(film: Bench) -> None:
    cell, plate = film.boxes("one/a.png")
    first, second = numbers(film, "one/a.png")
    found = answered(film, "one/a.png", [cell | {"x": 50.0, "y": 30.0}, plate], [first, second])
    assert kept(found, "one/a.png") == [("drawn", "one/a.png#0", None), ("accepted", "one/a.png#1", None)]
    assert any("the points of 1 boxes" in line for line in found.told)


@pytest.mark.parametrize("strange", ["twice", "elsewhere", "nowhere", "too short"])
def test_an_id_names_one_box_of_its_own_picture(film: Bench, strange: str) -> None:
    cell = film.boxes("one/a.png")[0]
    far = cell | {"x": 50.0, "y": 30.0}
    first = numbers(film, "one/a.png")[0]
    other = numbers(film, "two/a.png")[0]
    said: dict[str, list[int | None]] = {"twice": [first, first], "elsewhere": [first, other],
                                         "nowhere": [first, 1 << 50], "too short": [first]}
    found = answered(film, "one/a.png", [cell, far], said[strange])
    assert kept(found, "one/a.png") == [("accepted", "one/a.png#0", POINTS), ("drawn", None, None)]


@pytest.mark.parametrize("desk", FILES)
def test_through_files_of_each_format(film: Bench, desk: str) -> None:
    said: list[str] = []
    job = send(film.version, film.store, desk, workspace=film.workspace, tell=said.append)
    assert any(f"{desk} does not carry" in line and "annotations.track (5" in line for line in said), said
    unchanged = FilesDesk(job, film.workspace)
    unchanged.coming = Coming(unchanged="accept")
    mark_submitted(job, desk)
    found = fetch(job, film.store, "done", "me", desk=unchanged)
    assert found.version is not None and found.done == 4, found.told
    data = read_dataset(found.version.folder)
    assert [(row["frame"], row["time"]) for row in data.images.to_pylist()] == [
        (frame, frame / 25) for frame in FRAMES.values()]
    for name, rows in labels_of(found.version).items():
        assert [(row["track"], row["keypoints"], row["needed"]) for row in rows] == [
            (f"{name}#{row['class_id']}", POINTS if row["class_id"] == 0 else None, "accepted") for row in rows]


def mark_submitted(job: Job, desk: str) -> None:
    folder = job.workspace / str(job.where["folder"]) / "part-1"
    for path in folder.glob("meta/**/*.json") if desk == "superb" else []:
        path.write_text(path.read_text().replace("WORKING", "SUBMITTED"))
    assert Path(folder / "images").is_dir()
