"""The rounds: which step comes next, and doing it. Each step may be killed at any moment and is then done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.base.errors import UserError, VisionmillError
from tasks.data.store.layout import Store, Version
from tasks.improving import state as journal
from tasks.improving.state import Entry, State, Todo
from tasks.improving.work import Waiting, Work

if TYPE_CHECKING:
    from tasks.labelling.jobs.desk import Desk


@dataclass(frozen=True)
class Lined:
    """What the line made of a version.

    Attributes:
        model: folder of the trained model.
        registered: `models:/NAME/N`, None where nothing was registered.
        passed: whether its gate did; None where none was asked.
        said: in a line.
    """

    model: Path
    registered: str | None
    passed: bool | None
    said: str


class TheLine(Protocol):
    """The line of the workspace, which only flows can run."""

    def train(self, version: Version, reason: str) -> Lined: ...

    def used(self) -> str | None:
        """The version that the line reads, None where it reads a folder."""
        ...

    def go_back(self, version: Version) -> None:
        """Let it read an earlier version again."""
        ...


@dataclass
class Loop:
    """The rounds of one name.

    Attributes:
        keep: called with each version that a step has made, for DVC.
        line: trains where the settings say so; None: only light trainings can be done.
        desk: asked in place of the one that the settings name.
    """

    name: str
    workspace: Path
    store: Store
    owner: str
    keep: Callable[[Version], None] = field(default=lambda version: None)
    line: TheLine | None = None
    desk: Desk | None = None

    @property
    def folder(self) -> Path:
        return journal.folder_of(self.name, self.workspace)

    @property
    def state(self) -> State:
        return journal.read(self.name, self.workspace)

    def todo(self) -> Todo | None:
        """The next step; None where all rounds are done, or a person has asked to stop."""
        return None if journal.stop_file(self.name, self.workspace).exists() else self.state.todo()

    def do(self, todo: Todo) -> str:
        """Do one step and put it into the journal; what it says of itself.

        Raises:
            Waiting: people have not done their part, or cannot be asked now; the journal says so.
            VisionmillError: the step failed. The next call does it again.
        """
        from tasks.improving.doing import ACTIONS

        with journal.held(self.name, self.workspace):
            state = self.state
            if state.todo() != todo:
                raise UserError(f"{todo} is not what comes next", where=self.name, mend="visionmill improve status")
            began = time.monotonic()
            try:
                out, said = ACTIONS[todo.step](Work(self, state, todo))
            except Waiting as waits:
                state.waiting = str(waits)
                journal.write(state, self.workspace)
                raise
            entry = Entry(round=todo.round, step=todo.step, arm=todo.arm, outcome="done", out=out, said=said,
                          when=journal.now(), seconds=round(time.monotonic() - began, 2))
            state.ended = out.get("end") or state.ended
            journal.note(state, entry, self.workspace)
        return said


def go_on(loop: Loop, do: Callable[[Todo], str], tell: Callable[[str], None]) -> str | None:
    """Do steps until all rounds are done (None), or until something is waited for (what it is).

    Args:
        do: does one step, `loop.do` or what wraps it.
        tell: takes lines.
    """
    from tasks.improving.telling import told_round

    while (todo := loop.todo()) is not None:
        try:
            do(todo)
        except Waiting as waits:
            return str(waits)
        if todo.step == "next" and todo.arm == loop.state.arms[-1 if todo.round else 0]:
            tell("\n".join(told_round(loop.state, todo.round)))
    return None


def taken_back(loop: Loop, entries: list[Entry]) -> list[str]:
    """What taking steps back means beyond the journal: the line reads again what it read before."""
    lines = []
    for entry in entries:
        if "line" not in entry.out or loop.line is None:
            continue
        before = entry.out["line"]["before"]
        lines.append(_reads_again(loop, before, f"the line still reads what round {entry.round} trained on") if before
                     else "the line read a folder before: git checkout params.yaml dvc.yaml data/raw.dvc; dvc checkout")
    return lines


def put_back(loop: Loop, entries: list[Entry]) -> list[str]:
    """What putting steps back means beyond the journal: the line reads again what it was trained on."""
    return [_reads_again(loop, entry.out["line"]["after"], f"the line does not read the data of round {entry.round}")
            for entry in entries if "line" in entry.out and loop.line is not None]


def _reads_again(loop: Loop, ref: str, else_said: str) -> str:
    assert loop.line is not None
    try:
        loop.line.go_back(loop.store.find(ref))
    except VisionmillError as error:
        return f"{else_said}: {error.what}"
    return f"the line reads {ref} again"
