"""Bad answers through each desk of files: outside the picture, turned, of two people, deleted, of another job."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data.store.labelled import attributes_of
from tasks.labelling.jobs.fetching import conflicts_file
from tasks.labelling.jobs.files import FilesDesk
from tasks.labelling.jobs.job import FILES, Job
from tasks.labelling.jobs.reading import Back
from tasks.labelling.jobs.sending import send

from .bench import Bench, labels_of, make_bench
from .hands import bring
from .tools import WHEN, answer, lose

NAME = "one/b.png"
BOX = ("cell", 2.0, 3.0, 20.0, 15.0)


@pytest.fixture(params=FILES)
def job(bench: Bench, request: pytest.FixtureRequest) -> Job:
    return send(bench.version, bench.store, request.param, workspace=bench.workspace)


def part(job: Job, name: str = "part-1") -> Path:
    return job.workspace / str(job.where["folder"]) / name


def test_a_label_outside_the_picture_is_clipped_or_left_out_and_told(bench: Bench, job: Job) -> None:
    over, outside = ("plate", 60.0, 40.0, 10.0, 10.0), ("plate", 70.0, 5.0, 5.0, 5.0)
    answer(job, part(job), bench.digest(NAME), [BOX, over, outside])
    found = bring(bench, job)
    assert found.version is not None
    assert [tuple(row[side] for side in "xywh") for row in labels_of(found.version)[NAME]] == [
        BOX[1:], pytest.approx((60, 40, 4, 8))]
    told = [line for line in found.told if "b.png" in line]
    assert ["reached over the edge by 6 pixels, and was clipped" in line for line in told] == [True, False]
    assert "lies outside the picture of 64 x 48" in told[1]


def test_two_people_on_one_picture_the_later_decides_and_the_other_is_listed(bench: Bench, job: Job,
                                                                             tmp_path: Path) -> None:
    answers = {"ann": [BOX, ("plate", 40.0, 30.0, 8.0, 8.0)], "bob": [("cell", 5.0, 3.0, 20.0, 15.0)]}
    for who, boxes in answers.items():
        shutil.copytree(part(job), tmp_path / who)
        answer(job, tmp_path / who, bench.digest(NAME), boxes)
        for path in tmp_path.glob(f"{who}/**/*"):
            if path.suffix in (".json", ".xml", ".manifest"):
                path.write_text(path.read_text().replace(WHEN, WHEN.replace("-01T", "-02T") if who == "bob" else WHEN))
                os.utime(path, (1.78e9, 1.78e9) if who == "bob" else (1.77e9, 1.77e9))
    found = bring(bench, job, Back(tmp_path / "bob", "bob"), Back(tmp_path / "ann", "ann"))
    assert found.version is not None and {one.who for one in found.answers} == {"ann", "bob"}
    assert [(row["x"], row["reviewed_by"]) for row in labels_of(found.version)[NAME]] == [(5.0, "bob")]
    review = next(iter(attributes_of(found.version, "review").values()))
    assert (review["by"], review["others"]) == ("bob", ["ann"])
    assert [(row["voice"], row["x"]) for row in found.conflicts.to_pylist()] == [("ann", 40.0)]
    assert "b.png" in conflicts_file(job).read_text()
    again = bring(bench, job, Back(tmp_path / "ann", "ann"), Back(tmp_path / "bob", "bob"))
    assert again.version == found.version and not again.new


@pytest.mark.parametrize("angle", [30.0, -0.5])
@pytest.mark.parametrize("job", ["superb", "cvat"], indirect=True)  # the others know no angle
def test_a_turned_box_is_refused_with_its_picture(bench: Bench, job: Job, angle: float) -> None:
    answer(job, part(job), bench.digest(NAME), [BOX, BOX], turned=angle)
    with pytest.raises(DataError, match="1 turned box") as caught:
        bring(bench, job)
    assert "b.png" in str(caught.value) and not bench.store.of("done")
    answer(job, part(job), bench.digest(NAME), [BOX, BOX], turned=90.0)
    assert bring(bench, job).done == 1


def test_a_picture_that_was_deleted_in_the_tool_keeps_what_was_fetched(bench: Bench, job: Job) -> None:
    answer(job, part(job), bench.digest(NAME), [BOX, ("plate", 40.0, 30.0, 8.0, 8.0)])
    first = bring(bench, job)
    assert first.version is not None and first.done == 1
    for name in (NAME, "two/a.png"):
        lose(job, part(job), bench.digest(name))
    answer(job, part(job), bench.digest("two/c.png"), [("plate", 1.0, 1.0, 9.0, 9.0)])
    found = bring(bench, job)
    assert found.version is not None and (found.done, found.total) == (2, 4)
    assert {name: len(rows) for name, rows in labels_of(found.version).items()} == {NAME: 2, "two/c.png": 1}
    assert any(line.startswith("2 of 4 pictures are not in part-1") for line in found.told)


def test_files_of_another_job_are_told(bench: Bench, job: Job) -> None:
    second = send(bench.version, bench.store, job.desk, name="second", workspace=bench.workspace)
    answer(second, part(second), bench.digest(NAME), [BOX, ("plate", 40.0, 30.0, 8.0, 8.0)])
    found = bring(bench, job, Back(part(second)))
    assert found.done == 1
    said = [line for line in found.told if "say that they are of job 'second'" in line]
    assert len(said) == (0 if job.desk == "cvat" else 1)  # which has no room for our ids
    assert not said or said[0].startswith("4 pictures")


def test_another_pools_files_change_nothing(bench: Bench, job: Job) -> None:
    small = send(bench.version, bench.store, job.desk, name="small", hardest=1, workspace=bench.workspace)
    first = bench.digest("two/a.png")
    assert small.order == [first]
    answer(job, part(job), bench.digest(NAME), [BOX, BOX])
    found = bring(bench, small, Back(part(job)))
    assert found.version is None and found.done == 0
    assert any("3 pictures came back that are not of this job" in line for line in found.told), found.told


def test_unknown_keys_of_a_manifest_go_out_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: dict[str, Any] = {"weather": {"rain": 0.5}, "line": 7, "other-job": 3, "other-job-metadata": {"type": "x"}}
    bench = make_bench(tmp_path, attributes={NAME: keys})
    bench.workspace.mkdir()
    monkeypatch.setenv("VISIONMILL_STORE", str(bench.store.root))
    job = send(bench.version, bench.store, "groundtruth", workspace=bench.workspace)
    path = part(job) / "input.manifest"
    assert all(text in path.read_text() for text in ('"weather": {"rain": 0.5}', '"other-job-metadata": {"type": "x"}'))
    answer(job, part(job), bench.digest(NAME), [BOX, ("plate", 40.0, 30.0, 8.0, 8.0)])
    path.write_text(path.read_text().replace('"line": 7', '"line": 8, "new": [1]'))
    found = bring(bench, job)
    assert found.version is not None
    for key, value in (keys | {"line": 8, "new": [1]}).items():
        assert attributes_of(found.version, key) == {0: value}


def test_half_done_work_stays_open_until_it_is_finished(bench: Bench, job: Job) -> None:
    first = bring(bench, job)
    assert first.version is None and first.done == 0
    answer(job, part(job), bench.digest(NAME), [])
    found = bring(bench, job)
    assert found.version is not None and found.done == 1 and labels_of(found.version) == {NAME: []}
    assert FilesDesk(job, bench.workspace).status(job).done == 1
