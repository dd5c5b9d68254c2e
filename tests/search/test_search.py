"""A search with a training that takes no time: pruning, what is kept over a kill, what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.search import study as store
from tasks.search import summary
from tasks.search.plan import Plan, folder_of
from tasks.search.search import Search
from tests.search.conftest import BASE, Fake, Killed

Run = Callable[[Plan, Fake], Search]


def values(search: Search) -> list[tuple]:
    return [(t.number, t.state.name, t.value, t.params, t.intermediate_values) for t in store.finished(search.study)]


def test_trial_0_is_what_params_yaml_says_and_is_never_pruned(plan_with: Callable[..., Plan], search: Run) -> None:
    plan = plan_with(BASE.model_copy(update={"lr": 0.000123456}), epochs={"min_resource": 1}, trials=12)
    trials = store.finished(search(plan, Fake()).study)
    assert store.chosen(trials[0]) == {"train.lr": 0.000123456, "train.augment.mosaic": 0.3, "train.batch_size": 8}
    assert trials[0].state.name == "COMPLETE" and store.epochs_of(trials[0]) == 8
    assert all(float(f"{store.chosen(t)['train.lr']:.3g}") == store.chosen(t)["train.lr"] for t in trials[1:])


def test_hyperband_saves_epochs_and_still_finds_better(plan_with: Callable[..., Plan], search: Run) -> None:
    fake = Fake()
    done = search(plan_with(epochs={"min_resource": 1}, trials=20), fake)
    states = [trial.state.name for trial in store.finished(done.study)]
    assert len(states) == 20 and states.count("PRUNED") >= 3
    assert sum(map(len, fake.trained)) < 0.9 * 20 * 8
    assert store.ranking(done.study)[0].value > store.finished(done.study)[0].value
    assert not list(done.folder.glob("trial-*"))


@pytest.mark.parametrize(("sampler", "call"), [("tpe", 4), ("random", 4), ("random", 5)])
def test_a_killed_search_goes_on_as_an_undisturbed_one(plan_with: Callable[..., Plan], search: Run, sampler: str,
                                                       call: int, tmp_path: Path) -> None:
    plan = plan_with(sampler=sampler, startup_trials=2)
    undisturbed = values(search(plan, whole := Fake()))
    folder_of(plan, tmp_path).rename(tmp_path / "aside")
    # after the checkpoint of the epoch in which Hyperband decides, and before it was asked
    with pytest.raises(Killed):
        search(plan, Fake(kill=(call, 2)))
    again = Fake()
    assert values(search(plan, again)) == undisturbed
    assert again.trained == [whole.trained[call - 1][2:], *whole.trained[call:]]


def test_more_trials_continue_the_same_search(plan_with: Callable[..., Plan], search: Run) -> None:
    first, fake = values(search(plan_with(trials=3), Fake())), Fake()
    assert values(search(plan_with(trials=5), fake))[:3] == first
    assert len(fake.trained) == 2
    assert search(plan_with(trials=5), fake) and len(fake.trained) == 2


def test_a_trial_that_kills_its_process_each_time_is_given_up(plan_with: Callable[..., Plan], search: Run) -> None:
    plan = plan_with(trials=3)
    for _ in range(store.STARTS):
        with pytest.raises(Killed):
            search(plan, Fake(kill=(1, 0)))
    states = [trial.state.name for trial in store.finished(search(plan, Fake()).study)]
    assert states[0] == "FAIL" and len(states) == 3


def test_an_interrupt_by_a_person_never_counts(plan_with: Callable[..., Plan], search: Run) -> None:
    plan = plan_with(trials=2)
    for _ in range(store.STARTS + 2):
        with pytest.raises(KeyboardInterrupt):
            search(plan, Fake(kill=(1, 0), error=KeyboardInterrupt))
    assert store.finished(search(plan, Fake()).study)[0].state.name == "COMPLETE"


def test_a_torn_journal_and_a_left_lock_are_mended(plan_with: Callable[..., Plan], search: Run) -> None:
    first = search(plan_with(trials=2), Fake())
    journal = first.folder / store.JOURNAL
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"wor')
    journal.with_name("journal.log.lock").symlink_to(journal)
    assert len(values(search(plan_with(trials=3), Fake()))) == 3


def test_a_loss_that_is_not_finite_prunes(plan_with: Callable[..., Plan], search: Run,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_with(BASE.model_copy(update={"lr": 9.5e-3}), trials=4)
    done = search(plan, Fake())
    assert store.finished(done.study)[0].state.name == "PRUNED"
    assert "trial 1/4: the loss is nan" in capsys.readouterr().out


def test_each_trial_is_told_and_the_end_has_a_table(plan_with: Callable[..., Plan], search: Run,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_with(trials=10, pruner="none")
    done = search(plan, Fake())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial 1/10: val_AP 0.705, best 0.705 (trial 1), about ")
    assert lines[-1].endswith("all done")
    table = summary.table(done.study, plan).splitlines()
    assert table[0].split() == ["trial", "val_AP", "epochs", "lr", "augment.mosaic", "batch_size"]
    assert len(table) == 8 and "10 complete, 0 pruned, 0 failed), 80 epochs" in table[6]
    assert table[7].startswith("mattered: ")


@pytest.mark.parametrize(("trials", "sampler", "said"), [(8, "tpe", True), (20, "tpe", False), (8, "random", False)])
def test_too_few_trials_for_tpe_are_told(plan_with: Callable[..., Plan], trials: int, sampler: str,
                                         said: bool) -> None:
    plan = plan_with(trials=trials, sampler=sampler)
    assert store.brackets(plan) == 2
    assert bool(store.advice(plan)) == said
    if said:
        assert "8 trials in 2 brackets are about 4 each" in str(store.advice(plan))
