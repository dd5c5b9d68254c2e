"""The rounds: which step comes next, and doing it. Each step may be killed at any moment and is then done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base.errors import UserError, VisionmillError
from tasks.data.store.layout import Store, Version
from tasks.improving import state as journal
from tasks.improving.sets import same
from tasks.improving.settings import Settings
from tasks.improving.state import CONTROL, MAIN, Entry, State, Todo

if TYPE_CHECKING:
    from tasks.labelling.jobs.desk import Desk


class Waiting(Exception):  # noqa: N818 - it is no error
    """The rounds stand still until somebody has done something; the text says who and what."""


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


@dataclass
class Work:
    """One step at work: the loop, the journal as it is, and which step."""

    loop: Loop
    state: State
    todo: Todo

    @property
    def round(self) -> int:
        return self.todo.round

    @property
    def arm(self) -> str:
        return self.todo.arm

    @property
    def store(self) -> Store:
        return self.loop.store

    @property
    def settings(self) -> Settings:
        """Those that this round began with."""
        told = self.state.out(self.round, "prepare", self.arm).get("settings")
        return Settings.model_validate(told) if told else self.state.settings

    @property
    def desk_root(self) -> Path:
        """Where pre-labels and jobs are kept. An oracle's are apart: the line knows the pictures that it hides."""
        return self.loop.folder if self.state.about["oracle"] else self.loop.workspace

    @property
    def prefix(self) -> str:
        """What the names of this arm's versions begin with."""
        return self.loop.name if self.arm == MAIN else f"{self.loop.name}-{CONTROL}"

    def out(self, step: str) -> dict[str, Any]:
        """What a step of this round and arm has made."""
        return self.state.out(self.round, step, self.arm)

    def version(self, told: dict[str, str]) -> Version:
        """A version that the journal names, checked to be what it was.

        Raises:
            UserError, DataError: it is not here any more, or is another one.
        """
        return same(self.store.find(told["ref"]), told["digest"])

    def set(self) -> Version:
        """What this arm has labelled so far."""
        told = self.out("merge").get("set") or self.out("prepare").get("set")
        return self.version(told or self.state.last("set", self.arm) or self.state.about["base"])

    def pool(self) -> Version:
        return self.version(self.state.about["pool"])

    def judge(self) -> Version:
        return self.version(self.state.about["judge"])

    def made(self, version: Version) -> dict[str, str]:
        """Let DVC know a version, and what the journal says of it."""
        self.loop.keep(version)
        return told(version)

    def model(self) -> str | None:
        """Who labels and mines in this round: what was trained last, else what the settings or the start name."""
        return self.state.last("model", self.arm, before=self.round) or self.settings.model or (
            self.state.about.get("model"))


def told(version: Version) -> dict[str, str]:
    """A version as the journal has it."""
    return {"ref": version.ref, "digest": version.digest}


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
    """What taking steps back means beyond the journal: the line reads again what it read before.

    Raises:
        VisionmillError: that version is not here any more.
    """
    lines = []
    for entry in entries:
        if "line" not in entry.out or loop.line is None:
            continue
        before = entry.out["line"]["before"]
        if not before:
            lines.append("the line read a folder before: git checkout params.yaml dvc.yaml data/raw.dvc; dvc checkout")
        else:
            try:
                loop.line.go_back(loop.store.find(before))
            except VisionmillError as error:
                lines.append(f"the line still reads what round {entry.round} trained on: {error.what}")
            else:
                lines.append(f"the line reads {before} again")
    return lines
