"""Steps that are taken back, put back, left out and done anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.data.store.labelled import publish_labels
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.improving import begin, sets
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import MAIN, STEPS, Entry, Todo
from tasks.improving.telling import told_status
from tasks.labelling.jobs.job import read_job
from tasks.reporting.improve.page import build_page

from .loops import Desk, Shapes, run, settings, up_to, with_oracle, with_people


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """No training takes longer than a copy."""


def test_an_undone_step_is_done_anew_and_versions_stay(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    assert run(loop) is None
    before = {one.ref for one in loop.store.all()}
    journal.undo(loop.state, "round", workspace)
    assert loop.todo() == (1, "prepare", MAIN)
    begin.change("it", {"budget": 2}, workspace)
    assert run(loop) is None
    assert before < {one.ref for one in loop.store.all()}
    assert loop.state.out(1, "merge")["set"]["ref"] == "it-set@2"
    assert sets.pictures_in(loop.store.find("it-set@2")) == 8


def test_a_person_who_asks_to_stop_is_heard(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    loop.do(loop.todo())  # type: ignore[arg-type]
    journal.stop_file("it", workspace).touch()
    assert loop.todo() is None and run(loop) is None
    assert any(line.startswith("stopped") for line in told_status(loop.state, stopped=True))
    journal.stop_file("it", workspace).unlink()
    assert loop.todo() == (0, "train", MAIN)


def _came_out(entry: Entry) -> tuple[Todo, dict[str, Any]]:
    """Without the lines that were said of a job that was new."""
    return entry.todo, {key: value for key, value in entry.out.items() if key != "told"}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_taken_back_put_back_and_done_anew_with_the_same_outcome(
        shapes: Shapes, workspace: Path, step: str) -> None:
    loop = with_oracle(shapes, workspace, control=True)
    run(loop)
    whole = [*loop.state.entries]
    while loop.state.find(1, step):
        journal.undo(loop.state, "step", workspace)
    assert loop.todo() == (1, step, MAIN)
    taken = len(whole) - len(loop.state.entries)
    journal.redo(loop.state, "round", workspace)
    assert loop.state.entries == whole and loop.todo() is None
    for _ in range(taken // 2):
        journal.undo(loop.state, "step", workspace)
    versions = {one.ref for one in loop.store.all()}
    assert run(loop) is None
    assert [_came_out(one) for one in loop.state.entries] == [_came_out(one) for one in whole]
    assert {one.ref for one in loop.store.all()} == versions


@pytest.mark.parametrize("step", ["mine", "prelabel", "send", "wait", "fetch", "merge", "train", "compare"])
def test_a_round_goes_on_without_a_step(shapes: Shapes, workspace: Path, step: str) -> None:
    loop, desk = with_people(shapes, workspace)
    up_to(loop, 1, "prepare")
    loop.do(loop.todo())  # type: ignore[arg-type]
    journal.skip(loop.state, step, workspace)
    assert run(loop) is None
    assert loop.state.find(1, step).outcome == "skipped"  # type: ignore[union-attr]
    labelled = {"mine": 24, "send": 6, "fetch": 6, "merge": 6}.get(step, 10)
    assert sets.pictures_in(loop.store.find((loop.state.last("set"))["ref"])) == labelled
    assert f"left out: {step}" in "\n".join(told_status(loop.state)) and build_page(loop.state, loop.store)


def test_without_mining_people_get_what_is_left_and_never_what_is_judged_on(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    base, _, judge = sets.begin_oracle(truth, store, start=6, seed=0, name="mine", owner="me")
    whole = publish_labels(store, truth, out="whole", owner="me", said={"by": "nobody"},
                           annotations=ANNOTATIONS.empty_table())[0]
    begin.begin_with_people("it", base, whole, judge, settings(rounds=2), store=store, owner="me", workspace=workspace,
                            control=False, model=None)
    loop = Loop("it", workspace, store, "me", desk=Desk(truth))
    up_to(loop, 2, "mine")
    journal.skip(loop.state, "mine", workspace)
    up_to(loop, 2, "wait")
    sent = set(read_job(loop.state.out(2, "send")["job"], workspace).order)
    assert len(sent) == 30 - 6 - 6 - 4
    known = [base, judge, store.find("it-labelled")]
    assert not any(sent & set(read_dataset(one.folder).images["digest"].to_pylist()) for one in known)


def test_after_undo_another_version_can_be_sent_in_the_same_round(shapes: Shapes, workspace: Path) -> None:
    loop, desk = with_people(shapes, workspace)
    up_to(loop, 1, "wait")
    for _ in range(2):
        journal.undo(loop.state, "step", workspace)
    journal.skip(loop.state, "prelabel", workspace)
    assert run(loop) is None
    assert loop.state.out(1, "send")["job"] == "it-1-1-2" and desk.sent == 2


def test_the_same_version_sent_again_goes_on_with_the_same_job(shapes: Shapes, workspace: Path) -> None:
    loop, _ = with_people(shapes, workspace)
    up_to(loop, 1, "wait")
    journal.undo(loop.state, "step", workspace)
    assert run(loop) is None and loop.state.out(1, "send")["job"] == "it-1-1"
