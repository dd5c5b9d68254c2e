"""Beginning rounds: what is labelled, what the pool is, what is judged on, who answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.improving import sets
from tasks.improving import state as journal
from tasks.improving.settings import Settings
from tasks.improving.state import CONTROL, MAIN, State
from tasks.improving.work import told

Keep = Callable[[Version], None]


def begin_with_oracle(name: str, truth: Version, settings: Settings, *, store: Store, owner: str, workspace: Path,
                      start: int, control: bool, keep: Keep = lambda version: None) -> State:
    """Rounds where the known labels of `truth` answer: `start` pictures are labelled, the rest of train is the pool.

    Raises:
        UserError: there are no labels, too few pictures, or the name is taken.
    """
    _refuse(settings, control=False, oracle=True)
    base, pool, judge = sets.begin_oracle(truth, store, start=start, seed=settings.seed, name=name, owner=owner)
    about = {"oracle": True, "truth": told(truth), "start": start}
    return _begun(name, about, base, pool, judge, settings, control, workspace, keep)


def begin_with_people(name: str, base: Version, pool: Version, judge: Version | None, settings: Settings, *,
                      store: Store, owner: str, workspace: Path, control: bool, model: str | None,
                      keep: Keep = lambda version: None) -> State:
    """Rounds where people answer.

    Args:
        judge: what accuracy is measured on; the test split of `base`, or a fifth of it, when None.
        model: who labels and mines first, such as `models:/cells@champion`; None: nobody does yet.

    Raises:
        UserError: classes that differ, pictures of the pool that are judged on, or the name is taken.
    """
    _refuse(settings, control, oracle=False)
    judge = judge or sets.judged_on(base, store, f"{name}-judge", owner)
    for version in (base, judge):
        if not version.meta.classes:
            raise UserError(f"{version.ref} has no classes", where=version.folder,
                            mend="take a version with labels: visionmill data list")
    if judge.meta.classes != base.meta.classes:
        raise UserError(f"{judge.ref} has other classes than {base.ref}: {', '.join(judge.meta.classes)}",
                        where=judge.folder, mend="visionmill data relabel it")
    if not pool.meta.classes or pool.meta.classes == base.meta.classes:
        base = _without(base, judge, store, f"{name}-start", owner)
        return _begun(name, {"oracle": False, "model": model}, base, pool, judge, settings, control, workspace, keep)
    raise UserError(f"the pool {pool.ref} has other classes than {base.ref}: {', '.join(pool.meta.classes)}",
                    where=pool.folder, mend="visionmill data relabel it, or import the pictures without labels")


def _without(base: Version, judge: Version, store: Store, out: str, owner: str) -> Version:
    """What is trained on without what is judged on, where that was not marked as test: no training touches test."""
    table = pq.read_table(base.folder / "images.parquet", columns=["digest", "split"])
    judged = pq.read_table(judge.folder / "images.parquet", columns=["digest"])["digest"].combine_chunks()
    free = pc.not_equal(pc.fill_null(table["split"], ""), "test")
    touched = pc.and_(pc.is_in(table["digest"], value_set=judged), free)
    if not pc.any(touched).as_py():
        return base
    return sets.without(base, [judge], store, out, owner)


def _begun(name: str, about: dict[str, Any], base: Version, pool: Version, judge: Version, settings: Settings,
           control: bool, workspace: Path, keep: Keep) -> State:
    with journal.held(name, workspace):
        if name in journal.names(workspace):
            raise UserError(f"rounds are called {name!r} already", where=journal.folder_of(name, workspace),
                            mend="visionmill improve goes on with them; --name ANOTHER begins others")
        if not sets.left_in(pool, [base, judge]):
            raise UserError(f"all pictures of {pool.ref} are in {base.ref} or {judge.ref} already", where=pool.folder,
                            mend="name a pool with new pictures")
        for version in (base, pool, judge):
            keep(version)
        about |= {"arms": [MAIN, CONTROL] if control else [MAIN], "base": told(base), "pool": told(pool),
                  "judge": told(judge), "classes": list(base.meta.classes)}
        state = State(name=name, about=about, settings=settings)
        journal.write(state, workspace)
    return state


def change(name: str, changes: dict[str, Any], workspace: Path) -> tuple[State, list[str]]:
    """Other settings from the next round on; what changes, in lines.

    Raises:
        ParamsError: an unknown key or a wrong value.
    """
    from tasks.improving.settings import changed

    with journal.held(name, workspace):
        state = journal.read(name, workspace)
        settings = changed(state.settings, changes)
        _refuse(settings, len(state.arms) > 1, oracle=bool(state.about["oracle"]))
        before, after = (one.model_dump(mode="json") for one in (state.settings, settings))
        keys = [key for key in after if after[key] != before[key]]
        state.settings = settings
        if "rounds" in keys:
            state.ended = None
        journal.write(state, workspace)
    todo = state.todo()
    first = todo.round if todo and todo.step == "prepare" else (todo.round + 1 if todo else state.round + 1)
    return state, [f"{key}: {before[key]} → {after[key]}" + ("" if key == "rounds" else f", from round {first} on")
                   for key in keys]


def _refuse(settings: Settings, control: bool, oracle: bool) -> None:
    """Raises UserError for what cannot go together, ParamsError for a strategy or a parameter of it that is none."""
    from tasks.labelling.mining import check_asked

    check_asked(settings.strategy, settings.budget, settings.values)
    if settings.train == "line" and (control or oracle):
        what = "a control arm" if control else "an oracle's pool, whose pictures the line knows,"
        raise UserError(f"{what} cannot go with --train line: there is one line", where="improve.train",
                        mend="--train light")
