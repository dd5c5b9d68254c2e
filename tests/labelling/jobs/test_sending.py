"""Which pictures are sent, in what order, and under which job."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.base.files import write_json
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.labelled import publish_labels
from tasks.data.table import read_dataset
from tasks.labelling.jobs.desk import Desk, desk_of
from tasks.labelling.jobs.job import Job, jobs, locked, read_job, write_job
from tasks.labelling.jobs.pictures import Pictures, version_of
from tasks.labelling.jobs.sending import hardest_first, send

from .bench import BOXES, ORDER, Bench, People, prelabelled


def test_hardest_first_by_the_pictures_difficulty(bench: Bench) -> None:
    order, by = hardest_first(bench.version)
    assert order == [bench.digest(name) for name in ORDER] and by == "the difficulty of each picture"


def test_else_by_the_boxes_difficulty(bench: Bench) -> None:
    bare = publish_labels(bench.store, bench.version, out="bare", owner="me", said={"by": "x"},
                          annotations=bench.data.annotations, pictures={k: {"prelabel": None} for k in range(4)})[0]
    order, by = hardest_first(bare)
    # one/a: 1 − 0.9·0.6 = 0.46, one/b: 0.2, two/a: 1 − 0.7·0.4 = 0.72, two/c has no box
    assert order == [bench.digest(name) for name in ("two/a.png", "one/a.png", "one/b.png", "two/c.png")]
    assert by == "the difficulty of its boxes"


def test_else_as_they_stand_and_that_is_told(bench: Bench) -> None:
    pool = bench.store.find("pool")
    said: list[str] = []
    job = send(pool, bench.store, People(), workspace=bench.workspace, tell=said.append)
    assert job.order == read_dataset(pool.folder).images["digest"].to_pylist()
    assert any("no difficulty is known" in line for line in said)


def test_a_desk_gets_pictures_with_boxes_and_bytes(bench: Bench) -> None:
    job = send(bench.version, bench.store, People(), hardest=2, workspace=bench.workspace)
    tasks = list(Pictures(bench.version.folder, bench.store.pictures, job.order))
    assert [task.digest for task in tasks] == job.order and [task.place for task in tasks] == [0, 1]
    assert [(box["class_id"], box["x"]) for box in tasks[0].boxes] == [(1, 12.125), (0, 40.0)]
    assert tasks[0].read() == (bench.raw / "two/a.png").read_bytes()
    assert tasks[0].attributes["prelabel"] == {"difficulty": 0.9}


def test_the_same_version_again_goes_on_with_the_same_job(bench: Bench) -> None:
    people = People()
    first = send(bench.version, bench.store, people, hardest=2, workspace=bench.workspace)
    again = send(bench.version, bench.store, people, workspace=bench.workspace)
    assert again.name == first.name == "pool-auto" and again.order == first.order
    more = send(bench.version, bench.store, people, hardest=3, instructions="look", workspace=bench.workspace)
    assert more.order == [bench.digest(name) for name in ORDER[:3]] and more.instructions == "look"
    assert [job.name for job in jobs(bench.workspace)] == ["pool-auto"]
    assert read_job("pool-auto", bench.workspace) == more
    second = send(bench.version, bench.store, people, name="again", workspace=bench.workspace)
    assert second.name == "again" and len(jobs(bench.workspace)) == 2


def test_another_version_of_that_name_gets_a_job_of_its_own(bench: Bench) -> None:
    send(bench.version, bench.store, People(), workspace=bench.workspace)
    other = prelabelled(bench.store, bench.store.find("pool"), {"one/a.png": BOXES["one/b.png"]}, {})
    assert send(other, bench.store, People(), workspace=bench.workspace).name == "pool-auto-2"
    with pytest.raises(UserError, match="job 'pool-auto' is there already, of pool-auto@1"):
        send(other, bench.store, People(), name="pool-auto", workspace=bench.workspace)


def test_to_another_desk_only_by_another_name(bench: Bench) -> None:
    send(bench.version, bench.store, People(), workspace=bench.workspace)
    with pytest.raises(UserError, match="away already, as job 'pool-auto' to people") as caught:
        send(bench.version, bench.store, "coco", workspace=bench.workspace)
    assert "--job pool-auto-coco" in str(caught.value)
    assert send(bench.version, bench.store, "coco", name="files", workspace=bench.workspace).desk == "coco"


def test_two_jobs_of_a_version_must_be_named(bench: Bench) -> None:
    for name in ("a", "b"):
        send(bench.version, bench.store, People(), name=name, workspace=bench.workspace)
    with pytest.raises(UserError, match="away as 2 jobs: a, b"):
        send(bench.version, bench.store, People(), workspace=bench.workspace)


@pytest.mark.parametrize(("change", "what"), [
    ({"hardest": 0}, "0 pictures cannot be sent"), ({"name": "../x"}, "cannot be a job's name"),
    ({"name": "_"}, "cannot be a job's name")])
def test_what_cannot_be_sent(bench: Bench, change: dict, what: str) -> None:
    with pytest.raises(UserError, match=what):
        send(bench.version, bench.store, People(), workspace=bench.workspace, **change)
    assert jobs(bench.workspace) == []


def test_pictures_that_are_there_twice_are_sent_once(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "twice").mkdir()
    for name in ("x.png", "y.png"):
        shutil.copyfile(bench.raw / "one/a.png", tmp_path / "twice" / name)
    images = [{"id": at, "file_name": name} for at, name in enumerate(("x.png", "y.png"))]
    categories = [{"id": 1, "name": "c"}]
    write_json(tmp_path / "twice/all.json", {"images": images, "annotations": [], "categories": categories})
    wanted = Importing(tmp_path / "twice", "twice", "here", ClassList([]), allow=["all"])
    said: list[str] = []
    job = send(bring_in(bench.store, wanted, "me").version, bench.store, People(), workspace=bench.workspace,
               tell=said.append)
    assert job.order == [bench.digest("one/a.png")] and "1 pictures are there twice: each is sent once" in said


def test_a_picture_that_is_not_of_the_version(bench: Bench) -> None:
    with pytest.raises(DataError, match="1 pictures of the job are not in its version, the first 0000"):
        list(Pictures(bench.version.folder, bench.store.pictures, ["0" * 64]))


def test_only_boxes_and_polygons_are_asked_for(bench: Bench) -> None:
    other = json.loads((bench.version.folder / "dataset.json").read_text()) | {"problem": "semantic"}
    (bench.version.folder / "dataset.json").chmod(0o644)
    (bench.version.folder / "dataset.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="is for 'semantic', and people are asked for boxes"):
        send(bench.store.find("pool-auto"), bench.store, People(), workspace=bench.workspace)


def test_a_job_whose_version_is_gone(bench: Bench) -> None:
    job = send(bench.version, bench.store, People(), workspace=bench.workspace)
    assert version_of(job, bench.store).ref == bench.version.ref
    # the same tables under another name are as good
    moved = bench.version.folder.rename(bench.version.folder.with_name("7"))
    assert version_of(job, bench.store).ref == "pool-auto@7"
    moved.rename(bench.workspace / "elsewhere")
    with pytest.raises(UserError, match="the version of job 'pool-auto' is gone: pool-auto@1"):
        version_of(job, bench.store)
    note = bench.version.folder.with_name("1.dvc")
    note.touch()
    with pytest.raises(DataError, match="not on this machine") as caught:
        version_of(job, bench.store)
    assert "visionmill data pull pool-auto@1" in str(caught.value)


def test_jobs_that_are_not_there_or_damaged(bench: Bench) -> None:
    job = send(bench.version, bench.store, People(), workspace=bench.workspace)
    with pytest.raises(UserError, match="did you mean 'pool-auto'"):
        read_job("pool-atuo", bench.workspace)
    with pytest.raises(UserError, match="no desk is called 'people'"):
        desk_of(job, bench.workspace)
    for text in ("{", "[]", '{"name": 3}', job.model_dump_json()[:-1] + ', "strange": 1}'):
        (job.folder / "job.json").write_text(text)
        with pytest.raises(DataError, match="damaged"):
            read_job("pool-auto", bench.workspace)


def test_one_command_at_a_time(bench: Bench) -> None:
    with locked(bench.workspace), pytest.raises(WorkspaceBusy):
        send(bench.version, bench.store, People(), workspace=bench.workspace)


def test_a_job_that_no_desk_took_is_in_nobodys_way(bench: Bench) -> None:
    class Closed(People):
        def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
            raise UserError("nobody is there")

    with pytest.raises(UserError, match="nobody is there"):
        send(bench.version, bench.store, Closed(), workspace=bench.workspace)
    job = send(bench.version, bench.store, "coco", workspace=bench.workspace)
    assert (job.name, job.desk) == ("pool-auto", "coco") and job.sent
    assert [one.desk for one in jobs(bench.workspace)] == ["coco"]


def test_an_interrupted_sending_is_finished(bench: Bench) -> None:
    class Away(People):
        def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
            job.where["project"] = 7
            write_job(job)
            raise KeyboardInterrupt

    desk: Desk = Away()
    with pytest.raises(KeyboardInterrupt):
        send(bench.version, bench.store, desk, hardest=2, workspace=bench.workspace)
    begun = read_job("pool-auto", bench.workspace)
    assert begun.sent is None and begun.where == {"project": 7} and len(begun.order) == 2
    done = send(bench.version, bench.store, People(), workspace=bench.workspace)
    assert done.sent and done.where == {"project": 7} and done.made == begun.made and np.all(done.order == begun.order)
