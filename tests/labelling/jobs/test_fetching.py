"""What people have done becomes a version: who decides, what it cost, what is kept, what is refused."""

from __future__ import annotations

import contextlib
import csv
import shutil
import time
from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store import labelled
from tasks.data.store.labelled import attributes_of
from tasks.data.table import read_dataset
from tasks.labelling.jobs import fetching, keeping
from tasks.labelling.jobs.desk import Answer, boxes_table
from tasks.labelling.jobs.fetching import Fetched, fetch, last_fetch
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.keeping import recall, remember, takes
from tasks.labelling.jobs.returning import find_pictures, give_back
from tasks.labelling.jobs.sending import send
from tasks.labels.clicks import NEEDED

from .bench import ORDER, Bench, People, labels_of
from .hands import Killed, counted


@pytest.fixture
def job(bench: Bench) -> Job:
    return send(bench.version, bench.store, People(), workspace=bench.workspace)


def bring(bench: Bench, job: Job, *answers: Answer) -> Fetched:
    return fetch(job, bench.store, "done", "me", desk=People(list(answers)))


def test_nothing_yet(bench: Bench, job: Job) -> None:
    found = bring(bench, job)
    assert found.version is None and not found.new and (found.done, found.total) == (0, 4)
    assert last_fetch(job)["version"] is None and bench.store.of("done") == []


def test_each_kind_of_correction_and_what_it_costs(bench: Bench, job: Job) -> None:
    first, second = bench.boxes("one/a.png")
    moved = second | {"x": 33.0, "w": 9.0}
    other = bench.boxes("two/a.png")
    swapped = other[0] | {"class_id": 0}
    found = bring(bench, job, bench.answer("one/a.png", [first, moved], seconds=30.0, when=1_700_000_000.25),
                  bench.answer("two/a.png", [swapped], who="bob", seconds=12.0),
                  bench.answer("two/c.png", [{"class_id": 1, "x": 5.0, "y": 5.0, "w": 6.0, "h": 7.0}]))
    assert found.version is not None and found.version.ref == "done@1" and found.new
    labels = labels_of(found.version)
    assert [(row["needed"], row["source"], row["reviewed_by"]) for row in labels["one/a.png"]] == [
        ("accepted", "model:m@1", "ann"), ("adjusted", "human", "ann")]
    assert [(row["needed"], row["class_id"], row["source"]) for row in labels["two/a.png"]] == [("class", 0, "human")]
    assert [(row["needed"], row["x"], row["area"]) for row in labels["two/c.png"]] == [("drawn", 5.0, 42.0)]
    kept, changed = labels["one/a.png"]
    assert kept["score"] == pytest.approx(0.9) and kept["difficulty"] == pytest.approx(0.1)
    assert changed["score"] is None and changed["difficulty"] is None
    # adjust 2, class 1, delete 1, draw 2; from nothing 4 boxes of 2
    assert found.clicks.counts == dict.fromkeys(NEEDED, 0) | {
        "accepted": 1, "adjusted": 1, "class": 1, "deleted": 1, "drawn": 1}
    assert (found.clicks.clicks, found.clicks.from_nothing, found.clicks.share) == (6.0, 8.0, 0.75)
    files = dict(zip(*read_dataset(found.version.folder).images.select(["file", "image_id"]).to_pydict().values(),
                     strict=True))
    review = attributes_of(found.version, "review")
    image = next(image for file, image in files.items() if file.endswith("one/a.png"))
    assert review[image] == {"by": "ann", "when": "2023-11-14T22:13:20.250+00:00", "seconds": 30.0,
                             "job": "pool-auto", "clicks": 2.0}
    assert found.version.meta.recipe["labels"] == {"by": "people", "job": "pool-auto", "desk": "people",
                                                   "people": ["ann", "bob"]}
    assert last_fetch(job)["seconds"] == 42.0 and last_fetch(job)["counts"]["deleted"] == 1


def test_the_same_fetch_twice_is_one_version_and_more_answers_the_next(bench: Bench, job: Job) -> None:
    one = bench.answer("one/a.png")
    first = bring(bench, job, one)
    again = bring(bench, job, one)
    assert first.version == again.version and (first.new, again.new) == (True, False)
    # a tool that has touched its file says the same at a later time
    later = bring(bench, job, bench.answer("one/a.png", when=2000.0))
    assert later.version == first.version and not later.new and len(takes(job)) == 1
    more = bring(bench, job, one, bench.answer("two/c.png", []))
    assert more.version is not None and more.version.ref == "done@2" and more.done == 2
    assert sorted(labels_of(more.version)) == ["one/a.png", "two/c.png"]


def test_two_people_on_one_picture_the_later_decides_and_nothing_is_lost(bench: Bench, job: Job) -> None:
    first, second = bench.boxes("one/a.png")
    early = bench.answer("one/a.png", [first, second, second | {"y": 30.0}], who="bob", when=5.0, seconds=4.0)
    late = bench.answer("one/a.png", [first | {"x": 5.0}], who="ann", when=9.0, seconds=6.0)
    found = bring(bench, job, late, early, bench.answer("one/b.png", who="ann", when=7.0))
    assert found.version is not None
    labels = labels_of(found.version)
    assert [(row["x"], row["reviewed_by"]) for row in labels["one/a.png"]] == [(5.0, "ann")]
    rows = found.conflicts.to_pylist()
    assert [(row["voice"], row["x"], row["y"], row["kind"]) for row in rows] == [
        ("bob", 30.0, 10.0, "people"), ("bob", 30.0, 30.0, "people")]
    assert "reviewed later than bob" in rows[0]["reason"]
    listed = list(csv.DictReader((job.folder / "conflicts.csv").open()))
    assert [(row["class"], row["voice"], row["digest"]) for row in listed] == [
        ("plate", "bob", bench.digest("one/a.png"))] * 2
    review = next(one for one in attributes_of(found.version, "review").values() if one.get("others"))
    assert review["by"] == "ann" and review["others"] == ["bob"] and review["seconds"] == 10.0
    assert last_fetch(job)["conflicts"] == 2


def test_at_the_same_time_somebody_must_decide(bench: Bench, job: Job) -> None:
    found = bring(bench, job, bench.answer("one/a.png", [], who="zoe", when=5.0),
                  bench.answer("one/a.png", who="ann", when=5.0))
    assert {row["voice"] for row in found.conflicts.to_pylist()} == {"ann"}
    assert "at the same time" in found.conflicts["reason"][0].as_py()


def test_conflicts_that_are_settled_go_from_the_list(bench: Bench, job: Job) -> None:
    bring(bench, job, bench.answer("one/a.png", who="bob", when=1.0), bench.answer("one/a.png", [], when=2.0))
    assert len((job.folder / "conflicts.csv").read_text().splitlines()) == 3
    found = bring(bench, job, bench.answer("one/a.png", who="ann", when=3.0))
    assert found.conflicts.num_rows == 0 and len((job.folder / "conflicts.csv").read_text().splitlines()) == 1


def test_half_done_and_skipped_pictures_are_no_labels(bench: Bench, job: Job) -> None:
    found = bring(bench, job, bench.answer("one/a.png", complete=False), bench.answer("one/b.png", []),
                  bench.answer("two/a.png", complete=False, skipped=True))
    assert found.version is not None and list(labels_of(found.version)) == ["one/b.png"]
    assert (found.done, found.total, len(found.answers)) == (2, 4, 3)
    # a draft after the answer changes nothing, the finished one does
    late = bring(bench, job, bench.answer("one/b.png", bench.boxes("one/b.png"), complete=False, when=3000.0))
    assert late.version == found.version
    done = bring(bench, job, bench.answer("one/a.png", when=3000.0))
    assert done.version is not None and sorted(labels_of(done.version)) == ["one/a.png", "one/b.png"]


def test_pictures_that_are_deleted_at_the_desk_keep_their_labels(bench: Bench, job: Job) -> None:
    bring(bench, job, bench.answer("one/a.png"), bench.answer("one/b.png"))
    found = bring(bench, job, bench.answer("two/c.png", []))
    assert found.version is not None and sorted(labels_of(found.version)) == ["one/a.png", "one/b.png", "two/c.png"]


def test_pictures_of_somebody_else_are_told(bench: Bench) -> None:
    job = send(bench.version, bench.store, People(), hardest=1, workspace=bench.workspace)
    found = bring(bench, job, bench.answer("one/a.png"), bench.answer(ORDER[0]),
                  Answer("f" * 64, boxes_table([]), "ann", 1.0))
    assert found.version is not None and list(labels_of(found.version)) == [ORDER[0]]
    assert found.told[0].startswith("2 pictures came back that are not of this job")


@pytest.mark.parametrize(("box", "kept", "said"), [
    ((60.0, 40.0, 10.0, 10.0), (60.0, 40.0, 4.0, 8.0), "reached over the edge by 6 pixels"),
    ((-3.0, 2.0, 8.0, 8.0), (0.0, 2.0, 5.0, 8.0), "by 3 pixels"),
    ((60.0, 40.0, 4.005, 8.0), (60.0, 40.0, 4.0, 8.0), None),
    ((70.0, 5.0, 5.0, 5.0), None, "lies outside the picture of 64 x 48"),
    ((64.0, 5.0, 5.0, 5.0), None, "lies outside"), ((-9.0, -9.0, 9.0, 4.0), None, "lies outside"),
    ((5.0, 5.0, 0.0, 5.0), None, "is no box"), ((5.0, 5.0, -4.0, 5.0), None, "is no box"),
    ((float("nan"), 5.0, 4.0, 5.0), None, "is no box"), ((5.0, 5.0, float("inf"), 5.0), None, "is no box"),
])
def test_a_label_outside_is_clipped_or_refused_and_the_rest_goes_on(
        bench: Bench, job: Job, box: tuple[float, ...], kept: tuple[float, ...] | None, said: str | None) -> None:
    rows = [*bench.boxes("one/b.png"), {"class_id": 1, **dict(zip("xywh", box, strict=True))}]
    found = bring(bench, job, bench.answer("one/b.png", rows), bench.answer("one/a.png"))
    assert found.version is not None
    labels = [tuple(row[side] for side in "xywh") for row in labels_of(found.version)["one/b.png"]]
    assert labels == [(2.0, 3.0, 20.0, 15.0), *([pytest.approx(kept)] if kept else [])]
    assert len(labels_of(found.version)["one/a.png"]) == 2
    assert [line for line in found.told if "b.png" in line] == ([] if said is None else [
        line for line in found.told if said in line and "box 1 of ann" in line]) and (said is None) == (not found.told)


def test_polygons_are_clipped_and_compared(bench: Bench, job: Job) -> None:
    square = [[50.0, 10.0, 70.0, 10.0, 70.0, 20.0, 50.0, 20.0]]
    rows = [{"class_id": 0, "x": 50.0, "y": 10.0, "w": 20.0, "h": 10.0, "polygons": square},
            bench.boxes("one/b.png")[0] | {"polygons": [[2.0, 3.0, 22.0, 3.0, 22.0, 18.0]]}]
    found = bring(bench, job, bench.answer("one/b.png", rows))
    assert found.version is not None
    outside, outline = labels_of(found.version)["one/b.png"]
    assert (outside["x"], outside["w"], outside["area"]) == (50.0, 14.0, 140.0)
    assert max(outside["polygons"][0]) == 64.0
    # the box is where it was, and somebody drew the outline
    assert outline["needed"] == "adjusted" and outline["source"] == "human" and outline["area"] == 150.0
    assert found.clicks.clicks == 4.0


def test_what_was_only_rounded_is_the_pre_label_again(bench: Bench, job: Job) -> None:
    rows = [row | {"x": row["x"] + 0.004, "h": row["h"] - 0.009} for row in bench.boxes("one/a.png")]
    found = bring(bench, job, bench.answer("one/a.png", rows))
    assert found.version is not None
    assert [(row["x"], row["h"]) for row in labels_of(found.version)["one/a.png"]] == [(4.25, 12.0), (30.0, 9.0)]


def test_a_class_that_the_job_does_not_have_stops_it(bench: Bench, job: Job) -> None:
    bad = bench.answer("one/a.png", [bench.boxes("one/a.png")[0] | {"class_id": 2}])
    with pytest.raises(DataError, match="class 2, and the job has 2"):
        bring(bench, job, bad)
    assert bench.store.of("done") == []


def test_unknown_attributes_and_ids_are_kept(bench: Bench, job: Job) -> None:
    rows = [row | {"attributes": '{"colour": "red"}'} for row in bench.boxes("one/b.png")]
    found = bring(bench, job, bench.answer("one/b.png", rows, attributes={"weather": {"rain": True}}))
    assert found.version is not None
    assert attributes_of(found.version, "weather") == {0: {"rain": True}}
    assert '"colour": "red"' in labels_of(found.version)["one/b.png"][0]["attributes"]


def test_given_back_and_answered_again(bench: Bench, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bring(bench, job, bench.answer("one/a.png", when=10.0), bench.answer("one/b.png", when=10.0))
    digests = find_pictures(job, bench.store, ["one/a.png".replace("one/", ""), bench.digest("one/b.png")[:8]][1:])
    assert digests == [bench.digest("one/b.png")] and first.done == 2
    monkeypatch.setattr("tasks.labelling.jobs.returning.time.time", lambda: 100.0)
    desk = People([bench.answer("one/a.png", when=10.0), bench.answer("one/b.png", when=10.0)])
    give_back(job, digests, "too wide", desk=desk)
    assert desk.returned == [(digests, "too wide")] and desk.status(job).done == 1 and desk.status(job).partial == 1
    waiting = fetch(job, bench.store, "done", "me", desk=desk)
    assert waiting.done == 1 and waiting.version is not None
    assert attributes_of(waiting.version, "review")[1]["second_look"] == "too wide"
    assert attributes_of(waiting.version, "review")[1]["waiting"] is True
    # the same boxes again, now with the note in mind, close it
    again = fetch(job, bench.store, "done", "me", desk=People([bench.answer("one/b.png", when=200.0)]))
    assert again.done == 2 and again.version is not None
    assert attributes_of(again.version, "review")[1] | {} == {
        "by": "ann", "when": "1970-01-01T00:03:20.000+00:00", "seconds": None, "job": "pool-auto", "clicks": 0.0,
        "second_look": "too wide", "waiting": False}
    # and a third look opens it once more
    monkeypatch.setattr("tasks.labelling.jobs.returning.time.time", lambda: 300.0)
    give_back(job, digests, "too wide", desk=desk)
    assert job.returned_at == {digests[0]: 300.0}


def test_given_back_where_the_desks_clock_is_ahead(bench: Bench, job: Job) -> None:
    later = time.time() + 3600
    bring(bench, job, bench.answer("one/b.png", when=later))
    give_back(job, [bench.digest("one/b.png")], "look again", desk=People())
    assert bring(bench, job, bench.answer("one/b.png", when=later)).done == 0
    assert bring(bench, job, bench.answer("one/b.png", when=later + 60)).done == 1


def test_what_cannot_be_given_back(bench: Bench, job: Job) -> None:
    with pytest.raises(UserError, match="2 pictures of job 'pool-auto' are called 'a.png'"):
        find_pictures(job, bench.store, ["a.png"])
    with pytest.raises(UserError, match="did you mean 'c.png'"):
        find_pictures(job, bench.store, ["cc.png"])
    with pytest.raises(UserError, match="1 pictures are not of job"):
        give_back(job, ["0" * 64], "look", desk=People())
    with pytest.raises(UserError, match="needs a note"):
        give_back(job, job.order[:1], " ", desk=People())


def test_the_last_answer_of_each_person_is_kept(bench: Bench, job: Job) -> None:
    remember(job, [bench.answer("one/a.png", when=1.0), bench.answer("one/a.png", [], when=2.0),
                   bench.answer("one/a.png", who="bob", when=1.5)])
    remember(job, [bench.answer("one/a.png", when=1.2)])
    assert [(one.who, one.when, one.boxes.num_rows) for one in recall(job)] == [("ann", 2.0, 0), ("bob", 1.5, 2)]
    takes(job)[0].write_text('{"answers": [{"digest": 3}]}')
    with pytest.raises(DataError, match="kept answers are damaged"):
        recall(job)


def test_a_job_of_a_version_that_is_gone_loses_nothing(bench: Bench, job: Job) -> None:
    bring(bench, job, bench.answer("one/a.png"))
    other = bench.answer("one/b.png")
    shutil.move(bench.version.folder, bench.workspace / "away")
    with pytest.raises(UserError, match="is gone: pool-auto@1"):
        bring(bench, job, other)
    assert len(recall(job)) == 1
    shutil.move(bench.workspace / "away", bench.version.folder)
    assert bring(bench, job, other).done == 2


@pytest.mark.parametrize("allowed", range(7))
def test_a_kill_between_any_two_writes_loses_nothing_and_doubles_nothing(
        bench: Bench, job: Job, allowed: int) -> None:
    answers = [bench.answer("one/a.png", who="bob", when=1.0), bench.answer("one/a.png", [], when=2.0),
               bench.answer("two/c.png", [])]
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((keeping, "write_json"), (fetching, "write_json"), (fetching, "write_atomic"),
                             (labelled, "write"), (labelled, "write_meta"), (Path, "rename")):
            patch.setattr(module, name, counted(getattr(module, name), name, done, allowed))
        with contextlib.suppress(Killed):
            bring(bench, job, *answers)
            raise AssertionError(f"{len(done)} writes: {done}")
    assert len(done) == allowed
    # what was fetched before the kill needs no desk any more
    found = bring(bench, job, *(answers if allowed == 0 else []))
    assert found.version is not None and found.version.ref == "done@1" and found.done == 2
    assert found.conflicts.num_rows == 2 and last_fetch(job)["conflicts"] == 2
    assert [path.name for path in takes(job)] == ["000001.json"]
    assert len(bench.store.of("done")) == 1
