"""The desk of files, in COCO: handed out once, read back however it comes, and nothing strange taken."""

from __future__ import annotations

import os
import shutil
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.base.files import write_json
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.table import read_dataset
from tasks.labelling.jobs import files, handing, returning, sending
from tasks.labelling.jobs.desk import desk_of
from tasks.labelling.jobs.fetching import fetch
from tasks.labelling.jobs.files import FilesDesk
from tasks.labelling.jobs.job import Job, read_job
from tasks.labelling.jobs.reading import Back
from tasks.labelling.jobs.returning import give_back
from tasks.labelling.jobs.sending import send

from .bench import ORDER, Bench, coco_of, labels_of
from .hands import Killed, bring, counted, edit, move, part


@pytest.fixture
def job(bench: Bench) -> Job:
    return send(bench.version, bench.store, "coco", workspace=bench.workspace, instructions="Tight boxes, please.")


def test_what_people_get(bench: Bench, job: Job) -> None:
    _, content = coco_of(part(job))
    # two pictures are called a.png: the harder one keeps the name
    easier = f"{bench.digest('one/a.png')[:12]}_a.png"
    assert [Path(image["file_name"]).name for image in content["images"]] == ["a.png", easier, "c.png", "b.png"]
    assert [image["visionmill"]["digest"] for image in content["images"]] == job.order
    assert [(box["image_id"], box["bbox"][0], box["score"]) for box in content["annotations"]] == [
        (0, 12.125, 0.7), (0, 40, 0.4), (1, 4.25, 0.9), (1, 30, 0.6), (3, 2, 0.8)]
    assert (part(job) / "images/a.png").read_bytes() == (bench.raw / "two/a.png").read_bytes()
    guide = (part(job).parent / "READ-ME.md").read_text()
    assert "Tight boxes, please." in guide and "visionmill label fetch pool-auto" in guide
    assert (part(job).parent / ".gitignore").read_text() == "*\n"
    assert job.where == {"folder": "labelling/pool-auto"} and job.sent


def test_what_is_there_is_not_sent_twice(bench: Bench) -> None:
    job = send(bench.version, bench.store, "coco", hardest=2, workspace=bench.workspace)
    path, content = coco_of(part(job))
    edit(path, lambda content: move(content, "a.png"))
    edited = path.read_bytes()
    send(bench.version, bench.store, "coco", hardest=2, workspace=bench.workspace)
    assert sorted(one.name for one in part(job).parent.glob("part-*")) == ["part-1"] and path.read_bytes() == edited
    more = send(bench.version, bench.store, "coco", hardest=3, workspace=bench.workspace)
    _, later = coco_of(part(job, "part-2"))
    assert [image["visionmill"]["digest"] for image in later["images"]] == more.order[2:]
    assert len(content["images"]) == 2 and path.read_bytes() == edited
    # a part that somebody has removed is written again
    shutil.rmtree(part(job))
    send(bench.version, bench.store, "coco", workspace=bench.workspace)
    assert {image["visionmill"]["digest"] for one in part(job).parent.glob("part-*")
            for image in coco_of(one)[1]["images"]} == set(more.order)


def test_edited_in_place_and_fetched(bench: Bench, job: Job) -> None:
    nothing = fetch(job, bench.store, "done", "me")
    assert nothing.version is None and "nothing has changed" in nothing.told[0]
    path, _ = coco_of(part(job))
    edit(path, lambda content: move(content, "b.png"))
    # who waits for people sees it before anything is fetched
    assert desk_of(job, bench.workspace).status(job).done == 1 and not (job.folder / "answers").exists()
    found = fetch(job, bench.store, "done", "me")
    assert found.version is not None and (found.done, found.total) == (1, 4)
    assert [(row["x"], row["needed"], row["reviewed_by"]) for row in labels_of(found.version)["one/b.png"]] == [
        (7.0, "adjusted", "people")]
    assert any("3 pictures are as they were sent" in line for line in found.told)
    again = fetch(job, bench.store, "done", "me")
    assert again.version == found.version and not again.new
    # half done: the rest comes later, and the next version grows
    edit(path, lambda content: move(content, "a.png"))
    more = fetch(job, bench.store, "done", "me")
    assert more.version is not None and more.version.ref == "done@2" and more.done == 2
    assert desk_of(job, bench.workspace).status(job).people == {"people": 2}
    # another name later is for what is new: the others were known
    edit(path, lambda content: content["annotations"].append(
        {"id": 99, "image_id": 2, "category_id": 1, "bbox": [1, 1, 9, 9]}))
    bring(bench, job, who="ann")
    assert desk_of(job, bench.workspace).status(job).people == {"people": 2, "ann": 1}


def test_unchanged_pictures_count_where_it_is_said(bench: Bench, job: Job) -> None:
    path, _ = coco_of(part(job))
    found = bring(bench, job, Back(path, "ann"), unchanged="accept")
    assert found.version is not None and found.done == 4 and found.clicks.clicks == 0
    assert {row["needed"] for rows in labels_of(found.version).values() for row in rows} == {"accepted"}


def test_folders_that_nobody_edited_may_be_right_as_they_are(bench: Bench, job: Job, tmp_path: Path) -> None:
    _, content = coco_of(part(job))
    move(content, "b.png")
    write_json(tmp_path / "ann.json", content)
    bring(bench, job, Back(tmp_path / "ann.json", "ann"))
    found = bring(bench, job, unchanged="accept")
    assert found.version is not None and found.done == 4
    # what ann has said already is not undone by a folder that nobody touched
    assert [(row["x"], row["reviewed_by"]) for row in labels_of(found.version)["one/b.png"]] == [(7.0, "ann")]
    assert not bring(bench, job, unchanged="accept").new


def test_a_second_look(bench: Bench, job: Job) -> None:
    path, _ = coco_of(part(job))
    for name in ("b.png", "a.png"):
        edit(path, partial(move, name=name))
    assert bring(bench, job).done == 2
    digests = [bench.digest("one/b.png"), bench.digest("two/a.png")]
    desk = FilesDesk(job, bench.workspace)
    for _ in range(2):  # asked twice, as after a kill
        give_back(job, digests, "b is too wide", desk=desk)
    looked, content = coco_of(part(job, "second-look-1"))
    assert not part(job, "second-look-2").exists()
    assert [image["visionmill"]["second_look"] for image in content["images"]] == ["b is too wide"] * 2
    # the labels are there as they are now
    assert sorted(box["bbox"][0] for box in content["annotations"]) == [7, 17.125, 40]
    assert desk.status(job).done == 0 and "b is too wide" in (part(job).parent / "READ-ME.md").read_text()
    assert bring(bench, job).done == 0
    os.utime(looked, None)
    edit(looked, lambda content: move(content, "b.png", 1.0))
    found = bring(bench, job)
    assert found.version is not None and found.done == 1
    assert [row["x"] for row in labels_of(found.version)["one/b.png"]] == [8.0]
    # the older folder, touched again for another picture, does not undo it
    edit(path, lambda content: content["annotations"].append(
        {"id": 99, "image_id": 2, "category_id": 1, "bbox": [1, 1, 9, 9]}))
    last = bring(bench, job)
    assert last.version is not None and last.done == 2
    assert [row["x"] for row in labels_of(last.version)["one/b.png"]] == [8.0]


def test_a_folder_that_is_not_ours_stays_as_it_is(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not empty, and is not this job's"):
        send(bench.version, bench.store, "coco", workspace=bench.workspace, options={"dir": str(tmp_path / "mine")})
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_another_place_than_before_is_refused(bench: Bench, job: Job, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was sent with dir None, not dir"):
        send(bench.version, bench.store, "coco", workspace=bench.workspace, options={"dir": str(tmp_path / "else")})
    outside = send(bench.version, bench.store, "coco", name="two", workspace=bench.workspace,
                   options={"dir": str(tmp_path / "else")})
    assert outside.where == {"folder": str(tmp_path / "else")} and (tmp_path / "else/part-1").is_dir()


def test_a_workspace_that_is_moved_takes_its_jobs_along(bench: Bench, job: Job) -> None:
    path, _ = coco_of(part(job))
    edit(path, lambda content: move(content, "b.png"))
    moved = bench.workspace.rename(bench.workspace.with_name("moved"))
    there = read_job(job.name, moved)
    assert fetch(there, bench.store, "done", "me").done == 1


def test_a_folder_that_is_gone_is_said(bench: Bench, job: Job) -> None:
    desk = desk_of(job, bench.workspace)
    assert desk.status(job).away is None
    coco_of(part(job))[0].write_text("{")
    assert "cannot be read as coco" in str(desk.status(job).away)
    shutil.rmtree(part(job).parent)
    assert "its folder is gone" in str(desk.status(job).away)


def test_a_picture_that_is_not_on_this_machine(bench: Bench) -> None:
    shutil.rmtree(bench.store.pictures)
    with pytest.raises(DataError, match="a picture is not on this machine"):
        send(bench.version, bench.store, "coco", workspace=bench.workspace)
    assert not list((bench.workspace / "labelling/pool-auto").glob("part-*"))


def test_pictures_in_archives(bench: Bench) -> None:
    wanted = Importing(bench.raw, "packed", "here", ClassList([]), allow=["all"], shard_over=1)
    packed = bring_in(bench.store, wanted, "me").version
    assert all(read_dataset(packed.folder).images["shard"].to_pylist())
    job = send(packed, bench.store, "coco", workspace=bench.workspace)
    root = job.workspace / "labelling/packed/part-1"
    _, content = coco_of(root)
    assert [sha256((root / "images" / image["file_name"]).read_bytes()).hexdigest() for image in content["images"]] == (
        job.order)


@pytest.mark.parametrize("name", ["verify", "bucket"])
def test_what_is_for_ground_truth_alone(bench: Bench, name: str) -> None:
    with pytest.raises(UserError, match=f"--{name} is for Ground Truth, not for coco"):
        send(bench.version, bench.store, "coco", workspace=bench.workspace, options={name: "s3://x"})


@pytest.mark.parametrize("allowed", range(7))
def test_a_kill_between_any_two_writes_of_sending(bench: Bench, allowed: int) -> None:
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((sending, "write_job"), (files, "write_job"), (files, "write_json"), (handing, "_mark"),
                             (handing, "export"), (files, "write_atomic")):
            patch.setattr(module, name, counted(getattr(module, name), name, done, allowed))
        with pytest.raises(Killed):
            send(bench.version, bench.store, "coco", workspace=bench.workspace)
    job = send(bench.version, bench.store, "coco", workspace=bench.workspace)
    root = bench.workspace / "labelling/pool-auto"
    assert sorted(path.name for path in root.iterdir()) == [
        ".gitignore", ".visionmill-job.json", "READ-ME.md", "part-1"]
    assert len(coco_of(root / "part-1")[1]["images"]) == 4 and job.sent
    assert job.order == [bench.digest(name) for name in ORDER]


@pytest.mark.parametrize("allowed", range(4))
def test_a_kill_between_any_two_writes_of_giving_back(bench: Bench, job: Job, allowed: int) -> None:
    path, _ = coco_of(part(job))
    edit(path, partial(move, name="b.png"))
    bring(bench, job)
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((returning, "write_job"), (handing, "export"), (handing, "_mark"),
                             (files, "write_atomic")):
            patch.setattr(module, name, counted(getattr(module, name), name, done, allowed))
        with pytest.raises(Killed):
            give_back(job, [bench.digest("one/b.png")], "look", desk=FilesDesk(job, bench.workspace))
    again = read_job(job.name, bench.workspace)
    give_back(again, [bench.digest("one/b.png")], "look", desk=FilesDesk(again, bench.workspace))
    assert sorted(one.name for one in part(job).parent.glob("second-look-*")) == ["second-look-1"]
    assert [image["file_name"] for image in coco_of(part(job, "second-look-1"))[1]["images"]] == ["b.png"]
    assert FilesDesk(again, bench.workspace).status(again).done == 0
