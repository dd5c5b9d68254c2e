"""Rounds that the line trains, in a light way: what is adopted, what a refusal means, what undo takes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.improving import begin, sets
from tasks.improving import state as journal
from tasks.improving.light import train_and_judge
from tasks.improving.rounds import Lined, Loop, go_on, put_back, taken_back
from tasks.improving.settings import Settings

from .conftest import QUICK
from .loops import Desk, Shapes


@dataclass
class LightLine:
    """In place of the workspace's line."""

    store: Store
    judge: Version
    folder: Path
    passes: bool = True
    reads: str | None = "mine-start@1"
    trained: list[str] = field(default_factory=list)

    def train(self, version: Version, reason: str) -> Lined:
        self.trained.append(version.ref)
        self.reads = version.ref
        made = train_and_judge(version.folder, self.store.pictures, QUICK, judge=read_dataset(self.judge.folder),
                               out=self.folder / "models/trained")
        return Lined(made.model, f"models:/cells/{len(self.trained)}", self.passes, f"trained, for {reason}")

    def used(self) -> str | None:
        return self.reads

    def go_back(self, version: Version) -> None:
        self.reads = version.ref


def loop_with(shapes: Shapes, workspace: Path, model: str | None = None, passes: bool = True) -> tuple[Loop, LightLine]:
    store, truth = shapes
    base, pool, judge = sets.begin_oracle(truth, store, start=6, seed=0, name="mine", owner="me")
    settings = Settings(train="line", light=QUICK, rounds=1, budget=3, strategy="random")
    begin.begin_with_people("it", base, pool, judge, settings, store=store, owner="me", workspace=workspace,
                            control=False, model=model)
    line = LightLine(store, judge, workspace, passes)
    return Loop("it", workspace, store, "me", line=line, desk=Desk(truth)), line


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """Light trainings give a model that is there."""


def run(loop: Loop) -> None:
    assert go_on(loop, loop.do, lambda text: None) is None


def test_the_line_trains_on_the_merged_version_and_its_version_labels_next(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace)
    run(loop)
    state = loop.state
    assert line.trained == ["it-set@1"] and state.out(0, "train") == {}
    assert state.out(1, "train")["model"] == "models:/cells/1" and state.last("model") == "models:/cells/1"
    assert state.out(1, "compare")["overall"]["AP50"]["change"] is None
    assert state.out(1, "prelabel")["boxes"] == 0


def test_undo_lets_the_line_read_what_it_read_before(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace)
    run(loop)
    said = taken_back(loop, journal.undo(loop.state, "round", workspace))
    assert said == ["the line reads mine-start@1 again"] and line.reads == "mine-start@1"
    assert loop.store.find("it-set@1").here


def test_redo_lets_the_line_read_again_what_it_was_trained_on(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace)
    run(loop)
    taken_back(loop, journal.undo(loop.state, "round", workspace))
    back = journal.redo(loop.state, "round", workspace)
    assert put_back(loop, back) == ["the line reads it-set@1 again"] and line.reads == "it-set@1"
    assert loop.todo() is None and line.trained == ["it-set@1"]


def test_what_a_person_let_the_line_read_in_between_is_told(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace)
    while loop.todo() != (1, "train", "main"):
        loop.do(loop.todo())  # type: ignore[arg-type]
    line.reads = "mine-pool@1"
    assert "params.yaml said mine-pool@1" in loop.do(loop.todo())  # type: ignore[arg-type]


def test_undo_where_the_line_read_a_folder_names_the_command(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace)
    line.reads = None
    run(loop)
    assert "git checkout" in taken_back(loop, journal.undo(loop.state, "round", workspace))[0]


def test_a_refused_version_does_not_label_where_a_better_one_is(shapes: Shapes, workspace: Path) -> None:
    loop, line = loop_with(shapes, workspace, model="models:/cells/7", passes=False)
    for step in ("train", "prelabel"):
        while loop.todo()[1] != step:  # type: ignore[index]
            loop.do(loop.todo())  # type: ignore[arg-type]
        journal_skip(loop, step, workspace)
    run(loop)
    assert loop.state.out(1, "train")["gate"] is False
    assert loop.state.out(1, "train")["model"] == "models:/cells/7"


def journal_skip(loop: Loop, step: str, workspace: Path) -> None:
    """As a person who knows that this registry has no such version."""
    state = loop.state
    todo = state.todo()
    assert todo is not None
    journal.note(state, journal.Entry(round=todo.round, step=step, arm=todo.arm, outcome="skipped"), workspace)


def test_without_a_line_the_light_training_is_named(shapes: Shapes, workspace: Path) -> None:
    loop, _ = loop_with(shapes, workspace)
    loop.line = None
    loop.do(loop.todo())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="visionmill improve"):
        loop.do(loop.todo())  # type: ignore[arg-type]
