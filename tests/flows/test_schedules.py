"""Cron lines, intervals, time zones; and the verbs of the services where nothing runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import processes
from flows.commands import deploy, down, ps
from flows.services import known, schedules
from flows.services.log import Log, Terminal, tail
from flows.services.plan import make_plan
from tasks.base.errors import ParamsError, UserError, VisionmillError
from tasks.base.site import read_site
from tests.flows.toy import make_workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("schedules") / "cells")


@pytest.fixture
def workspace(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "VISIONMILL_SITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize(("line", "why"), [
    ("61 2 * * *", "minute: 61 is not in 0-59"),
    ("0 24 * * *", "hour: 24 is not in 0-23"),
    ("0 2 0 * *", "day of the month: 0 is not in 1-31"),
    ("0 2 * 13 *", "month: 13 is not in 1-12"),
    ("0 2 * * 8", "day of the week: 8 is not in 0-7"),
    ("0 2 * * mo", "'mo' is no number and no name"),
    ("x * * * *", "minute: 'x' is no number"),
    ("0 9-5 * * *", "'9-5' runs backwards"),
    ("*/0 * * * *", "a step of 0"),
    ("*/90 * * * *", "a step of 90"),
    ("0 2 * * *; rm -rf /", "it has 8 fields"),
    ("0 2 * *", "it has 4 fields instead of 5"),
    ("0 0 2 * * *", "it has 6 fields instead of 5"),
    ("", "it has 0 fields"),
    ("0,, 2 * * *", "'' is neither"),
    ("0 0 31 feb *", "it would never come"),
    ("0 0 31 4,6,9,11 *", "it would never come"),
])
def test_a_wrong_cron_line_is_refused_with_its_field(line: str, why: str) -> None:
    with pytest.raises(UserError) as raised:
        schedules.cron(line)
    assert why in raised.value.what and "'0 2 * * *' is every night at two" in str(raised.value)


@pytest.mark.parametrize("line", ["0 2 * * *", "*/15 * * * *", "0 9-17/2 * * mon-fri", "0 0 29 2 *", "@daily",
                                  "5 4 1,15 * *", "0 0 31 * 1", "0 0 * JAN,Jul 7", "10/20 * * * *", "0 0 31 */2 *"])
def test_a_right_cron_line_is_one_to_prefect_too(line: str) -> None:
    made = schedules.cron(line, "Europe/Berlin").as_prefect()
    assert made.timezone == "Europe/Berlin" and len(made.cron.split()) == 5


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("30m", 1800), ("6h", 21_600), ("1d", 86_400)])
def test_intervals(text: str, seconds: int) -> None:
    assert schedules.interval(text).as_prefect().interval.total_seconds() == seconds


@pytest.mark.parametrize(("text", "why"), [
    ("5s", "shorter than a minute"), ("soon", "is no time"), ("-3h", "is no time"), ("3 fortnights", "is no time")])
def test_wrong_intervals(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        schedules.interval(text)


def test_a_wrong_time_zone_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'Europe/Berlin'"):
        schedules.zone_of("Europe/Berln")
    for name in ("../../etc/passwd", ""):
        with pytest.raises(UserError, match="no time zone"):
            schedules.zone_of(name)
    assert schedules.zone_of(None)


@pytest.mark.parametrize(("words", "why"), [
    (["--cron", "0 2 * * *", "--interval", "6h"], "both say when"),
    (["--pause", "--cron", "0 2 * * *"], "changes no schedule"),
    (["--cron", "0 2 * *"], "--cron '0 2 \\* \\*' is no cron line"),
    (["--nightly", "99 2 * * *"], "--nightly '99 2 \\* \\* \\*' is no cron line"),
])
def test_what_is_refused_before_a_server_is_asked(workspace: Path, words: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        deploy.main(words)


def test_without_a_server_the_command_that_starts_it_is_named(workspace: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="visionmill up"):
        deploy.main(["--cron", "0 2 * * *"])
    assert ps.main([]) == 0 and "nothing runs here" in capsys.readouterr().out
    assert down.main([]) == 0 and "nothing runs here" in capsys.readouterr().out
    assert known.prefect_api(workspace) is None and known.url_of("mlflow", workspace) is None


def test_a_server_that_is_away_is_named_before_anything_starts(workspace: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.supervisor import supervise

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(UserError, match="does not answer") as raised:
        supervise("flows.produce", {}, workspace)
    assert "http://127.0.0.1:9/api" in str(raised.value) and "unset PREFECT_API_URL" in str(raised.value)


def test_a_server_that_went_away_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    from flows.services import away

    caused = RuntimeError("no slot")
    caused.__cause__ = httpx.ConnectError("All connection attempts failed")
    assert away.is_away(caused) and not away.is_away(RuntimeError("a bug"))
    monkeypatch.setattr(away, "_api", lambda: "http://127.0.0.1:9/api")
    with pytest.raises(VisionmillError, match="went away in the middle") as raised:
        away.wait(0.1)
    assert raised.value.exit_code == 1 and "visionmill up" in str(raised.value)


def test_a_note_of_a_killed_up_or_of_another_folder_does_not_count(workspace: Path, tmp_path: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        alive = {"pid": sleeper.pid, "born": processes.born(sleeper.pid), "state": "ready", "url": "http://x"}
        note = {"up": {**alive, "workspace": str(workspace)}, "prefect": alive}
        known.remember(note, workspace)
        assert known.url_of("prefect", workspace) == "http://x"
        known.remember(note, tmp_path)
        assert known.url_of("prefect", tmp_path) is None
        note["up"] = {**note["up"], "born": 1}
        known.remember(note, workspace)
        assert known.url_of("prefect", workspace) is None
    finally:
        sleeper.kill()
        sleeper.wait()
        (workspace / ".visionmill/services.json").unlink()


def test_what_is_elsewhere_is_not_started(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:10")
    plan = make_plan(workspace, read_site(workspace))
    assert {service.name for service in plan.services} <= {"worker", "watch"}
    assert plan.elsewhere["prefect"] == ("http://127.0.0.1:9/api", "http://127.0.0.1:9/api/health")
    assert plan.elsewhere["mlflow"] == ("http://127.0.0.1:10", "http://127.0.0.1:10/health")


def test_a_password_is_not_on_a_command_line(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mill:hidden@127.0.0.1/mlflow")
    services = {service.name: service for service in make_plan(workspace, read_site(workspace)).services}
    assert "hidden" not in " ".join(services["mlflow"].command(5000))
    assert "hidden" in services["mlflow"].env(5000)["MLFLOW_BACKEND_STORE_URI"]


def test_an_unknown_site_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_SITE", "tema")
    with pytest.raises((UserError, ParamsError)):
        deploy.main(["--list"])


def test_a_keeper_ends_all_below_it_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A service whose child ignores SIGTERM and has left its session."""
    stubborn = ("import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                "open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
    service = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {stubborn!r}]); time.sleep(60)"
    parent = ("import json, subprocess, sys, time; from flows import processes; "
              f"subprocess.Popen(processes.kept([sys.executable, '-c', {service!r}], 0.5)); time.sleep(60)")
    started = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        below = processes.descendants(started.pid)
        assert int((tmp_path / "pid").read_text()) in below
    finally:
        started.kill()
        started.wait()
    while any(processes.is_alive(pid) for pid in below):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_log_keeps_lines_and_colours_only_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log("mlflow", tmp_path / "logs/mlflow.log", Terminal())
    for number in range(20):
        log.write(f"line {number}")
    log.write("   ")
    log.write('127.0.0.1 - "GET /health HTTP/1.1" 200 OK')
    assert tail(log.path, 2) == ["line 18", "line 19"] and tail(tmp_path / "none") == []
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "mlflow  | line 0" and "\x1b" not in said


def test_a_flow_run_of_a_run_goes_on_in_the_workspace_that_it_holds(workspace: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.supervisor import workspace_lock

    with workspace_lock(workspace):
        monkeypatch.setenv(processes.MARK, str(workspace))
        with workspace_lock(workspace):
            held = (workspace / ".visionmill/lock").read_text()
    assert held.startswith("PID ") and json.dumps(held)
