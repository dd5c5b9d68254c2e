"""Rounds that are killed, moved, or whose versions somebody changes: the same command goes on, or says why not."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store
from tasks.data.table import ANNOTATIONS
from tasks.improving import doing, sets
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import BEFORE, MAIN, STEPS
from tasks.improving.telling import told_status

from .loops import Shapes, run, up_to, with_oracle


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


@pytest.fixture(autouse=True)
def quickly(trained_once: None) -> None:
    """No training takes longer than a copy."""


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


@pytest.mark.parametrize("step", STEPS)
def test_a_workspace_that_is_moved_between_two_steps_goes_on(shapes: Shapes, workspace: Path, step: str) -> None:
    loop = with_oracle(shapes, workspace, strategy="entropy")
    up_to(loop, 1, step)
    moved = workspace.rename(workspace.with_name("moved"))
    there = Loop("it", moved, Store(moved / "data/store"), "me")
    assert run(there) is None and there.todo() is None
    assert not workspace.exists() and sets.pictures_in(there.store.find("it-set")) == 10


def test_a_journal_that_cannot_be_written_leaves_the_step_to_be_done_again(
        shapes: Shapes, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = with_oracle(shapes, workspace)
    up_to(loop, 1, "fetch")
    before = loop.state

    def read_only(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_json", read_only)
        with pytest.raises(OSError, match="Read-only"):
            run(loop)
        assert loop.state == before and told_status(loop.state)
    assert run(loop) is None and len(loop.store.of("it-labelled")) == 1


DIES = """
import os, signal, sys
from pathlib import Path
from tasks.data.store.layout import Store
from tasks.improving.rounds import Loop, go_on

left, real = int(sys.argv[2]), os.replace


def replace(*paths, **more):
    # a file is renamed into place: before the n-th time the power goes
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*paths, **more)


os.replace = os.rename = replace
Path.replace = Path.rename = lambda self, target: replace(self, target) or Path(target)
root = Path(sys.argv[1])
loop = Loop("it", root, Store(root / "data/store"), "me")
sys.exit(go_on(loop, loop.do, lambda text: None) is not None)
"""


@pytest.mark.slow
def test_sigkill_at_any_rename_then_the_same_command_again(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace, strategy="entropy")
    # round 0 trains; the kills are in the round, whose training is left out
    up_to(loop, 1, "prepare")
    journal.skip(loop.state, "train", workspace)
    deaths, number = 0, 1
    while True:
        code = subprocess.run([sys.executable, "-c", DIES, str(workspace), str(number)], timeout=300,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        if code != -signal.SIGKILL:
            break
        deaths, number = deaths + 1, number + 3
    assert code == 0 and deaths > 5
    assert [one.todo for one in loop.state.entries if one.outcome == "done" and one.round] == [
        (1, step, MAIN) for step in STEPS if step != "train"]
    counts = {name: len(loop.store.of(name)) for name in loop.store.names() if name.startswith("it-")}
    assert set(counts.values()) == {1} and sets.pictures_in(loop.store.find("it-set")) == 10
