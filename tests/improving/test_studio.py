"""Rounds whose people sit at a Label Studio that goes away, takes the token back, or loses the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.base.files import read_json, write_json
from tasks.improving import sets
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import MAIN
from tasks.improving.telling import told_status
from tests.labelling.studio.fake import TOKEN, Fake, fake
from tests.servers import free_port

from .loops import Shapes, run, with_people


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """No training takes longer than a copy."""


@pytest.fixture
def server(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.delenv("VISIONMILL_SITE", raising=False)
    with fake() as running:
        write_json(workspace / ".visionmill/studio.json",
                   {"url": running.url, "token": TOKEN, "folder": str(workspace / "served")})
        yield running


def begun(shapes: Shapes, workspace: Path) -> Loop:
    loop, _ = with_people(shapes, workspace, desk="label-studio")
    loop.desk = None
    return loop


def answer_all(server: Fake) -> None:
    for task in server.tasks.values():
        if not task["annotations"]:
            server.answer(task["id"], task["predictions"][0]["result"] if task.get("predictions") else [])


def down(server: Fake, workspace: Path) -> Any:
    path, known = workspace / ".visionmill/studio.json", read_json(workspace / ".visionmill/studio.json")
    write_json(path, known | {"url": f"http://127.0.0.1:{free_port()}"})
    return lambda: write_json(path, known)


def revoked(server: Fake, workspace: Path) -> Any:
    token, server.token = server.token, "f" * 40
    return lambda: setattr(server, "token", token)


def deleted(server: Fake, workspace: Path) -> Any:
    gone = dict(server.projects)
    server.projects.clear()
    return lambda: server.projects.update(gone)


@pytest.mark.parametrize(("happens", "said"), [
    (down, "does not answer"), (revoked, "token"), (deleted, "is not in Label Studio any more")])
@pytest.mark.parametrize("step", ["send", "wait", "fetch"])
def test_the_round_waits_says_why_and_goes_on_when_it_is_over(
        shapes: Shapes, workspace: Path, server: Fake, happens: Any, said: str, step: str) -> None:
    if (happens, step) == (deleted, "send"):
        pytest.skip("nothing is there before it is sent")
    loop = begun(shapes, workspace)
    while loop.todo() != (1, step, MAIN):
        if loop.todo() == (1, "wait", MAIN):
            answer_all(server)
        loop.do(loop.todo())  # type: ignore[arg-type]
    over = happens(server, workspace)
    for _ in range(2):
        waits = run(loop)
        assert waits is not None and said in waits and "visionmill improve" in waits
        assert loop.todo() == (1, step, MAIN) and loop.state.waiting == waits
    assert f"waiting    {waits}" in told_status(loop.state)
    over()
    if step == "send":
        assert "0 of 4 pictures" in str(run(loop))
    answer_all(server)
    assert run(loop) is None and loop.state.waiting is None
    assert len(server.projects) == 1 and len(server.tasks) == 4
    assert sets.pictures_in(loop.store.find("it-set")) == 10


def test_a_project_that_is_gone_for_good_is_sent_anew_by_taking_the_sending_back(
        shapes: Shapes, workspace: Path, server: Fake) -> None:
    loop = begun(shapes, workspace)
    assert "0 of 4 pictures" in str(run(loop))
    server.projects.clear()
    server.tasks.clear()
    waits = run(loop)
    assert waits is not None and "visionmill improve undo" in waits
    journal.undo(loop.state, "step", workspace)
    assert "0 of 4 pictures" in str(run(loop)) and len(server.projects) == 1
    answer_all(server)
    assert run(loop) is None and sets.pictures_in(loop.store.find("it-set")) == 10
