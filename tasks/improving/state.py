"""Where the rounds are: a journal of steps with what came out of each, one file that is always whole.

    .visionmill/improve/NAME/state.json
    .visionmill/improve/NAME/models/ARM-ROUND/     of a light training, with its detections
    .visionmill/improve/NAME/runs/                 records of the MLflow runs
    .visionmill/improve/NAME/stop                  a person has asked to stop
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.base.files import read_json, write_json
from tasks.base.locks import held_alone
from tasks.base.naming import unknown
from tasks.improving.settings import Settings

FOLDER = Path(".visionmill/improve")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
STEPS = ("prepare", "mine", "prelabel", "send", "wait", "fetch", "merge", "train", "compare", "next")
# before anything is mined: what the labels that are there are worth
BEFORE = ("prepare", "train", "compare", "next")
# a round is nothing without these
NEEDED = ("prepare", "next")
MAIN, CONTROL = "main", "control"


class Todo(NamedTuple):
    """One step of one round for one arm."""

    round: int
    step: str
    arm: str

    def __str__(self) -> str:
        beside = f" ({self.arm})" if self.arm != MAIN else ""
        return f"round {self.round}, {self.step}{beside}"


class Entry(BaseModel):
    """A step that was done, or left out: what came out, in data and in words."""

    model_config = ConfigDict(extra="forbid")

    round: int
    step: str
    arm: str
    outcome: Literal["done", "skipped"]
    out: dict[str, Any] = {}
    said: str = ""
    when: str = ""
    seconds: float = 0.0

    @property
    def todo(self) -> Todo:
        return Todo(self.round, self.step, self.arm)


class State(BaseModel):
    """What `state.json` has.

    Attributes:
        about: what does not change: `oracle` (bool), `arms`, and refs of `truth`, `base`, `pool`, `judge`.
        settings: of the rounds that begin from now on.
        entries: what was done, in that order; undone: what was taken back, the last one last.
        waiting: why the rounds stand still, in words; None where nothing is waited for.
        ended: why there is no further round; None while there may be one.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    about: dict[str, Any]
    settings: Settings
    entries: list[Entry] = []
    undone: list[Entry] = []
    waiting: str | None = None
    ended: str | None = None

    @property
    def arms(self) -> list[str]:
        return list(self.about["arms"])

    def find(self, round_: int, step: str, arm: str = MAIN) -> Entry | None:
        """The entry of a step; the control arm begins with what the other began with."""
        arm = MAIN if round_ == 0 else arm
        return next((one for one in self.entries if one.todo == (round_, step, arm)), None)

    def out(self, round_: int, step: str, arm: str = MAIN) -> dict[str, Any]:
        """What came out of a step; empty where it was not done or left out."""
        found = self.find(round_, step, arm)
        return found.out if found else {}

    def last(self, key: str, arm: str = MAIN, before: int | None = None) -> Any:
        """What the latest step of an arm that says something of `key` says; None without one.

        Args:
            before: steps of earlier rounds than this one alone.
        """
        mine = (one for one in reversed(self.entries) if one.arm == (MAIN if one.round == 0 else arm)
                and (before is None or one.round < before) and one.out.get(key) is not None)
        found = next(mine, None)
        return found.out[key] if found else None

    def todo(self) -> Todo | None:
        """The step that comes next; None where all rounds are done."""
        done = {one.todo for one in self.entries}
        for round_ in range(self.settings.rounds + 1):
            for step in BEFORE if round_ == 0 else STEPS:
                for arm in [MAIN] if round_ == 0 else self.arms:
                    if (round_, step, arm) not in done:
                        return None if self.ended and step == "prepare" else Todo(round_, step, arm)
        return None

    @property
    def round(self) -> int:
        """The round that is going on, or the last one."""
        todo = self.todo()
        return todo.round if todo else max((one.round for one in self.entries), default=0)


def now() -> str:
    """The time in ISO form, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def folder_of(name: str, workspace: Path) -> Path:
    """Raises UserError for a name that no folder may have."""
    if not NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: letters, digits, dots, dashes and underscores, at most 61")
    return workspace.resolve() / FOLDER / name


def names(workspace: Path) -> list[str]:
    """The names of what was begun here, the one that was worked at last first."""
    found = (workspace.resolve() / FOLDER).glob("*/state.json")
    return [path.parent.name for path in sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path))]


def write(state: State, workspace: Path) -> None:
    """Write `state.json`, all or nothing."""
    write_json(folder_of(state.name, workspace) / "state.json", state.model_dump(mode="json", by_alias=True))


def read(name: str, workspace: Path) -> State:
    """The state of what is called so.

    Raises:
        UserError: nothing is. DataError: the file is damaged.
    """
    path = folder_of(name, workspace) / "state.json"
    try:
        return State.model_validate(read_json(path))
    except FileNotFoundError:
        raise unknown("no rounds are", name, names(workspace), where=path.parent.parent,
                      otherwise="visionmill improve --data NAME --pool NAME") from None
    except (ValidationError, ValueError) as error:
        raise DataError(f"the journal of the rounds is damaged: {str(error)[:300]}", where=path,
                        mend=f"mend that file, or begin anew with another --name; its versions stay ({name}-…)"
                        ) from None


def stop_file(name: str, workspace: Path) -> Path:
    """While it is there nobody goes on: a person asked for that, maybe while a step was being done."""
    return folder_of(name, workspace) / "stop"


@contextmanager
def held(name: str, workspace: Path) -> Iterator[None]:
    """Held while the rounds go on or are changed.

    Raises:
        WorkspaceBusy: another command works at them.
    """
    folder = folder_of(name, workspace)
    with held_alone(folder / ".lock", lambda holder: WorkspaceBusy(
            f"another command works at the rounds of {name}", where=folder,
            mend="visionmill improve status; visionmill improve stop")):
        yield


def note(state: State, entry: Entry, workspace: Path) -> None:
    """Put a step into the journal. What had been taken back cannot be put back after that."""
    state.entries.append(entry)
    state.undone, state.waiting = [], None
    write(state, workspace)


def undo(state: State, what: Literal["step", "round"], workspace: Path) -> list[Entry]:
    """Take back the last step, of all arms, or the last round; what was made stays, nothing points to it any more.

    Raises:
        UserError: there is nothing to take back.
    """
    if not state.entries:
        raise UserError("there is nothing to take back", where=state.name, mend="visionmill improve begins the rounds")
    last = state.entries[-1]
    taken: list[Entry] = []
    while state.entries and (state.entries[-1].round == last.round) and (
            what == "round" or state.entries[-1].step == last.step):
        taken.append(state.entries.pop())
    state.undone += taken
    state.waiting, state.ended = None, _end_of([one for one in state.entries if one.round == last.round])
    write(state, workspace)
    return taken


def _end_of(entries: list[Entry]) -> str | None:
    return next((one.out["end"] for one in entries if one.out.get("end")), None)


def redo(state: State, what: Literal["step", "round"], workspace: Path) -> list[Entry]:
    """Put back the step, of all arms, that was taken back last, or all that was taken back of its round.

    Raises:
        UserError: nothing was, or other steps were done since.
    """
    if not state.undone:
        raise UserError("there is nothing to put back", where=state.name,
                        mend="visionmill improve does the next step; visionmill improve undo takes back the last one")
    first, back = state.undone[-1], list[Entry]()
    while state.undone and state.undone[-1].round == first.round and (
            what == "round" or state.undone[-1].step == first.step):
        back.append(state.undone.pop())
    state.entries += back
    state.waiting = None
    state.ended = _end_of(back) or state.ended
    write(state, workspace)
    return back


def skip(state: State, step: str, workspace: Path) -> Todo:
    """Leave a step of the round that is going on out, for all arms; the steps after it do without.

    Raises:
        UserError: no such step, one that is done, one that a round needs, or all rounds are done.
    """
    if step not in STEPS:
        raise unknown("no step is", step, STEPS, told="one of:")
    todo = state.todo()
    if todo is None:
        raise UserError("all rounds are done", where=state.name, mend="visionmill improve --rounds MORE")
    steps = BEFORE if todo.round == 0 else STEPS
    arms = [arm for arm in ([MAIN] if todo.round == 0 else state.arms) if not state.find(todo.round, step, arm)]
    if step not in steps or not arms:
        what = "has no such step" if step not in steps else "has done it already"
        raise UserError(f"round {todo.round} {what}: {step}", where=state.name,
                        mend="visionmill improve undo takes back the last one" if step in steps else
                        f"one of: {', '.join(steps)}")
    if step in NEEDED or (todo.round == 0 and step == "train"):
        raise UserError(f"a round is nothing without {step}", where=state.name, mend="visionmill improve stop")
    state.entries += [Entry(round=todo.round, step=step, arm=arm, outcome="skipped", said="left out by a person",
                            when=now()) for arm in arms]
    state.undone = []
    if state.todo() != todo:
        # what was waited for is no longer what comes next
        state.waiting = None
    write(state, workspace)
    return Todo(todo.round, step, MAIN)
