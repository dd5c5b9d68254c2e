"""What a step of the rounds works on: the loop, the journal as it is, and the versions that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.store.layout import Store, Version
from tasks.improving.sets import same
from tasks.improving.settings import Settings
from tasks.improving.state import CONTROL, MAIN, State, Todo

if TYPE_CHECKING:
    from tasks.improving.rounds import Loop


class Waiting(Exception):  # noqa: N818 - it is no error
    """The rounds stand still until somebody has done something; the text says who and what."""


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
