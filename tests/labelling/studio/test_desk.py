"""What goes out and what comes back, against a stand-in on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.labelling.jobs.desk import Desk, answered
from tasks.labelling.jobs.job import read_job
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.asking import Sent, boxes_of, elsewhere, first, prediction, sent_once, tasks_of
from tests.labelling.studio.fake import Fake
from tests.labelling.studio.made import CLASSES, SIZE, make_job


def test_it_is_the_desk_that_jobs_know(workspace: Path) -> None:
    from tasks.labelling.jobs.desk import desk_of

    job, _ = make_job(workspace, 1)
    desk: Desk = desk_of(job, workspace)
    assert isinstance(desk, StudioDesk) and desk.kind == "label-studio"


def test_tasks_are_there_hardest_first_with_our_ids_and_scores(server: Fake, sent: Sent) -> None:
    job, _, _ = sent
    tasks = sorted(server.tasks.values(), key=lambda task: task["id"])
    assert [task["data"]["visionmill"]["digest"] for task in tasks] == job.order
    assert [task["data"]["rank"] for task in tasks] == [1, 2, 3, 4, 5]
    data = tasks[0]["data"]
    assert data["visionmill"] == {"digest": job.order[0], "job": "cells-1", "key": job.where["key"],
                                  "version": "cells-auto@1", "width": SIZE[0], "height": SIZE[1], "look": 0}
    assert data["difficulty"] == 0.5 and data["corrections"] == 1.5 and data["reason"] == "rare class"
    (made,) = tasks[0]["predictions"]
    assert [result["score"] for result in made["result"]] == [0.25, 0.375] and made["score"] == 0.25
    assert made["model_version"] == next(iter(server.projects.values()))["model_version"]


def test_the_project_has_our_classes_and_instructions_as_text(server: Fake, sent: Sent) -> None:
    job, _, _ = sent
    (project,) = server.projects.values()
    assert '<Label value="white &amp; &quot;cell&quot;" />' in project["label_config"]
    assert "PolygonLabels" not in project["label_config"] and 'canRotate="false"' in project["label_config"]
    assert project["expert_instruction"] == "<p>Draw &lt;b&gt;all&lt;/b&gt; cells.</p><p>Be &amp; quick.</p>"
    assert job.where["project"] == project["id"] == read_job(job.name, job.workspace).where["project"]


def test_more_pictures_and_other_instructions_go_to_the_same_project(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 5)
    whole, job.order = job.order, job.order[:2]
    desk = StudioDesk(job, workspace)
    desk.send(job, pictures, workspace)
    job.order, job.instructions = whole, "Slowly."
    desk.send(job, pictures, workspace)
    assert sent_once(server, job) and len(server.projects) == 1
    assert next(iter(server.projects.values()))["expert_instruction"] == "<p>Slowly.</p>"


def test_the_server_is_shown_a_folder_of_this_jobs_pictures_alone(server: Fake, sent: Sent, tmp_path: Path) -> None:
    job, pictures, _ = sent
    (storage,) = server.storages
    folder = Path(storage["path"])
    assert folder.parent == tmp_path / "served" and not storage.get("last_sync")
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{digest}.png" for digest in job.order)
    assert first(server, job)["data"]["image"] == f"/data/local-files/?d={folder.name}/{job.order[0]}.png"
    assert (folder / f"{job.order[0]}.png").read_bytes() == next(iter(pictures)).read()


def test_a_picture_that_no_browser_shows_becomes_png(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 1, suffix=".tif")
    StudioDesk(job, workspace).send(job, pictures, workspace)
    (path,) = Path(server.storages[0]["path"]).iterdir()
    assert path.suffix == ".png" and path.read_bytes().startswith(b"\x89PNG")


def test_a_server_elsewhere_gets_the_pictures_themselves(server: Fake, workspace: Path) -> None:
    elsewhere(server, workspace)
    job, pictures = make_job(workspace, 3)
    desk = StudioDesk(job, workspace, patience_s=0)
    desk.send(job, pictures, workspace)
    server.tasks.clear()
    desk.send(job, pictures, workspace)
    assert len(server.files) == len(server.tasks) == 3 and not server.storages
    assert {task["data"]["image"] for task in server.tasks.values()} == {f"/data/{one['file']}" for one in server.files}


def test_answers_come_back_to_a_hundredth_of_a_pixel_with_who_when_and_how_long(server: Fake, sent: Sent) -> None:
    job, pictures, desk = sent
    task, (task_boxes,) = first(server, job), [one.boxes for one in list(pictures)[:1]]
    results = prediction(task)
    results[1]["value"]["x"] += 10 / SIZE[0] * 100
    results[1]["value"]["rectanglelabels"] = [CLASSES[0]]
    results.append({**results[0], "id": "xYz_1"})
    server.answer(task["id"], results, who=2, second=30)
    (answer,) = desk.fetch(job)
    before = [[box[side] for side in "xywh"] for box in task_boxes]
    before[1][0] += 10
    assert boxes_of(answer) == [pytest.approx(row, abs=0.01) for row in [*before, before[0]]]
    assert answer.boxes["class_id"].to_pylist() == [0, 0, 0]
    assert answer.before == [task_boxes[0]["annotation_id"], task_boxes[1]["annotation_id"], None]
    assert (answer.who, answer.seconds, answer.complete, answer.skipped) == ("bob@localhost", 7.5, True, False)
    assert answer.when == 1772366430.5
    assert desk.fetch(job) == [answer]


def test_polygons_come_back_and_a_label_of_two_parts_stays_one(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 1, polygons=True)
    desk = StudioDesk(job, workspace)
    desk.send(job, pictures, workspace)
    assert "PolygonLabels" in next(iter(server.projects.values()))["label_config"]
    task = first(server, job)
    results = prediction(task)
    part = json.loads(json.dumps(results[1])) | {"id": "a1q1", "parentID": "a1", "meta": {"part": True}}
    part["value"]["points"] = [[1.0, 1.0], [5.0, 1.0], [5.0, 6.0]]
    server.answer(task["id"], [*results, part])
    (answer,) = desk.fetch(job)
    (outline,) = next(iter(pictures)).boxes[1]["polygons"]
    assert answer.before == [0, 1] and answer.boxes["polygons"][0].as_py() is None
    assert answer.boxes["polygons"][1].as_py()[0] == pytest.approx(outline, abs=0.01)
    assert len(answer.boxes["polygons"][1].as_py()) == 2


def test_the_draft_of_a_change_leaves_the_answer_as_it_was(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    task = first(server, job)
    number = server.answer(task["id"], prediction(task))
    task["drafts"].append({"id": 900, "user": "ann@localhost", "annotation": number, "result": []})
    (answer,) = desk.fetch(job)
    assert answer.complete and answer.boxes.num_rows == 2


def test_a_second_look_keeps_the_first_and_starts_from_it(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    task = first(server, job)
    results = prediction(task)
    results[0]["value"]["x"] = 3.0
    server.answer(task["id"], results, second=10)
    desk.give_back(job, job.order[:2], "look at the edge")
    desk.give_back(job, job.order[:2], "look at the edge")
    old, new = tasks_of(server, job.order[0])
    assert old is task and len(old["annotations"]) == 1 and new["data"]["note"] == "look at the edge"
    assert prediction(new) == results and new["data"]["image"] == old["data"]["image"]
    assert len(tasks_of(server, job.order[1])) == 2 and len(server.tasks) == 7
    job.returned_at = dict.fromkeys(job.order[:2], 1772366430.0)
    assert desk.status(job).done == 0 and desk.status(job).total == 5
    server.answer(new["id"], prediction(new)[:1], who=2, second=45)
    answers = desk.fetch(job)
    assert [(one.who, one.boxes.num_rows) for one in answers] == [("ann@localhost", 2), ("bob@localhost", 1)]
    assert answered(answers, job) == {job.order[0]} and desk.status(job).done == 1
    desk.give_back(job, job.order[:1], "look at the edge")
    assert len(tasks_of(server, job.order[0])) == 3
