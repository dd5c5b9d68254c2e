"""A training that takes no time, and a search of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.search.objective import Entry
from tasks.search.plan import Plan, make_plan
from tasks.search.search import Search
from tasks.search.settings import parse
from tasks.train import Params
from tasks.training.settings import Augment

SPACE = {"train.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
         "train.augment.mosaic": {"type": "float", "low": 0.0, "high": 0.8},
         "train.batch_size": {"type": "categorical", "choices": [4, 8, 16]}}
# what the assertions speak of, whatever the defaults are
BASE = Params(epochs=8, lr=3e-4, batch_size=8, augment=Augment(mosaic=0.3))


class Killed(Exception):
    """Stands for SIGKILL: nothing after it is done."""


class Fake:
    """AP rises with the epochs towards a height that is best at lr 2e-3; a JSON file is its checkpoint.

    Attributes:
        kill: (call, epoch) after which it dies, once; epoch 0 is before the first.
        trained: epochs that were really gone through, one list a call.
    """

    def __init__(self, kill: tuple[int, int] | None = None, error: type[BaseException] = Killed) -> None:
        self.kill, self.error, self.trained = kill, error, []

    def __call__(self, params: Any, work: Path, after_epoch: Callable[[Entry], bool],
                 replay: Callable[[list[Entry]], None]) -> None:
        self.trained.append([])
        if self.kill == (len(self.trained), 0):
            raise self.error
        if params.lr > 9e-3:
            raise FloatingPointError("the loss is nan in epoch 1, step 1: lower train.lr")
        height = 0.9 - 0.2 * abs(math.log10(params.lr / 2e-3)) - 0.1 * params.augment.mosaic
        file = work / "checkpoint.json"
        history = json.loads(file.read_text()) if file.exists() else []
        replay(history)
        while len(history) < params.epochs:
            epoch = len(history) + 1
            history.append({"epoch": epoch, "loss": 1 / epoch, "val_AP": height * epoch / params.epochs})
            self.trained[-1].append(epoch)
            work.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(history))
            if self.kill == (len(self.trained), epoch):
                raise self.error
            if after_epoch(history[-1]):
                return


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a split, nothing tracked."""
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    (tmp_path / "split").mkdir()
    (tmp_path / "split/dataset.json").write_text("{}")
    return tmp_path


@pytest.fixture
def plan_with(workspace: Path) -> Callable[..., Plan]:
    """Makes plans for that split."""

    def make(base: Params = BASE, **changes: Any) -> Plan:
        return make_plan(parse({"space": SPACE, "trials": 8}, "sweep", changes), base, workspace / "split")

    return make


@pytest.fixture
def search(workspace: Path) -> Callable[[Plan, Fake], Search]:
    """Runs what there is to do of a search."""

    def run(plan: Plan, learner: Fake) -> Search:
        with Search(plan, learner, workspace) as opened:
            while (trial := opened.next()) is not None:
                opened.run(trial)
        return opened

    return run
