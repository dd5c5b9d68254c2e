"""Two `visionmill up` in two workspaces of one machine, and a worker that is killed alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes import is_alive, marked
from flows.supervisor import workspace_lock
from tests.flows.served import (
    Up,
    call,
    environment_of,
    free_ports,
    make_served_installation,
    pid_below,
    until,
    workspace_site,
)
from tests.flows.toy import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SERVICES = ("prefect", "mlflow", "watch")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, Up]]:
    """Two workspaces, `left` and `right`, whose sites ask for the same ports; each `up` and deployed."""
    installed = make_served_installation(tmp_path_factory.mktemp("served"))
    ports = free_ports(3)
    made = []
    try:
        for name in ("left", "right"):
            folder = tmp_path_factory.mktemp(name)
            toy = Toy(folder / name, installed, folder / "prefect")
            environment_of(toy)
            workspace_site(toy, f"prefect: {{port: {ports[0]}}}\nmlflow: {{port: {ports[1]}}}\n"
                                f"deploy: {{port: {ports[2]}}}\n")
            made.append(Up(toy))
            for words in (["up", "--detach"], ["deploy"]):
                done = toy.run("visionmill", *words, timeout=500)
                assert done.returncode == 0, done.stdout
        yield made[0], made[1]
    finally:
        for up in made:
            up.end()


def ran(up: Up) -> dict[str, list[str]]:
    """Flow runs of a server by flow, with how they ended."""
    runs = call(f"{up.api}/flow_runs/filter", {"sort": "START_TIME_ASC"})
    names = {flow["id"]: flow["name"] for flow in call(f"{up.api}/flows/filter", {})}
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(names[run["flow_id"]], []).append(run["state"]["name"])
    return found


def test_each_has_ports_of_its_own_and_says_which(both: tuple[Up, Up]) -> None:
    left, right = both
    addresses = [up.url(name) for up in both for name in SERVICES]
    assert len(set(addresses)) == 6, addresses
    assert right.log("up").count("is taken: ") == 3 and "is taken" not in left.log("up")
    assert left.ready() and right.ready()
    assert not set(left.below()) & set(right.below())
    for up, other in ((left, right), (right, left)):
        told = up.toy.run("visionmill", "ps").stdout
        assert up.url("prefect") in told and other.url("prefect") not in told


def test_each_runs_its_own_lines_at_the_same_time(both: tuple[Up, Up]) -> None:
    for up in both:
        up.toy.ran()
    runs = [(up, up.start_run(f"produce/{up.toy.path.name}")) for up in both]
    for up, run in runs:
        assert up.wait_for(run, "Completed", "Failed", "Crashed", seconds=300)["type"] == "COMPLETED", up.log("worker")
        assert sorted(up.toy.ran()) == ["evaluate", "export", "ingest", "report", "split", "train"]
        assert set(ran(up)["produce"]) == {"Completed"} and len(ran(up)["produce"]) == 1
        deployed = {one["name"] for one in call(f"{up.api}/deployments/filter", {})}
        assert deployed == {up.toy.path.name}


def test_a_worker_that_is_killed_alone_leaves_a_clean_state(both: tuple[Up, Up]) -> None:
    """Its run is marked as crashed and what it had started is gone; the same run, asked for again, finishes."""
    left, right = both
    slow = left.toy.path / "slow-evaluate"
    slow.write_text("120")
    left.toy.edit("evaluate:\n  words: 3", "evaluate:\n  words: 2")
    keeper = left.state()["worker"]["pid"]
    worker, beside = pid_below(keeper, "worker start"), right.state()["worker"]["pid"]
    run = left.start_run("produce/left")
    until(lambda: "evaluate step 3" in left.log("worker"), 240)
    below = marked(str(left.toy.path))
    assert below
    os.kill(worker, signal.SIGKILL)
    slow.unlink()
    assert left.wait_for(run, "Crashed", "Completed", "Failed", seconds=240)["name"] == "Crashed"
    assert left.run_state(run)["message"] == "its worker died"
    assert not any(is_alive(pid) for pid in below) and marked(str(left.toy.path)) == []
    with workspace_lock(left.toy.path):  # it is free
        assert not (left.toy.path / "evaluate.txt").exists()
    until(left.ready, 240)
    assert "starts again in 1 s (1 of 5)" in left.log("up")
    left.toy.ran()
    again = left.start_run("produce/left")
    ended = left.wait_for(again, "Completed", "Failed", "Crashed", seconds=300)
    assert ended["type"] == "COMPLETED", left.log("worker")
    assert left.toy.ran() == ["evaluate", "report"]
    assert "nothing to do" in left.toy.run("visionmill", "run", "--wait").stdout
    assert right.ready() and right.state()["worker"]["pid"] == beside


def test_ending_one_leaves_the_other(both: tuple[Up, Up]) -> None:
    """The last of this file: it ends one `up`."""
    left, right = both
    pids = {name: right.state()[name]["pid"] for name in (*SERVICES, "worker")}
    done = left.toy.run("visionmill", "down", timeout=300)
    assert done.returncode == 0 and left.below() == [], done.stdout
    assert {name: right.state()[name]["pid"] for name in pids} == pids and right.ready()
    assert all(is_alive(pid) for pid in pids.values())
    (right.toy.path / "split.txt").unlink()
    run = right.start_run("produce/right")
    assert right.wait_for(run, "Completed", "Failed", "Crashed", seconds=300)["type"] == "COMPLETED"
    said = subprocess.run([sys.executable, "-P", "-m", "flows.cli", "ps"], cwd=Path(left.toy.path), env=left.toy.env,
                          text=True, capture_output=True, timeout=120).stdout
    assert "nothing runs here" in said
