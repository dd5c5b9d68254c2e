"""What `label errors` suspects stands where people see it, and comes back as nothing but boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.labelling.studio.desk import StudioDesk
from tasks.labelling.studio.project import label_config
from tasks.labelling.studio.questions import LONGEST, asked_of, asked_of_box
from tests.labelling.studio.asking import boxes_of, first, prediction, tasks_of
from tests.labelling.studio.fake import Fake
from tests.labelling.studio.made import NOTE, SUGGESTED, make_job


def test_the_note_stands_above_the_picture_and_the_question_at_its_box(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 2, asked=True)
    desk = StudioDesk(job, workspace)
    desk.send(job, pictures, workspace)
    task = first(server, job)
    assert task["data"]["asked"] == NOTE and task["data"]["suspected"] == "swapped, overlooked"
    config = next(iter(server.projects.values()))["label_config"]
    assert config == label_config(job.classes, False) and '<Header value="$asked"' in config
    results = prediction(task)
    assert results[0]["meta"]["text"] == ['swapped? looks like white & "cell" (0.93)'] and "meta" not in results[1]
    desk.give_back(job, job.order[:1], "and the corner")
    again = tasks_of(server, job.order[0])[1]["data"]
    assert (again["note"], again["asked"]) == ("and the corner", NOTE)
    server.answer(task["id"], results)
    (answer,) = desk.fetch(job)
    sent = [[box[side] for side in "xywh"] for box in next(iter(pictures)).boxes]
    assert boxes_of(answer) == [pytest.approx(row, abs=0.01) for row in sent]


def test_pictures_that_nobody_asks_about_have_an_empty_note(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 1)
    StudioDesk(job, workspace).send(job, pictures, workspace)
    task = first(server, job)
    assert task["data"]["asked"] == "" and "suspected" not in task["data"]
    assert not any("meta" in one for one in prediction(task))


@pytest.mark.parametrize(("change", "said"), [
    ({}, 'swapped? looks like white & "cell" (0.93)'),
    ({"suggests": None}, "swapped?"),
    ({"kind": "badly located"}, 'badly placed? white & "cell" is seen at 7, 8, 30 x 20 (0.93)'),
    ({"kind": "badly located", "suggests": {"class": "red", "box": [1, 2, 3]}}, "badly placed? red is seen"),
    ({"kind": "badly located", "suggests": {"class": "red", "box": [1, 2, 3, 10 ** 400], "score": "high"}},
     "badly placed? red is seen"),
    ({"kind": "overlooked", "suggests": None}, "overlooked?"),
    ({"kind": 3}, None),
])
def test_a_question_in_words(change: dict[str, Any], said: str | None) -> None:
    assert asked_of_box(json.dumps({"review_queue": SUGGESTED | change})) == said


@pytest.mark.parametrize("attributes", [None, "", "{}", "[]", "rubbish", '{"review_queue": "mine"}'])
def test_a_box_that_nobody_asks_about(attributes: str | None) -> None:
    assert asked_of_box(attributes) is None


def test_a_note_of_somebody_elses_form_is_left_aside_and_a_long_one_is_cut() -> None:
    assert asked_of({}) == asked_of({"review_queue": [1]}) == asked_of({"review_queue": {"note": 3}}) == {"asked": ""}
    told = asked_of({"review_queue": {"note": "x" * 5000, "places": [{"kind": "swapped"}, {"kind": []}, 7]}})
    assert len(told["asked"]) == LONGEST and told["asked"].endswith(" …") and told["suspected"] == "swapped"
