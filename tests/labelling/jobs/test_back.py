"""What comes back in files: whose it is, which picture is meant, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.base.files import write_json
from tasks.data.store.labelled import attributes_of
from tasks.labelling.jobs.desk import desk_of
from tasks.labelling.jobs.job import Job, read_job
from tasks.labelling.jobs.reading import Back
from tasks.labelling.jobs.sending import send
from tasks.labelling.jobs.sound import Near, equal

from .bench import Bench, coco_of, labels_of
from .hands import bring, edit, move, part


@pytest.fixture
def job(bench: Bench) -> Job:
    return send(bench.version, bench.store, "coco", workspace=bench.workspace, instructions="Tight boxes, please.")


@pytest.mark.parametrize("how", ["ids", "names", "digests"])
def test_pictures_are_known_by_id_by_name_or_by_their_bytes(bench: Bench, job: Job, tmp_path: Path, how: str) -> None:
    path, content = coco_of(part(job))
    move(content, "b.png")
    back = tmp_path / "back"
    back.mkdir()
    for number, image in enumerate(content["images"]):
        source = part(job) / "images" / image["file_name"]
        if how != "ids":
            del image["visionmill"]
        if how == "names":
            image["file_name"] = f"/export/{Path(image['file_name']).name}"[1:]
        else:
            image["file_name"] = f"frame_{number}.png"
        if how == "digests":
            shutil.copyfile(source, back / image["file_name"])
    write_json(back / "x.json", content)
    found = bring(bench, job, Back(back), unchanged="accept")
    assert found.version is not None and found.done == 4
    assert [(row["x"], row["needed"]) for row in labels_of(found.version)["one/b.png"]] == [(7.0, "adjusted")]
    assert {name: len(rows) for name, rows in labels_of(found.version).items()} == {
        "one/a.png": 2, "one/b.png": 1, "two/a.png": 2, "two/c.png": 0}


def test_strange_pictures_are_told_and_deleted_ones_stay_open(bench: Bench, job: Job, tmp_path: Path) -> None:
    path, content = coco_of(part(job))
    move(content, "b.png")
    content["images"][0] |= {"file_name": "who.png", "visionmill": {}}
    gone = content["images"].pop(1)["id"]
    content["annotations"] = [box for box in content["annotations"] if box["image_id"] not in (gone, 0)]
    write_json(tmp_path / "back.json", content)
    found = bring(bench, job, Back(tmp_path / "back.json"))
    assert found.version is not None and list(labels_of(found.version)) == ["one/b.png"]
    assert "1 pictures came back that are not of this job, and were left out: who.png" in found.told
    assert any(line.startswith("2 of 4 pictures are not in back.json") for line in found.told)


def test_a_picture_of_another_size_is_left_out(bench: Bench, job: Job) -> None:
    path, _ = coco_of(part(job))

    def shrink(content: dict[str, Any]) -> None:
        move(content, "b.png")
        content["images"][3] |= {"width": 32, "height": 24}

    edit(path, shrink)
    found = bring(bench, job)
    assert found.version is None and "b.png: came back for 32 x 24 pixels, and has 64 x 48" in found.told[0]


def test_several_people_send_files(bench: Bench, job: Job, tmp_path: Path) -> None:
    path, content = coco_of(part(job))
    for who, by, when in (("ann", 5.0, 20), ("bob", 9.0, 10)):
        mine = json.loads(json.dumps(content))
        move(mine, "b.png", by)
        write_json(tmp_path / f"{who}.json", mine)
        os.utime(tmp_path / f"{who}.json", (when, when))
    found = bring(bench, job, Back(tmp_path / "ann.json", "ann"), Back(tmp_path / "bob.json", "bob"))
    assert found.version is not None
    assert [(row["x"], row["reviewed_by"]) for row in labels_of(found.version)["one/b.png"]] == [(7.0, "ann")]
    assert found.conflicts.num_rows == 0  # the two boxes overlap by more than half: one object
    assert desk_of(job, bench.workspace).status(job).people == {"ann": 1, "bob": 1}


def test_classes_that_nobody_knows(bench: Bench, job: Job) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 1, "name": "Cell"}, {"id": 2, "name": "plate"}, {"id": 3, "name": "debris"}]
        content["annotations"][0]["category_id"] = 3

    path, _ = coco_of(part(job))
    edit(path, rename)
    with pytest.raises(DataError, match="classes that the job does not have: 3 of Cell, 1 of debris") as caught:
        bring(bench, job)
    assert "--map Cell=cell" in str(caught.value) and not bench.store.of("done")
    found = bring(bench, job, mapped={"Cell": "cell"}, unknown="ignore")
    assert found.version is not None and found.version.meta.classes == ["cell", "plate"]
    assert "left out: 1 debris" in found.told[0] and len(labels_of(found.version)["two/a.png"]) == 1
    more = bring(bench, job, mapped={"Cell": "cell"}, unknown="add")
    assert more.version is not None and more.version.meta.classes == ["cell", "plate", "debris"]
    assert [row["class_id"] for row in labels_of(more.version)["two/a.png"]] == [2, 0]
    assert read_job(job.name, bench.workspace).classes == ["cell", "plate", "debris"]


def test_a_class_without_a_name(bench: Bench, job: Job) -> None:
    path, _ = coco_of(part(job))
    edit(path, lambda content: content["annotations"][0].update(category_id=77))
    with pytest.raises(DataError, match="1 of them|category_id 77"):
        bring(bench, job)
    found = bring(bench, job, unknown="ignore")
    assert found.version is not None and found.clicks.counts["deleted"] == 1


@pytest.mark.parametrize("text", ["", "rubbish", "[]", '{"images": 3}', '{"images": [], "annotations": []}', "\x00\xff",
                                  '{"images": [{"file_name": "../../x.png", "id": 1}], "annotations": [], '
                                  '"categories": []}', "{" * 5000])
def test_a_file_that_is_rubbish_changes_nothing(bench: Bench, job: Job, tmp_path: Path, text: str) -> None:
    (tmp_path / "back.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="cannot be read as coco") as caught:
        bring(bench, job, Back(tmp_path / "back.json"))
    assert "back.json" in str(caught.value) and "nothing was taken" in str(caught.value)
    assert not bench.store.of("done") and not (job.folder / "answers").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a zip", b""])
def test_an_archive_that_is_rubbish(bench: Bench, job: Job, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "back.zip").write_bytes(content)
    with pytest.raises(DataError):
        bring(bench, job, Back(tmp_path / "back.zip"))
    with pytest.raises(DataError, match="nothing is there"):
        bring(bench, job, Back(tmp_path / "not-there.json"))


def test_an_archive_comes_back(bench: Bench, job: Job, tmp_path: Path) -> None:
    path, content = coco_of(part(job))
    move(content, "b.png")
    with zipfile.ZipFile(tmp_path / "back.zip", "w") as archive:
        archive.writestr("annotations/instances.json", json.dumps(content))
    assert bring(bench, job, Back(tmp_path / "back.zip")).done == 1


def test_a_tool_may_say_how_far_it_got(bench: Bench, job: Job) -> None:
    def mark(content: dict[str, Any]) -> None:
        for image, told in zip(content["images"], (
                {"status": "done", "by": "eve", "seconds": 20.5, "when": "2026-01-02T03:04:05Z"},
                {"status": "skipped"}, {"status": "open"}, {}), strict=True):
            image["visionmill"] |= told
            image["weather"] = "dry"

    path, _ = coco_of(part(job))
    edit(path, mark)
    found = bring(bench, job)
    assert found.version is not None and found.done == 2 and list(labels_of(found.version)) == ["two/a.png"]
    assert attributes_of(found.version, "review")[0] == {
        "by": "eve", "when": "2026-01-02T03:04:05.000+00:00", "seconds": 20.5, "job": "pool-auto", "clicks": 0.0}
    assert attributes_of(found.version, "weather") == {0: "dry"}


def test_a_crowd_is_met_quickly_and_each_box_once() -> None:
    boxes = [{"class_id": 0, "x": 7.0 + 0.001 * (at % 3), "y": float(at), "w": 4.0, "h": 4.0, "polygons": None}
             for at in range(300)]
    near = Near(boxes)
    assert [near.take(box, equal) for box in reversed(boxes)] == list(range(299, -1, -1)) and not near.left()
    assert near.take(boxes[0], equal) is None and Near(boxes).take(boxes[0] | {"x": math.nan}, equal) is None
