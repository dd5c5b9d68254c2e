"""Rounds to play with: light settings, a desk behind a door, rounds with an oracle and with people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.improving import begin, sets
from tasks.improving.oracle import OracleDesk
from tasks.improving.rounds import Loop, go_on
from tasks.improving.settings import Settings
from tasks.labelling.jobs.desk import Status

from .conftest import QUICK

Shapes = tuple[Store, Version]


def settings(**changes: Any) -> Settings:
    return Settings(train="light", light=QUICK, rounds=1, budget=4, strategy="random", seed=3).model_copy(
        update=changes)


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
    """Six labelled pictures, and a pool whose labels people know; a `Desk` answers."""
    store, truth = shapes
    base, pool, judge = sets.begin_oracle(truth, store, start=6, seed=0, name="mine", owner="me")
    begin.begin_with_people("it", base, pool, judge, settings(**changes), store=store, owner="me", workspace=workspace,
                            control=False, model=None)
    desk = Desk(truth)
    return Loop("it", workspace, store, "me", desk=desk), desk


def run(loop: Loop) -> str | None:
    return go_on(loop, loop.do, lambda text: None)


def up_to(loop: Loop, round_: int, step: str) -> None:
    """Do all that comes before a step."""
    while (todo := loop.todo()) is not None and todo[:2] != (round_, step):
        loop.do(todo)
