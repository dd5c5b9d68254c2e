"""A kill of either side at any request loses nothing and leaves nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.labelling.jobs.job import read_job
from tasks.labelling.studio import desk as module
from tasks.labelling.studio.client import StudioAway
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.asking import Sent, elsewhere, first, prediction, sent_once, tasks_of
from tests.labelling.studio.fake import Fake
from tests.labelling.studio.made import make_job


def test_sending_again_sends_nothing_twice(server: Fake, sent: Sent, workspace: Path) -> None:
    job, pictures, desk = sent
    before = dict(server.tasks)
    desk.send(job, pictures, workspace)
    StudioDesk(read_job(job.name, workspace), workspace).send(read_job(job.name, workspace), pictures, workspace)
    assert server.tasks == before and len(server.projects) == 1 and len(server.storages) == 1


def send_requests(server: Fake, workspace: Path, name: str) -> int:
    """How many requests it takes to send a job of four pictures."""
    job, pictures = make_job(workspace, 4, name=name)
    before = len(server.asked)
    StudioDesk(job, workspace, patience_s=0).send(job, pictures, workspace)
    return len(server.asked) - before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_killed_at_any_request_loses_nothing_and_has_nothing_twice(
        server: Fake, workspace: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(1, send_requests(server, workspace, "whole") + 1):
        job, pictures = make_job(workspace, 4, name=f"cut-{when}-{number}")
        server.breaks = {len(server.asked) + number: when}
        with pytest.raises(StudioAway):
            StudioDesk(job, workspace, patience_s=0).send(job, pictures, workspace)
        again = read_job(job.name, workspace)
        StudioDesk(again, workspace, patience_s=0).send(again, pictures, workspace)
        assert sent_once(server, again), f"request {number}: {server.asked[-30:]}"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_killed_at_any_request_is_gone_on_with(server: Fake, workspace: Path, when: str) -> None:
    elsewhere(server, workspace)
    for number in range(1, send_requests(server, workspace, "whole") + 1):
        job, pictures = make_job(workspace, 4, name=f"up-{when}-{number}")
        files = len(server.files)
        server.breaks = {len(server.asked) + number: when}
        with pytest.raises(StudioAway):
            StudioDesk(job, workspace, patience_s=0).send(job, pictures, workspace)
        again = read_job(job.name, workspace)
        StudioDesk(again, workspace, patience_s=0).send(again, pictures, workspace)
        assert sent_once(server, again) and len(server.files) == files + 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sender_killed_at_any_request_loses_nothing_and_has_nothing_twice(
        server: Fake, workspace: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(1, send_requests(server, workspace, "whole") + 1):
        job, pictures = make_job(workspace, 4, name=f"dead-{when}-{number}")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("tasks.labelling.studio.client.Client._once", dying(number, when))
            StudioDesk(job, workspace, patience_s=0).send(job, pictures, workspace)
        again = read_job(job.name, workspace)
        StudioDesk(again, workspace, patience_s=0).send(again, pictures, workspace)
        assert sent_once(server, again), f"request {number}: {server.asked[-30:]}"


def dying(number: int, when: str) -> Callable[..., Any]:
    from tasks.labelling.studio.client import Client

    whole, count = Client._once, [0]

    def once(client: Client, *given: Any) -> Any:
        count[0] += 1
        if count[0] == number and when == "before":
            raise KeyboardInterrupt
        answer = whole(client, *given)
        if count[0] == number:
            raise KeyboardInterrupt
        return answer

    return once


def test_a_server_that_comes_back_while_we_send_is_waited_for(server: Fake, workspace: Path) -> None:
    job, pictures = make_job(workspace, 4)
    server.breaks = {6: "after", 9: "before"}
    StudioDesk(job, workspace, patience_s=20).send(job, pictures, workspace)
    assert sent_once(server, job) and not server.breaks


def test_a_copy_that_a_late_request_made_goes_and_the_one_with_work_stays(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    copies = []
    for place in (0, 1, 2):
        original = first(server, job, place)
        copies.append(json.loads(json.dumps(original | {"id": server.next()})))
        server.tasks[copies[-1]["id"]] = copies[-1]
    server.answer(copies[1]["id"], prediction(copies[1]))
    copies[2]["hidden_draft"] = True
    assert desk.status(job).total == 5
    answers = desk.fetch(job)
    assert [one.digest for one in answers] == [job.order[1]]
    assert [len(tasks_of(server, digest)) for digest in job.order] == [1] * 5
    assert copies[0]["id"] not in server.tasks and {copies[1]["id"], copies[2]["id"]} <= set(server.tasks)


@pytest.mark.parametrize("when", ["before", "after"])
def test_giving_back_may_be_killed_at_any_request(server: Fake, sent: Sent, when: str) -> None:
    job, _, desk = sent
    for number in range(1, 9):
        server.breaks = {len(server.asked) + number: when}
        try:
            desk.give_back(job, job.order[:2], f"note {number}")
        except StudioAway:
            desk.give_back(job, job.order[:2], f"note {number}")
        server.breaks.clear()
    notes = [task["data"]["note"] for task in tasks_of(server, job.order[0])]
    assert sorted(notes) == ["", *(f"note {number}" for number in range(1, 9))]
