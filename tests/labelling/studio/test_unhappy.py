"""What people and servers do that nobody hoped for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json, write_json
from tasks.labelling.jobs.job import read_job
from tasks.labelling.jobs.keeping import remember
from tasks.labelling.jobs.sound import sound_boxes
from tasks.labelling.studio.client import StudioAway, StudioDenied, StudioMissing
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.asking import Sent, boxes_of, first, prediction, sent_once
from tests.labelling.studio.fake import Fake, fake
from tests.labelling.studio.made import CLASSES, SIZE, make_job

TURNED = {"rotation": 30}


def test_skipped_pictures_drafts_and_two_people_on_one_task(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    for place, who, skipped in ((0, 1, False), (0, 2, False), (1, 1, True)):
        task = first(server, job, place)
        server.answer(task["id"], prediction(task), who, second=40 - who, cancelled=skipped)
    begun, other = first(server, job, 2), first(server, job, 3)
    begun["drafts"].append({"id": 900, "user": "cid@localhost", "result": [], "updated_at": "2026-03-01T13:00:00Z"})
    other["hidden_draft"] = True
    answers = desk.fetch(job)
    assert [(one.digest, one.who, one.complete, one.skipped) for one in answers] == [
        (job.order[0], "bob@localhost", True, False), (job.order[0], "ann@localhost", True, False),
        (job.order[1], "ann@localhost", False, True), (job.order[2], "cid@localhost", False, False)]
    status = desk.status(job)
    assert (status.total, status.done, status.partial, status.away) == (5, 2, 2, None)
    assert status.people == {"ann@localhost": 2, "bob@localhost": 1} and status.seconds == 22.5


def test_pictures_that_were_deleted_there_no_longer_count(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    for place in (0, 4):
        del server.tasks[first(server, job, place)["id"]]
    server.answer(first(server, job, 1)["id"], [])
    status = desk.status(job)
    assert (status.total, status.done) == (3, 1)
    assert [one.digest for one in desk.fetch(job)] == [job.order[1]]


def test_tasks_that_others_made_there_are_none_of_our_business(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    project = job.where["project"]
    good = first(server, job)["data"]["visionmill"]
    strange: list[Any] = [{"image": "x"}, {"visionmill": 3}, *({"visionmill": good | change} for change in (
        {"digest": "f" * 64}, {"digest": []}, {"key": "another job's"}, {"width": "wide"}, {"height": -3}))]
    for data in strange:
        number = server.next()
        server.tasks[number] = {"id": number, "project": project, "annotations": [], "drafts": [],
                                "hidden_draft": False, "data": data}
        server.answer(number, [])
    assert desk.fetch(job) == [] and desk.status(job).total == 5


@pytest.mark.parametrize(("change", "said"), [
    ({"value": TURNED}, "turned by 30°"),
    ({"image_rotation": 90}, "the picture was turned by 90°"),
    ({"type": "ellipselabels"}, "'ellipselabels' is no box and no polygon"),
    ({"value": {"rectanglelabels": []}}, "it has no class"),
    ({"value": {"rectanglelabels": CLASSES}}, "it has 2 classes"),
    ({"value": {"rectanglelabels": [" "]}}, "it has no class"),
    ({"original_width": SIZE[1], "original_height": SIZE[0]}, "drawn on a picture of 97 x 161"),
])
def test_what_cannot_be_a_label_is_told_with_the_address_of_its_task(
        server: Fake, sent: Sent, change: dict[str, Any], said: str) -> None:
    job, _, desk = sent
    task = first(server, job)
    results = prediction(task)
    results[1] = results[1] | change | {"value": results[1]["value"] | change.get("value", {})}
    server.answer(task["id"], results)
    with pytest.raises(DataError) as raised:
        desk.fetch(job)
    page = f"{server.url}/projects/{job.where['project']}/data?task={task['id']}"
    assert f"task {task['id']} ({page}): region 2" in str(raised.value) and said in str(raised.value)
    assert desk.status(job).done == 1
    task["annotations"][0]["result"] = prediction(task)
    assert desk.fetch(job)[0].boxes.num_rows == 2


def test_labels_over_the_edge_and_without_area_are_cut_or_left_out_and_told(server: Fake, sent: Sent) -> None:
    job, pictures, desk = sent
    task, made = first(server, job), next(iter(pictures))
    results = prediction(task)
    results[0]["value"] |= {"x": -10.0, "width": 30.0}
    results += [results[1] | {"id": "n", "value": results[1]["value"] | change} for change in
                ({"width": 0}, {"x": "left"}, {"x": 120.0})]
    server.answer(task["id"], [one | {"id": f"r{place}"} for place, one in enumerate(results)])
    (answer,) = desk.fetch(job)
    assert boxes_of(answer)[0][0] == pytest.approx(-0.1 * SIZE[0]) and answer.boxes.num_rows == 5
    told: list[str] = []
    rows = sound_boxes(answer, made.image, made.boxes, len(job.classes), told)
    assert [row["x"] for row in rows] == [0, pytest.approx(made.boxes[1]["x"])] and len(told) == 4


def test_a_class_that_was_added_there_comes_behind_the_jobs_own(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    task = first(server, job)
    results = prediction(task)
    results[0]["value"]["rectanglelabels"] = ["platelet"]
    server.answer(task["id"], results)
    (answer,) = desk.fetch(job)
    assert answer.boxes["class_id"].to_pylist() == [2, 1]
    assert job.classes == [*CLASSES, "platelet"] == read_job(job.name, job.workspace).classes
    assert desk.fetch(job) == [answer]


def test_a_server_that_is_down(server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    task = first(server, job)
    server.answer(task["id"], prediction(task))
    remember(job, desk.fetch(job))
    server.status = 503
    assert desk.status(job).done == 1
    assert "does not answer" in str(desk.status(job).away) and desk.status(job).total == 5
    with pytest.raises(StudioAway, match="visionmill up --with label-studio"):
        desk.fetch(job)
    with pytest.raises(StudioAway):
        desk.send(job, pictures, workspace)


def test_a_token_that_was_revoked(server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    server.token = "f" * 40
    assert "refuses the token" in str(desk.status(job).away)
    for ask in (lambda: desk.fetch(job), lambda: desk.send(job, pictures, workspace),
                lambda: desk.give_back(job, job.order[:1], "again")):
        with pytest.raises(StudioDenied, match="visionmill up --with label-studio"):
            ask()


def test_a_project_that_was_deleted_is_told_and_made_anew_by_sending(
        server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    before = job.where["project"]
    server.projects.clear()
    server.tasks.clear()
    away = str(desk.status(job).away)
    assert "is not in Label Studio any more" in away and "visionmill label send cells-auto@1" in away
    with pytest.raises(StudioMissing, match="for the rest visionmill label send cells-auto@1 --to label-studio "
                                           "--job cells-1 makes a new project"):
        desk.fetch(job)
    desk.send(job, pictures, workspace)
    assert sent_once(server, job) and job.where["project"] != before


def test_our_own_server_may_come_back_at_another_port(server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    with fake() as other:
        other.projects, other.tasks, other.storages = server.projects, server.tasks, server.storages
        note = workspace / ".visionmill/studio.json"
        write_json(note, read_json(note) | {"url": other.url})
        assert desk.status(job).total == 5
        desk.send(job, pictures, workspace)
        assert sent_once(server, job) and job.where["page"].startswith(other.url)


def test_another_project_that_has_the_number_now_is_not_taken_for_ours(
        server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    (project,) = server.projects.values()
    project["description"] = "people may write what they like"
    assert desk.status(job).total == 5
    server.tasks.clear()
    assert "is not in Label Studio any more" in str(desk.status(job).away)
    desk.send(job, pictures, workspace)
    assert len(server.projects) == 2 and len(server.tasks) == 5


def test_an_address_that_is_no_label_studio(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    server.status = 302
    with pytest.raises(UserError, match=r"sends us to 'https://elsewhere.example/'"):
        desk.fetch(job)


def test_a_picture_of_another_job_cannot_be_given_back(sent: Sent) -> None:
    job, _, desk = sent
    with pytest.raises(UserError, match="has no task of the picture"):
        desk.give_back(job, ["e" * 64], "again")


def test_without_any_label_studio_it_says_how_to_get_one(tmp_path: Path) -> None:
    job, pictures = make_job(tmp_path, 1)
    with pytest.raises(UserError, match="visionmill up --with label-studio"):
        StudioDesk(job, tmp_path).send(job, pictures, tmp_path)
    assert "no Label Studio is known here" in str(StudioDesk(job, tmp_path).status(job).away)
