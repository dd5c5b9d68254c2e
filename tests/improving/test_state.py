"""The journal: what comes next, taking back, putting back, leaving out, and a file that is always whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.improving import state as journal
from tasks.improving.settings import Settings, changed, load_settings
from tasks.improving.state import BEFORE, STEPS, Entry, State, Todo


def entry(todo: Todo, **out: Any) -> Entry:
    return Entry(round=todo.round, step=todo.step, arm=todo.arm, outcome="done", out=out)


def begun(workspace: Path, arms: tuple[str, ...] = ("main",), rounds: int = 2) -> State:
    state = State(name="cells", about={"arms": list(arms), "oracle": True}, settings=Settings(rounds=rounds))
    journal.write(state, workspace)
    return state


def up_to(state: State, round_: int, step: str, workspace: Path) -> None:
    """Do all that comes before a step."""
    while (todo := state.todo()) is not None and todo[:2] != (round_, step):
        journal.note(state, entry(todo, mark=f"{todo.round}{todo.step}{todo.arm}"), workspace)


def test_the_steps_come_in_their_order_arm_by_arm(workspace: Path) -> None:
    state = begun(workspace, ("main", "control"), rounds=1)
    seen = []
    while (todo := state.todo()) is not None:
        seen.append(todo)
        journal.note(state, entry(todo), workspace)
    assert seen[:4] == [Todo(0, step, "main") for step in BEFORE]
    assert seen[4:] == [Todo(1, step, arm) for step in STEPS for arm in ("main", "control")]


def test_what_is_written_is_read_again(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 1, "send", workspace)
    assert journal.read("cells", workspace) == state
    assert journal.names(workspace) == ["cells"]


def test_undo_takes_back_the_last_step_of_all_arms_and_redo_puts_it_back(workspace: Path) -> None:
    state = begun(workspace, ("main", "control"))
    up_to(state, 1, "send", workspace)
    taken = journal.undo(state, "step", workspace)
    assert [one.todo for one in taken] == [(1, "prelabel", "control"), (1, "prelabel", "main")]
    assert state.todo() == (1, "prelabel", "main")
    back = journal.redo(journal.read("cells", workspace), "step", workspace)
    assert [one.out["mark"] for one in back] == ["1prelabelmain", "1prelabelcontrol"]
    assert journal.read("cells", workspace).todo() == (1, "send", "main")


def test_undo_of_a_round_leaves_the_one_before_and_redo_puts_back_a_step_or_all_of_it(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 2, "merge", workspace)
    assert len(journal.undo(state, "round", workspace)) == STEPS.index("merge")
    assert state.todo() == (2, "prepare", "main")
    assert [one.step for one in journal.redo(state, "step", workspace)] == ["prepare"]
    assert state.todo() == (2, "mine", "main") and len(state.undone) == STEPS.index("merge") - 1
    assert [one.step for one in journal.redo(state, "round", workspace)] == [*STEPS[1:STEPS.index("merge")]]
    assert state.todo() == (2, "merge", "main") and not state.undone


def test_the_end_of_the_rounds_is_taken_back_and_put_back_too(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 1, "next", workspace)
    journal.note(state, entry(Todo(1, "next", "main"), end="nothing is left"), workspace)
    state.ended = "nothing is left"
    assert state.todo() is None
    journal.undo(state, "step", workspace)
    assert state.ended is None and state.todo() == (1, "next", "main")
    journal.redo(state, "step", workspace)
    assert state.ended == "nothing is left" and state.todo() is None


def test_nothing_is_waited_for_once_the_step_that_waited_is_left_out(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 1, "wait", workspace)
    state.waiting = "1 of 4 pictures"
    journal.skip(state, "merge", workspace)
    assert state.waiting == "1 of 4 pictures"
    journal.skip(state, "wait", workspace)
    assert state.waiting is None and journal.read("cells", workspace).waiting is None


def test_what_was_taken_back_is_gone_when_the_step_is_done_anew(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 1, "send", workspace)
    journal.undo(state, "step", workspace)
    journal.note(state, entry(Todo(1, "prelabel", "main"), mark="anew"), workspace)
    with pytest.raises(UserError, match="nothing to put back"):
        journal.redo(state, "step", workspace)


def test_undo_goes_back_to_the_start_and_no_further(workspace: Path) -> None:
    state = begun(workspace)
    up_to(state, 0, "train", workspace)
    journal.undo(state, "step", workspace)
    with pytest.raises(UserError, match="nothing to take back"):
        journal.undo(state, "step", workspace)


def test_a_step_is_left_out_also_ahead_of_its_time(workspace: Path) -> None:
    state = begun(workspace, ("main", "control"))
    up_to(state, 1, "mine", workspace)
    journal.skip(state, "prelabel", workspace)
    journal.note(state, entry(Todo(1, "mine", "main")), workspace)
    journal.note(state, entry(Todo(1, "mine", "control")), workspace)
    assert state.todo() == (1, "send", "main")
    assert state.find(1, "prelabel", "control").outcome == "skipped"  # type: ignore[union-attr]


@pytest.mark.parametrize(("step", "message"), [
    ("mien", "did you mean 'mine'"), ("prepare", "has done it already"), ("next", "nothing without next")])
def test_what_cannot_be_left_out_is_said(workspace: Path, step: str, message: str) -> None:
    state = begun(workspace)
    up_to(state, 1, "mine", workspace)
    with pytest.raises(UserError, match=message):
        journal.skip(state, step, workspace)


def test_what_round_nought_lacks_is_said(workspace: Path) -> None:
    state = begun(workspace)
    with pytest.raises(UserError, match="has no such step: mine"):
        journal.skip(state, "mine", workspace)


def test_more_rounds_go_on_where_the_last_one_ended(workspace: Path) -> None:
    state = begun(workspace, rounds=1)
    up_to(state, 9, "never", workspace)
    assert state.todo() is None
    state.settings = changed(state.settings, {"rounds": 2})
    assert state.todo() == (2, "prepare", "main")


def test_the_control_arm_begins_with_what_the_other_began_with(workspace: Path) -> None:
    state = begun(workspace, ("main", "control"))
    up_to(state, 1, "prepare", workspace)
    assert state.out(0, "train", "control")["mark"] == "0trainmain"
    assert state.last("mark", "control", before=1) == "0nextmain"


def test_a_damaged_journal_is_told_and_no_other_is_meant(workspace: Path) -> None:
    begun(workspace)
    path = journal.folder_of("cells", workspace) / "state.json"
    path.write_text('{"name": "cells"')
    with pytest.raises(DataError, match="damaged"):
        journal.read("cells", workspace)
    with pytest.raises(UserError, match="did you mean 'cells'"):
        journal.read("cell", workspace)


def test_two_commands_do_not_work_at_the_same_rounds(workspace: Path) -> None:
    begun(workspace)
    with journal.held("cells", workspace), pytest.raises(WorkspaceBusy), journal.held("cells", workspace):
        pass


@pytest.mark.parametrize("name", ["../out", "", "a/b", ".hidden", "x" * 62])
def test_names_that_no_folder_may_have(workspace: Path, name: str) -> None:
    with pytest.raises(UserError, match="--name"):
        journal.folder_of(name, workspace)


@pytest.mark.parametrize("preset", ["default", "quick"])
def test_presets_say_how_they_are_run_and_are_whole(preset: str) -> None:
    from tasks.base.presets import find

    first = find("improve", preset).read_text().splitlines()[0]
    assert first.startswith("# visionmill improve ")
    settings = load_settings(preset, {"budget": 7, "light": {"steps": 3}})
    assert settings.budget == 7 and settings.light.steps == 3


def test_light_trainings_mirror_as_the_line_does(tmp_path: Path) -> None:
    plain = load_settings("quick", {}, tmp_path).light.augment
    assert plain.flip == "horizontal"
    (tmp_path / "params.yaml").write_text("train:\n  augment: {flip: none}\n")
    assert load_settings("quick", {}, tmp_path).light.augment == plain.model_copy(update={"flip": "none"})
    own = {"light": {"augment": {"flip": "both"}}}
    assert load_settings("quick", own, tmp_path).light.augment.flip == "both"
    preset = tmp_path / "conf/improve/own.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("improve:\n  light:\n    augment: {flip: horizontal}\n")
    assert load_settings("own", {}, tmp_path).light.augment.flip == "horizontal"
    (tmp_path / "params.yaml").write_text("train:\n  augment: {flip: sideways}\n")
    with pytest.raises(UserError, match=r"train\.augment[\s\S]*sideways|sideways[\s\S]*train\.augment"):
        load_settings("quick", {}, tmp_path)


def test_parameters_of_a_strategy_are_replaced_and_unknown_settings_refused() -> None:
    settings = changed(Settings(values={"epsilon": 0.5}), {"strategy": "entropy", "values": {"cap": 3}})
    assert settings.values == {"cap": 3}
    with pytest.raises(UserError, match="budgte"):
        changed(settings, {"budgte": 3})
