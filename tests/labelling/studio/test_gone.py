"""Tasks and projects that are deleted in Label Studio: what was fetched stays, the rest goes out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.labelling.jobs.desk import answered
from tasks.labelling.jobs.job import read_job
from tasks.labelling.jobs.keeping import recall, remember
from tasks.labelling.jobs.returning import give_back
from tests.labelling.studio.asking import Sent, boxes_of, first, prediction, tasks_of
from tests.labelling.studio.fake import Fake
from tests.labelling.studio.made import SIZE


def test_pictures_that_were_answered_and_fetched_are_not_handed_out_again(
        server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    task = first(server, job)
    server.answer(task["id"], prediction(task)[:1])
    server.answer(first(server, job, 1)["id"], [], cancelled=True)
    remember(job, desk.fetch(job))
    server.projects.clear()
    server.tasks.clear()
    desk.send(job, pictures, workspace)
    assert {one["data"]["visionmill"]["digest"] for one in server.tasks.values()} == set(job.order[2:])
    status = desk.status(job)
    assert (status.total, status.done, status.away) == (5, 2, None)
    assert [one.boxes.num_rows for one in remember(job, desk.fetch(job)) if one.complete] == [1]
    desk.send(job, pictures, workspace)
    assert len(server.tasks) == 3


def test_a_second_look_survives_the_project_with_its_note_and_the_answer(
        server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    task = first(server, job)
    results = prediction(task)
    results[0]["value"]["x"] = 3.0
    drawn = {**results[0], "id": "xYz_1", "value": results[0]["value"] | {"x": 50.0}}
    server.answer(task["id"], [*results, drawn])
    before = remember(job, desk.fetch(job))[0]
    give_back(job, job.order[:1], "look at the edge", desk=desk)
    server.projects.clear()
    server.tasks.clear()
    again = read_job(job.name, workspace)
    desk.send(again, pictures, workspace)
    (new,) = tasks_of(server, job.order[0])
    assert len(server.tasks) == 5 and new["data"]["note"] == "look at the edge"
    assert [one["id"] for one in prediction(new)] == ["a8", "a9", "a-2"]
    assert [one["value"]["x"] for one in prediction(new)] == pytest.approx([one["value"]["x"] for one in
                                                                            [*results, drawn]])
    give_back(again, job.order[:1], "look at the edge", desk=desk)
    assert len(tasks_of(server, job.order[0])) == 1
    server.answer(new["id"], prediction(new)[1:], who=2)
    new["annotations"][0]["updated_at"] = "2999-01-01T00:00:00Z"
    answers = remember(again, desk.fetch(again))
    assert [(one.who, one.before) for one in answers] == [("ann@localhost", before.before),
                                                          ("bob@localhost", [9, None])]
    assert answered(answers, again) == {job.order[0]} and boxes_of(answers[1])[1][0] == pytest.approx(SIZE[0] / 2)


def test_deleted_tasks_are_told_and_what_hands_them_out_again(server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    server.answer(first(server, job)["id"], [])
    remember(job, desk.fetch(job))
    assert desk.told == []
    for place in (0, 3, 4):
        del server.tasks[first(server, job, place)["id"]]
    # the first was fetched before, so two are missing
    assert (desk.status(job).total, desk.status(job).done) == (3, 1)
    assert desk.fetch(job) == []
    assert desk.told == ["2 pictures without an answer are not in Label Studio any more: visionmill label send "
                         "cells-auto@1 --to label-studio --job cells-1 hands them out again"]
    desk.send(job, pictures, workspace)
    assert (desk.status(job).total, len(server.tasks)) == (5, 4) and len(recall(job)) == 1
    desk.fetch(job)
    assert desk.told == []


def test_a_first_task_that_is_gone_beside_its_second_look_does_not_end_the_waiting(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    desk.give_back(job, job.order[:1], "again")
    old, new = tasks_of(server, job.order[0])
    del server.tasks[old["id"]]
    for number in (new["id"], *(first(server, job, place)["id"] for place in (1, 2, 3))):
        server.answer(number, [])
    assert (desk.status(job).done, desk.status(job).total) == (4, 5)


def test_a_second_look_at_a_deleted_task_goes_out_with_its_note_after_sending(
        server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    server.answer(first(server, job)["id"], [])
    remember(job, desk.fetch(job))
    del server.tasks[first(server, job)["id"]]
    with pytest.raises(UserError, match="label send cells-auto@1 --to label-studio --job cells-1 hands it out again"):
        give_back(job, job.order[:1], "the corner", desk=desk)
    desk.send(job, pictures, workspace)
    assert first(server, job)["data"]["note"] == "the corner" and prediction(first(server, job)) == []
    assert desk.status(job).done == 0
