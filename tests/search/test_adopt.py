"""Which values are offered, and when none are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.search import study as store
from tasks.search.adopt import best_values
from tasks.search.plan import Plan, studies
from tasks.search.search import Search
from tasks.search.space import lay_over
from tests.search.conftest import BASE, Fake, Killed

Run = Callable[[Plan, Fake], Search]


def test_the_best_trial_is_offered_also_after_it_was_adopted(workspace: Path, plan_with: Callable[..., Plan],
                                                            search: Run) -> None:
    done = search(plan_with(), Fake())
    best, worth = best_values(workspace, BASE, workspace / "split")
    assert best == store.chosen(store.ranking(done.study)[0]) and "of 8: val_AP 0." in worth
    assert best_values(workspace, lay_over(BASE, best), workspace / "split")[0] == best


def test_the_last_search_is_the_one_that_counts(workspace: Path, plan_with: Callable[..., Plan], search: Run) -> None:
    first = search(plan_with(), Fake())
    later = search(plan_with(sampler="random", seed=5), Fake())
    os.utime(later.folder / "study.json", (0, 0))  # the clock was wrong
    assert [told["folder"] for told in studies(workspace)] == [later.folder, first.folder]
    assert best_values(workspace, BASE, workspace / "split")[0] == store.chosen(store.ranking(later.study)[0])
    search(plan_with(), Fake())  # there is nothing to do, and yet it is what was looked at last
    assert [told["folder"] for told in studies(workspace)] == [first.folder, later.folder]


def test_searches_of_before_they_were_counted_come_last(workspace: Path, plan_with: Callable[..., Plan],
                                                        search: Run) -> None:
    first = search(plan_with(), Fake())
    old = first.folder / "study.json"
    write_json(old, {name: value for name, value in read_json(old).items() if name != "turn"})
    later = search(plan_with(sampler="random", seed=5), Fake())
    assert [told["folder"] for told in studies(workspace)] == [later.folder, first.folder]


def refused(workspace: Path, base: object = BASE) -> str:
    with pytest.raises(UserError) as error:
        best_values(workspace, base, workspace / "split")  # type: ignore[arg-type]
    return str(error.value)


def test_without_a_search_nothing_is_offered(workspace: Path, plan_with: Callable[..., Plan], search: Run) -> None:
    assert "no search was made here" in refused(workspace)
    search(plan_with(), Fake())
    assert "some that are not searched were edited" in refused(workspace, BASE.model_copy(update={"clip": 1.0}))
    (workspace / "split/dataset.json").write_text("[]")
    assert "no search was made on this data" in refused(workspace)


def test_an_unfinished_search_is_refused_unless_wanted(workspace: Path, plan_with: Callable[..., Plan],
                                                       search: Run) -> None:
    with pytest.raises(Killed):
        search(plan_with(), Fake(kill=(5, 1)))
    assert "4 of 8 trials" in refused(workspace)
    assert best_values(workspace, BASE, workspace / "split", unfinished=True)[0]


def test_the_parameters_it_began_with_are_nothing_to_adopt(workspace: Path, plan_with: Callable[..., Plan],
                                                           search: Run) -> None:
    search(plan_with(BASE.model_copy(update={"lr": 2e-3, "augment": BASE.augment.model_copy(update={"mosaic": 0.0})}),
                     trials=3), Fake())
    said = refused(workspace, BASE.model_copy(update={"lr": 2e-3, "augment": BASE.augment}))
    assert "nothing to adopt" in said and "--trials 6 looks further" in said
