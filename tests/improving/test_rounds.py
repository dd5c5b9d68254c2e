"""Whole rounds with light trainings: what they add, cost and tell; what they begin with; settings in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.improving import begin, sets
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import BEFORE, CONTROL, MAIN, State
from tasks.improving.telling import cost, told_round, told_status

from .loops import Shapes, run, with_oracle, with_people


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """No training takes longer than a copy."""


def test_each_round_adds_its_pictures_and_judges_on_the_same_ones(done: Loop) -> None:
    state = done.state
    for arm in (MAIN, CONTROL):
        counts = [sets.pictures_in(done.store.find(told["ref"])) for told in (
            state.out(0, "prepare")["set"], state.out(1, "merge", arm)["set"], state.out(2, "merge", arm)["set"])]
        assert counts == [6, 10, 14]
    assert {one.out["metrics"]["images"] for one in state.entries if one.step == "train"} == {6}


def test_what_was_picked_is_not_picked_again_and_is_of_the_pool(done: Loop) -> None:
    state = done.state
    pool = set(read_dataset(done.store.find("it-pool").folder).images["digest"].to_pylist())
    for arm in (MAIN, CONTROL):
        picked = [read_dataset(done.store.find(state.out(number, "mine", arm)["picked"]["ref"]).folder
                               ).images["digest"].to_pylist() for number in (1, 2)]
        assert len(set(picked[0]) | set(picked[1])) == 8 and set(picked[0]) | set(picked[1]) <= pool


def test_the_labels_that_come_in_are_those_that_were_hidden(done: Loop) -> None:
    truth, found = (read_dataset(done.store.find(name).folder) for name in ("shapes", "it-set@2"))
    wanted = dict(zip(*(truth.images[name].to_pylist() for name in ("digest", "image_id")), strict=True))
    counts = dict.fromkeys(wanted.values(), 0)
    for image in truth.annotations["image_id"].to_pylist():
        counts[image] += 1
    mine = dict(zip(*(found.images[name].to_pylist() for name in ("image_id", "digest")), strict=True))
    got: dict[int, int] = {}
    for image in found.annotations["image_id"].to_pylist():
        got[wanted[mine[image]]] = got.get(wanted[mine[image]], 0) + 1
    assert got == {image: counts[image] for image in got} and len(got) == 14


def test_both_arms_cost_is_counted_alike(done: Loop) -> None:
    state = done.state
    for arm in (MAIN, CONTROL):
        whole = cost(state, 2, arm)
        assert whole["pictures"] == 8 and whole["boxes"] == 16 and whole["from_nothing"] == 32
        assert whole["clicks"] == sum(state.out(number, "fetch", arm)["clicks"] for number in (1, 2))
    assert state.out(1, "mine", CONTROL)["strategy"] == "random"


def test_reasons_arrows_and_the_control_are_told(done: Loop) -> None:
    text = "\n".join(told_round(done.state, 2))
    assert "picked    4 pictures by entropy" in text and "control: picked    4 pictures by random" in text
    assert "the control: AP50" in text and "clicks" in text
    assert done.state.out(2, "mine")["reasons"]
    assert any(arrow in text for arrow in "↑↓→")
    assert "all rounds are done" in told_status(done.state)[-1]


def test_a_change_is_up_or_down_only_where_its_interval_says_so(done: Loop) -> None:
    found = [one for entry in done.state.entries if entry.step == "compare" and entry.round
             for one in (entry.out["overall"]["AP50"], *(kind["AP50"] for kind in entry.out["classes"].values()))]
    assert found
    for one in found:
        low, high = one["change"]["low"], one["change"]["high"]
        assert one["arrow"] == ("up" if low > 0 else "down" if high < 0 else "level")


def test_lineage_goes_through_the_parents(done: Loop) -> None:
    parents = {"it-set@2": ["it-set@1", "it-labelled@2"], "it-labelled@2": ["it-picked@2"],
               "it-set@1": ["it-start@1", "it-labelled@1"], "it-pool@1": ["shapes@1"]}
    for ref, wanted in parents.items():
        assert done.store.find(ref).meta.parents[:len(wanted)] == wanted


def test_a_budget_larger_than_the_pool_takes_all_says_so_and_ends(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace, budget=500, rounds=3)
    assert run(loop) is None
    state = loop.state
    assert state.out(1, "mine")["pictures"] == 18
    assert any("larger than what is left" in note for note in state.out(1, "mine")["notes"])
    assert state.ended == "nothing is left of it-pool@1" and state.round == 1
    assert "nothing is left" in told_status(state)[-1]


def test_settings_hold_from_the_next_round_on(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    while loop.todo() != (1, "mine", MAIN):
        loop.do(loop.todo())  # type: ignore[arg-type]
    _, lines = begin.change("it", {"budget": 2, "rounds": 2}, workspace)
    assert lines == ["rounds: 1 → 2", "budget: 4 → 2, from round 2 on"]
    assert run(loop) is None
    assert [loop.state.out(number, "mine")["pictures"] for number in (1, 2)] == [4, 2]


def test_an_oracle_without_known_labels_is_refused(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    bare = publish_labels(store, truth, out="bare", owner="me", said={"by": "nobody"},
                          annotations=ANNOTATIONS.empty_table())[0]
    with pytest.raises(UserError, match="answers from known labels, and there are none"):
        with_oracle((store, bare), workspace)


def test_what_does_not_fit_is_refused_before_anything_is_done(shapes: Shapes, workspace: Path) -> None:
    with pytest.raises(UserError, match="leave no pool"):
        with_oracle(shapes, workspace, start=24)
    with pytest.raises(UserError, match="cannot go with --train line"):
        with_oracle(shapes, workspace, train="line")
    with_oracle(shapes, workspace)
    with pytest.raises(UserError, match="called 'it' already"):
        with_oracle(shapes, workspace)


def test_a_strategy_that_needs_a_model_says_so_where_there_is_none(shapes: Shapes, workspace: Path) -> None:
    loop, _ = with_people(shapes, workspace, strategy="entropy")
    loop.do(loop.todo())  # type: ignore[arg-type]
    state: State = loop.state
    # as before the first training by the line, with no champion
    state.entries += [journal.Entry(round=0, step=step, arm=MAIN, outcome="skipped") for step in BEFORE[1:]]
    journal.write(state, workspace)
    with pytest.raises(UserError, match="no model is there to look"):
        run(loop)


def test_pictures_without_a_split_are_trained_on_and_never_judged_on(shapes: Shapes, workspace: Path) -> None:
    import pyarrow as pa

    store, truth = shapes
    loop, _ = with_people(shapes, workspace)
    whole = store.find("mine-pool")
    table = read_dataset(whole.folder)
    free = table.images.set_column(table.images.schema.get_field_index("split"), "split",
                                   pa.nulls(table.images.num_rows, pa.string()))
    from tasks.data.table import Dataset, write_dataset

    write_dataset(workspace / "free", Dataset(free, table.annotations, table.meta))
    ready = sets.to_train(Version("free", 1, workspace / "free"), store, "ready", "me")
    assert set(read_dataset(ready.folder).images["split"].to_pylist()) == {"train"}
    assert sets.to_train(ready, store, "ready", "me") == ready
