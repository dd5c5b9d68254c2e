"""People, servers and pools that give late, in part or nothing: the round waits, says so, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.data.store.labelled import publish_labels
from tasks.data.table import ANNOTATIONS
from tasks.improving import begin, sets
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import MAIN
from tasks.improving.telling import told_round, told_status
from tasks.improving.work import Waiting
from tasks.labelling.jobs.desk import Answer, boxes_table
from tasks.labelling.jobs.job import read_job
from tasks.labelling.pools import pool_version
from tasks.reporting.improve.page import build_page

from .loops import Desk, Shapes, run, settings, up_to, with_people


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """No training takes longer than a copy."""


def test_people_are_waited_for_and_what_they_have_done_is_taken(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace)
    desk.slow = 3
    said = run(loop)
    assert said is not None and "1 of 4 pictures" in said and "3 begun" in said and loop.state.waiting == said
    assert any(line.startswith("waiting") for line in told_status(loop.state))
    desk.slow = 0
    assert run(loop) is None and loop.state.waiting is None
    assert desk.sent == 1 and sets.pictures_in(loop.store.find("it-set")) == 10


def test_what_is_there_is_taken_when_the_waiting_is_left_out(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace)
    desk.slow = 3
    run(loop)
    journal.skip(state := loop.state, "wait", workspace)
    assert state.todo() == (1, "fetch", MAIN)
    assert run(loop) is None
    assert sets.pictures_in(loop.store.find("it-set")) == 7
    assert "3 of 4 pictures of job it-1-1 have not come back" in loop.state.find(1, "fetch").said  # type: ignore
    assert any("missing   3 pictures" in line for line in told_round(loop.state, 1))


def test_what_comes_later_is_taken_when_the_fetching_is_done_anew(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace)
    desk.slow = 3
    run(loop)
    journal.skip(loop.state, "wait", workspace)
    up_to(loop, 1, "merge")
    desk.slow = 0
    journal.undo(loop.state, "step", workspace)
    assert run(loop) is None and loop.state.out(1, "fetch")["missing"] == 0
    assert sets.pictures_in(loop.store.find("it-set")) == 10


def test_pictures_that_have_not_come_back_are_not_handed_out_a_second_time(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace, rounds=2)
    up_to(loop, 1, "wait")
    desk.slow = 3
    journal.skip(loop.state, "wait", workspace)
    up_to(loop, 2, "wait")
    first, second = (set(read_job(loop.state.out(number, "send")["job"], workspace).order) for number in (1, 2))
    assert len(first) == len(second) == 4 and not first & second


@pytest.mark.parametrize("reason", ["Label Studio does not answer: connection refused", "the token was revoked",
                                    "project 7 was deleted at Label Studio"])
def test_a_desk_that_cannot_be_asked_is_waited_for_and_said(shapes: Shapes, workspace: Path, reason: str) -> None:
    loop, desk = with_people(shapes, workspace)
    desk.away = reason
    for step in ("send", "wait"):
        said = run(loop)
        assert said is not None and reason in said and "visionmill improve" in said
        assert loop.todo() == (1, step, MAIN)
        desk.away = ""
        loop.do(loop.todo())  # type: ignore[arg-type]
        desk.away = reason
    with pytest.raises(Waiting, match="was not fetched"):
        loop.do(loop.todo())  # type: ignore[arg-type]
    desk.away = ""
    assert run(loop) is None and desk.sent == 1


def test_a_round_without_labels_goes_on(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace)
    desk.slow = 4
    said = run(loop)
    assert said is not None and "0 of 4" in said
    journal.skip(loop.state, "wait", workspace)
    said = run(loop)
    assert said is not None and "nobody has finished" in said
    journal.skip(loop.state, "fetch", workspace)
    assert run(loop) is None
    assert loop.state.out(1, "merge")["set"] == loop.state.about["base"]


class Empty(Desk):
    """Nothing is in any picture."""

    def send(self, job: Any, pictures: Any, workspace: Path) -> None:
        self.sent += 1

    def fetch(self, job: Any) -> list[Answer]:
        return [Answer(digest, boxes_table([]), "ann", 1e9) for digest in job.order]


@pytest.mark.parametrize("first", [1, 0], ids=["of each other", "of what is labelled"])
def test_a_pool_that_is_all_near_duplicates_ends_the_rounds_and_says_so(
        shapes: Shapes, workspace: Path, first: int) -> None:
    store, truth = shapes
    base, _, judge = sets.begin_oracle(truth, store, start=6, seed=0, name="mine", owner="me")
    photo, folder = load_sample_images().images[1][:200, :300].astype(int), workspace / "new"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.clip(photo + number, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    pool = pool_version(str(folder), store, "me", workspace)
    if not first:
        one = publish_labels(store, pool, out="one", owner="me", said={"by": "ann"}, keep=np.array([3]),
                             annotations=ANNOTATIONS.empty_table(), classes=base.meta.classes)[0]
        base = sets.merged(base, one, store, conflict="human", out="more", owner="me")
    begin.begin_with_people("it", base, pool, judge, settings(rounds=3), store=store, owner="me", workspace=workspace,
                            control=False, model=None)
    desk = Empty(truth)
    loop = Loop("it", workspace, store, "me", desk=desk)
    assert run(loop) is None and loop.todo() is None
    state = loop.state
    assert desk.sent == first and state.round == first + 1 and state.ended is not None
    assert "near-duplicates" in state.ended and "near-duplicates" in told_status(state)[-1]
    assert state.find(first + 1, "train").said.startswith("nothing was picked")  # type: ignore[union-attr]
    assert "near-duplicates" in build_page(state, store)
    # more rounds are asked for: the same end, and no error
    begin.change("it", {"rounds": 5}, workspace)
    assert run(loop) is None and loop.todo() is None and desk.sent == first
