"""`up`, `ps`, `down`, `deploy` and runs by the worker, with the real servers: one `up` for this whole file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.commands import deploy as verb
from flows.processes import is_alive, marked
from tasks.base.errors import UserError
from tests.flows.served import (
    Up,
    call,
    end_session,
    environment_of,
    free_ports,
    make_served_installation,
    picture,
    pid_below,
    stages_of,
    until,
    workspace_site,
)
from tests.flows.toy import ROOT, Toy, make_workspace
from tests.registry.conftest import empty_store, registered  # noqa: F401

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_served_installation(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def up(installed: Path, tmp_path_factory: pytest.TempPathFactory, registered: Path) -> Iterator[Up]:  # noqa: F811
    """A running `up --detach` in the workspace `cells`, deployed; its MLflow serves a store with one version, and the
    port that its site asks for is taken."""
    folder = tmp_path_factory.mktemp("up")
    toy = Toy(folder / "cells", installed, folder / "prefect")
    environment_of(toy)
    toy.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{registered / 'mlflow.db'}"
    made = Up(toy)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], *free_ports(2)]
        workspace_site(toy, f"prefect: {{port: {ports[0]}}}\nmlflow: {{port: {ports[1]}}}\n"
                            f"deploy: {{port: {ports[2]}}}\n")
        try:
            started = toy.run("visionmill", "up", "--detach", timeout=400)
            assert started.returncode == 0, started.stdout
            deployed = toy.run("visionmill", "deploy", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin")
            assert deployed.returncode == 0 and "retrain/cells" in deployed.stdout, deployed.stdout
            yield made
        finally:
            made.end()


@pytest.fixture
def second(up: Up, installed: Path, tmp_path: Path) -> Toy:
    """Another workspace that uses the same Prefect server."""
    toy = Toy(tmp_path / "second", installed, tmp_path / "prefect")
    environment_of(toy)
    toy.env["PREFECT_API_URL"] = up.api
    return toy


def test_a_port_that_is_taken_is_changed_and_said(up: Up) -> None:
    said = up.log("up")
    assert re.search(r"port \d+ is taken: \d+ instead", said), said
    assert f"ready at {up.url('prefect')}" in said and "mlflow  | ready at" in said


def test_ps_tells_how_each_is(up: Up) -> None:
    text = up.toy.run("visionmill", "ps").stdout
    for name in ("prefect", "mlflow", "worker"):
        assert re.search(rf"^{name} +ready +\d+ .* MB$", text, re.MULTILINE), text
    assert re.search(r"^watch +ready", text, re.MULTILINE) and f"watching {up.toy.path}" in up.log("watch")
    assert up.url("mlflow") in text and "GPU slots  0 of 1 in use" in text


def test_servers_listen_on_loopback_alone(up: Up) -> None:
    for name in ("prefect", "mlflow"):
        assert up.url(name).startswith("http://127.0.0.1:")
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{int(up.url(name).rsplit(':', 1)[1]):04X}" in listening


def test_secrets_of_the_server_are_the_owners_alone(up: Up) -> None:
    key = up.toy.path / ".visionmill/hook-key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_text()) == 44
    for pid in up.below():
        assert key.read_text() not in Path(f"/proc/{pid}/cmdline").read_text()


def test_a_second_up_says_which_one_runs(up: Up) -> None:
    for words in (["up"], ["up", "--detach"]):
        done = up.toy.run("visionmill", *words)
        assert done.returncode == 2 and f"PID {up.state()['up']['pid']}" in done.stdout, done.stdout
        assert up.url("prefect") in done.stdout and "visionmill down" in done.stdout


@pytest.fixture
def deploy(up: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`visionmill deploy` in this process, which has imported Prefect once."""
    monkeypatch.chdir(up.toy.path)
    for name in ("PREFECT_API_URL", "VISIONMILL_SITE", "VISIONMILL_MIRROR", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("VISIONMILL_MIRROR", "MLFLOW_TRACKING_URI"):
        if name in up.toy.env:
            monkeypatch.setenv(name, up.toy.env[name])

    def run(*words: str) -> str:
        assert verb.main(list(words)) == 0
        return capsys.readouterr().out

    return run


def test_deploying_again_changes_nothing(up: Up, deploy: Callable[..., str]) -> None:
    kept = ("id", "updated", "parameters", "tags", "schedules", "job_variables", "entrypoint", "work_queue_name")

    def deployed() -> list[dict]:
        return [{key: one[key] for key in kept} for one in call(f"{up.api}/deployments/filter", {})]

    before = deployed()
    assert deploy("--cron", "0 2 * * *", "--timezone", "Europe/Berlin").count("unchanged") == 5
    assert deploy().count("unchanged") == 5
    assert deployed() == before
    assert {one["work_queue_name"] for one in before} == {"cells", "cells-beside"}
    told = {one["job_variables"]["working_dir"] for one in before}
    assert told == {str(up.toy.path)}


def test_pause_resume_and_list(deploy: Callable[..., str]) -> None:
    assert "cron '0 2 * * *' (Europe/Berlin)" in deploy("--list") and "PAUSED" not in deploy("--list")
    deploy("--pause")
    assert deploy("--list").count("PAUSED") == 5 and "next none" in deploy("--list")
    deploy("--resume")
    assert "PAUSED" not in deploy("--list")


def test_another_workspace_of_the_same_name_is_refused(up: Up, deploy: Callable[..., str], tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", up.api)
    monkeypatch.chdir(make_workspace(tmp_path / "cells"))
    with pytest.raises(UserError, match="another workspace") as raised:
        deploy()
    assert str(up.toy.path) in str(raised.value) and "register:" in str(raised.value)


def test_a_stage_by_rest_then_the_whole_line_by_the_worker(up: Up) -> None:
    up.toy.ran()
    one = up.start_run("stage/cells", name="ingest")
    assert up.wait_for(one, "Completed", "Failed", "Crashed")["message"] == "ingest: ran"
    assert up.toy.ran() == ["ingest"]
    line, wrong = up.start_run("produce/cells"), up.start_run("stage/cells", name="trian")
    assert up.wait_for(line, "Completed", "Failed", "Crashed")["type"] == "COMPLETED", up.log("worker")
    assert up.toy.ran() == ["split", "train", "export", "evaluate", "report"]
    refused = up.wait_for(wrong, "Completed", "Failed", "Crashed")
    assert refused["type"] == "FAILED" and "did you mean 'train'?" in refused["message"]
    assert "nothing to do" in up.toy.run("visionmill", "run", "--wait").stdout


def test_a_cancelled_run_leaves_nothing(up: Up) -> None:
    slow = up.toy.path / "slow-split"
    slow.write_text("60")
    (up.toy.path / "split.txt").unlink()
    up.toy.edit("split:\n  words: 3", "split:\n  words: 2")
    try:
        run = up.start_run("stage/cells", name="split")
        until(lambda: "split step 3" in up.log("worker"))
        assert marked(str(up.toy.path))
        up.cancel(run)
        up.wait_for(run, "Cancelled", seconds=60)
        until(lambda: not marked(str(up.toy.path)), 30)
    finally:
        slow.unlink()
        up.toy.edit("split:\n  words: 2", "split:\n  words: 3")
    assert up.toy.run("visionmill", "run", "--wait").returncode == 0


def test_a_run_waits_for_a_persons_run_and_says_so(up: Up, second: Toy) -> None:
    """Both work in one workspace; another workspace's run goes on beside them."""
    up.toy.ran()
    (up.toy.path / "slow-train").write_text("4")
    up.toy.edit("train:\n  words: 3", "train:\n  words: 4")
    assert second.run("visionmill", "deploy").returncode == 0
    person = up.toy.start("visionmill", "run", "--wait")
    try:
        until(lambda: (up.toy.path / ".visionmill/lock").read_text())
        waits = up.start_run("produce/cells")
        beside, other = up.start_run("promotion/cells"), up.start_run("produce/second")
        state = up.wait_for(waits, "WaitingForWorkspace", "Completed")
        assert state["type"] == "PENDING" and f"PID {person.pid}" in state["message"], state
        assert "WaitingForWorkspace" in up.toy.run("visionmill", "ps").stdout
        text, _ = person.communicate(timeout=180)
        assert person.returncode == 0, text
    finally:
        person.kill()
        (up.toy.path / "slow-train").unlink()
    for run in (waits, beside, other):
        assert up.wait_for(run, "Completed", "Failed", "Crashed")["type"] == "COMPLETED", up.log("worker")
    # once, by the person: the run that waited found nothing to do
    assert (up.toy.path / "ran.log").read_text().split().count("train") == 1
    runs = call(f"{up.api}/flow_runs/filter", {"flow_runs": {"name": {"any_": ["produce"]}}})
    assert all(run["state"]["type"] == "COMPLETED" for run in runs)


@pytest.mark.slow
def test_with_all_gpu_slots_taken_a_run_waits_in_sight(up: Up, second: Toy) -> None:
    limit = call(f"{up.api}/v2/concurrency_limits/tag:gpu")
    held = call(f"{up.api}/v2/concurrency_limits/increment-with-lease",
                {"names": ["tag:gpu"], "slots": limit["limit"], "lease_duration": 600})
    waiting = second.start("visionmill", "run", "--wait")
    try:
        until(lambda: "AwaitingGpuSlot" in second.run("visionmill", "ps").stdout)
        assert "1 of 1 in use" in second.run("visionmill", "ps").stdout
        assert (second.path / "ran.log").read_text().split() == ["ingest", "split"]
        call(f"{up.api}/v2/concurrency_limits/decrement-with-lease", {"lease_id": held["lease_id"]})
        text, _ = waiting.communicate(timeout=180)
        assert waiting.returncode == 0 and "train        : waits for a GPU slot" in text, text
    finally:
        waiting.kill()


def test_examples_of_the_documentation_run(up: Up, tmp_path: Path) -> None:
    """Each fenced example of docs/rest.md, with the addresses of this `up`."""
    text = (ROOT / "docs/rest.md").read_text()
    model_port = free_ports(1)[0]
    for stated, real in (("http://127.0.0.1:4200", up.url("prefect")), ("http://127.0.0.1:5000", up.url("mlflow")),
                         ("-p 5001", f"-p {model_port}"), ("127.0.0.1:5001", f"127.0.0.1:{model_port}")):
        assert stated in text
        text = text.replace(stated, real)
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks].count("sh") >= 4 and [kind for kind, _ in blocks].count("python") >= 2
    picture(tmp_path / "picture.png")
    for kind, code in blocks:
        words = ["bash", "-euo", "pipefail", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
        env = {name: value for name, value in up.toy.env.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
        process = subprocess.Popen(words, cwd=tmp_path, env=env, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            end_session(process.pid)
        assert process.returncode == 0, f"{code}\n{said}"
        assert "boxes" in said or "invocations" not in code, said


@pytest.mark.slow
def test_a_killed_server_comes_back_and_a_run_goes_on(up: Up) -> None:
    """A person's run, whose server is killed in the middle."""
    api = up.api
    (up.toy.path / "slow-split").write_text("3")
    up.toy.edit("split:\n  words: 3", "split:\n  words: 1")
    run = up.toy.start("visionmill", "run", "--wait")
    try:
        until(lambda: (up.toy.path / ".visionmill/receipts").exists() and "split" in str(stages_of(up.toy)))
        os.kill(pid_below(up.state()["prefect"]["pid"], "prefect"), signal.SIGKILL)
        text, _ = run.communicate(timeout=300)
        assert run.returncode == 0, text
    finally:
        run.kill()
        (up.toy.path / "slow-split").unlink()
    until(up.ready, 240)
    assert up.api == api and "starts again in 1 s (1 of 5)" in up.log("up")


def test_nothing_outlives_a_killed_up_and_the_next_buries_its_runs(up: Up) -> None:
    """The last of this file: it ends the `up`."""
    (up.toy.path / "slow-evaluate").write_text("60")
    up.toy.edit("evaluate:\n  words: 3", "evaluate:\n  words: 1")
    run = up.start_run("produce/cells")
    until(lambda: "evaluate step 3" in up.log("worker"))
    pids = up.below()
    os.kill(up.state()["up"]["pid"], signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in pids) and not up.below(), 60)
    assert marked(str(up.toy.path)) == []
    done = up.toy.run("visionmill", "ps")
    assert "nothing runs here" in done.stdout, done.stdout
    started = up.toy.run("visionmill", "up", "--detach", timeout=400)
    assert started.returncode == 0, started.stdout
    assert up.run_state(run)["name"] == "Crashed"
    pids = up.below()
    ended = up.toy.run("visionmill", "down")
    assert ended.returncode == 0 and "ended" in ended.stdout, ended.stdout
    assert not any(is_alive(pid) for pid in pids) and not up.state()
    assert "nothing runs here" in up.toy.run("visionmill", "down").stdout
