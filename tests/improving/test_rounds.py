"""The rounds with light trainings and a desk that answers at once, late, in part or not at all; killed at each step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.improving import begin, doing, sets
from tasks.improving import state as journal
from tasks.improving.oracle import OracleDesk
from tasks.improving.rounds import Loop, Waiting, go_on
from tasks.improving.settings import Settings
from tasks.improving.state import BEFORE, CONTROL, MAIN, STEPS, State
from tasks.improving.telling import cost, told_round, told_status
from tasks.labelling.jobs.desk import Status

from .conftest import QUICK

Shapes = tuple[Store, Version]


def settings(**changes: Any) -> Settings:
    return Settings(train="light", light=QUICK, rounds=1, budget=4, strategy="random", seed=3).model_copy(
        update=changes)


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """The rounds of `done` alone are trained."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


class Desk:
    """An oracle behind a door: `away` is why it does not answer, `slow` how many pictures are not done yet."""

    kind = "fake"

    def __init__(self, truth: Version) -> None:
        self.inside, self.away, self.slow, self.sent = OracleDesk(truth), "", 0, 0

    def send(self, job: Any, pictures: Any, workspace: Path) -> None:
        self._door()
        self.sent += 1
        self.inside.send(job, pictures, workspace)

    def status(self, job: Any) -> Status:
        if self.away:
            return Status(len(job.order), 0, away=self.away)
        return Status(len(job.order), len(job.order) - self.slow, self.slow, {"ann": 1}, 30.0)

    def fetch(self, job: Any) -> list[Any]:
        self._door()
        return self.inside.fetch(job)[self.slow:]

    def give_back(self, job: Any, digests: Any, note: str) -> None:
        self._door()

    def _door(self) -> None:
        if self.away:
            raise UserError(self.away, mend="visionmill up --with label-studio")


def with_oracle(shapes: Shapes, workspace: Path, control: bool = False, start: int = 6, **changes: Any) -> Loop:
    store, truth = shapes
    begin.begin_with_oracle("it", truth, settings(**changes), store=store, owner="me", workspace=workspace, start=start,
                            control=control)
    return Loop("it", workspace, store, "me")


def with_people(shapes: Shapes, workspace: Path, **changes: Any) -> tuple[Loop, Desk]:
    """Six labelled pictures, and a pool whose pictures have no split, as people bring them."""
    store, truth = shapes
    base, pool, judge = sets.begin_oracle(truth, store, start=6, seed=0, name="mine", owner="me")
    begin.begin_with_people("it", base, pool, judge, settings(**changes), store=store, owner="me", workspace=workspace,
                            control=False, model=None)
    desk = Desk(truth)
    return Loop("it", workspace, store, "me", desk=desk), desk


def run(loop: Loop) -> str | None:
    return go_on(loop, loop.do, lambda text: None)


@pytest.fixture(scope="module")
def done(drawn: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Two whole rounds with a control arm."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VISIONMILL_TRACKING", "off")
    patch.setenv("VISIONMILL_THREADS", "1")
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(drawn[0].root, folder / "store")
    store = Store(folder / "store")
    loop = with_oracle((store, store.find("shapes")), folder, control=True, rounds=2, strategy="entropy")
    assert run(loop) is None
    yield loop
    patch.undo()


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


@pytest.mark.parametrize("effects", [True, False], ids=["after its effects", "before them"])
def test_killed_at_each_step_nothing_is_done_twice(shapes: Shapes, workspace: Path, effects: bool,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    loop = with_oracle(shapes, workspace)
    met: set[Any] = set()

    def deadly(real: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def act(work: Any) -> Any:
            first = work.todo not in met
            met.add(work.todo)
            if first and not effects:
                raise Killed
            out = real(work)
            if first:
                raise Killed
            return out
        return act

    monkeypatch.setattr(doing, "ACTIONS", {name: deadly(real) for name, real in doing.ACTIONS.items()})
    deaths = 0
    while True:
        try:
            assert run(loop) is None
            break
        except Killed:
            deaths += 1
    assert deaths == len(BEFORE) + len(STEPS)
    assert [one.todo for one in loop.state.entries] == [
        *((0, step, MAIN) for step in BEFORE), *((1, step, MAIN) for step in STEPS)]
    assert {name: len(loop.store.of(name)) for name in loop.store.names() if name != "shapes"} == {
        "it-start": 1, "it-pool": 1, "it-judge": 1, "it-picked": 1, "it-prelabelled": 1, "it-labelled": 1, "it-set": 1}
    assert sets.pictures_in(loop.store.find("it-set")) == 10


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


def test_settings_hold_from_the_next_round_on(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    while loop.todo() != (1, "mine", MAIN):
        loop.do(loop.todo())  # type: ignore[arg-type]
    _, lines = begin.change("it", {"budget": 2, "rounds": 2}, workspace)
    assert lines == ["rounds: 1 → 2", "budget: 4 → 2, from round 2 on"]
    assert run(loop) is None
    assert [loop.state.out(number, "mine")["pictures"] for number in (1, 2)] == [4, 2]


def test_a_version_that_somebody_changed_or_took_away_is_told(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    while loop.todo() != (1, "merge", MAIN):
        loop.do(loop.todo())  # type: ignore[arg-type]
    folder = loop.store.find("it-labelled").folder
    facts = folder / "version.json"
    facts.chmod(0o644)
    text = facts.read_text()
    facts.write_text(text.replace('"digest": "', '"digest": "0'))
    with pytest.raises(DataError, match="not the one that the rounds made"):
        run(loop)
    facts.write_text(text)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UserError, match="it-labelled"):
        run(loop)
    folder.with_name("elsewhere").rename(folder)
    assert run(loop) is None


def test_labels_that_a_person_changes_in_between_are_their_own_version(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    while loop.todo() != (1, "merge", MAIN):
        loop.do(loop.todo())  # type: ignore[arg-type]
    labelled = loop.store.find("it-labelled")
    publish_labels(loop.store, labelled, out="it-labelled", owner="ann", said={"by": "ann"},
                   annotations=ANNOTATIONS.empty_table())
    assert run(loop) is None
    assert loop.store.find("it-set").meta.parents[1] == labelled.ref


def test_a_person_who_asks_to_stop_is_heard(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    loop.do(loop.todo())  # type: ignore[arg-type]
    journal.stop_file("it", workspace).touch()
    assert loop.todo() is None and run(loop) is None
    assert any(line.startswith("stopped") for line in told_status(loop.state, stopped=True))
    journal.stop_file("it", workspace).unlink()
    assert loop.todo() == (0, "train", MAIN)


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
