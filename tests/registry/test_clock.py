"""A clock that jumps while something goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.registry import store
from tasks.registry.register import is_registered, register
from tasks.registry.runs import stage_run
from tasks.registry.versions import champion, last_version

from .cases import LINE, write_line

HOUR = 3600.0
Make = Callable[..., Path]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock by seconds; what measures time by `time.monotonic` notices nothing."""
    real, by = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + by[0])

    def set_clock(seconds: float) -> None:
        by[0] += seconds

    return set_clock


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_jump_in_the_middle_of_a_run(make_workspace: Make, jump: Callable[[float], None], seconds: float) -> None:
    workspace = make_workspace()
    with stage_run("train", line=LINE, params={}, record=workspace / "runs/train.json", workspace=workspace) as run:
        run.metrics({"loss": 1.0}, step=0)
        jump(seconds)
        run.metrics({"loss": 0.5}, step=1)
    record = json.loads((workspace / "runs/train.json").read_text())
    told = store.client(workspace).get_run(run.id)
    assert 0 <= record["ended"] - record["started"] < 600_000
    assert (told.info.start_time, told.info.end_time) == (record["started"], record["ended"])
    times = [point["time"] for point in record["metrics"]["loss"]]
    assert times == sorted(times) and record["started"] <= times[0] + 1000 and times[-1] <= record["ended"]
    assert told.data.metrics["loss"] == 0.5


def test_jump_between_a_kill_and_its_resumption(make_workspace: Make, jump: Callable[[float], None]) -> None:
    """The value that was reported last is the one that MLflow shows, though the clock says that it is the older one."""
    workspace = make_workspace()
    where = {"line": LINE, "params": {}, "record": workspace / "runs/train.json", "workspace": workspace}
    with pytest.raises(KeyboardInterrupt), stage_run("train", **where) as first:
        first.metrics({"loss": 0.9}, step=0)
        first.flush()
        raise KeyboardInterrupt
    jump(-HOUR)
    with stage_run("train", resume=first.id, **where) as again:
        again.metrics({"loss": 0.8}, step=0)
    told = store.client(workspace).get_run(again.id)
    assert again.id == first.id and told.data.metrics["loss"] == 0.8
    assert told.info.end_time >= told.info.start_time


def test_jump_between_two_registrations(make_workspace: Make, jump: Callable[[float], None]) -> None:
    """Versions are ordered by their number; no lock and no guard asks the clock."""
    workspace = make_workspace()
    register(workspace)
    jump(-HOUR)
    write_line(workspace, ap=0.6)
    second = register(workspace)
    assert second.version == "2" and second.aliases == ["candidate", "champion"]
    assert last_version(workspace=workspace)["version"] == "2"  # type: ignore[index]
    assert champion(workspace=workspace)["version"] == "2"  # type: ignore[index]
    jump(-HOUR)
    found = is_registered(workspace)
    assert found is not None and found.version == "2"
    assert register(workspace).new is False
