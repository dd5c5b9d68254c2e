"""`visionmill improve`: beginning, going on, looking, taking back, and what is refused; once under its real flow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import beginning, improving
from flows.commands import improve
from tasks.base.errors import ParamsError, UserError
from tasks.data.store.layout import Store
from tasks.improving import state as journal
from tasks.improving.rounds import go_on
from tests.improving.conftest import draw_set, drawn  # noqa: F401

TINY = ["--set", "light.steps=2", "light.batch_size=2", "light.laps=1", "light.draws=100", "light.init=scratch",
        "light.warmup=0", "light.model.image_size=64", "light.model.fpn_channels=32", "light.model.head_convs=1"]
BEGIN = ["--data", "shapes", "--oracle", "--start", "6", "--budget", "3", "--strategy", "random"]


@pytest.fixture
def workspace(tmp_path: Path, drawn: tuple[Store, Any], monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A workspace with the set in its store; neither DVC nor Prefect is asked, the flow's loop runs in this process."""
    folder = tmp_path / "cells"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text("register:\n  name: cells\n")
    shutil.copytree(drawn[0].root, tmp_path / "store")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VISIONMILL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.setenv("VISIONMILL_THREADS", "1")
    for module in (improving, beginning):
        monkeypatch.setattr(module, "track", lambda store, version: None)

    def supervised(module: str, options: dict[str, Any], root: Path) -> int:
        assert module == "flows.improve"
        loop = improving.open_loop(root, options["name"])
        go_on(loop, loop.do, print)
        return 0

    monkeypatch.setattr("flows.supervisor.supervise", supervised)
    return folder


def test_begun_done_looked_at_taken_back_and_put_back(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    told = capsys.readouterr().out
    assert "shapes-oracle-start@1 is labelled" in told and "picked    3 pictures by random" in told
    assert "labelled  6 boxes" in told and "all rounds are done" in told
    assert improve.main(["undo", "--round"]) == 0
    assert "next       round 1, prepare" in capsys.readouterr().out
    assert improve.main(["redo"]) == 0
    assert "put back: round 1, prepare" in capsys.readouterr().out
    assert improve.main(["skip", "prelabel"]) == 0
    assert improve.main(["--rounds", "1"]) == 0
    assert "left out: prelabel" in capsys.readouterr().out
    page = workspace / "rounds.html"
    assert improve.main(["status", "--html", str(page)]) == 0
    text = page.read_text()
    assert "shapes-oracle" in text and "http://" not in text.replace("http://www.w3.org", "")
    # the same command again goes on with the same rounds, and there is nothing to do
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    assert len(Store(workspace.parent / "store").of("shapes-oracle-start")) == 1


def test_a_person_can_stop_and_go_on(workspace: Path, capsys: pytest.CaptureFixture[str],
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = journal.note, []

    def note(state: Any, entry: Any, root: Path) -> None:
        real(state, entry, root)
        done.append(entry.step)
        if done == ["prepare"]:
            improve.main(["stop"])

    monkeypatch.setattr(journal, "note", note)
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    assert done == ["prepare"] and "stopped    by a person" in capsys.readouterr().out
    assert improve.main([]) == 0
    assert journal.read("shapes-oracle", workspace).todo() is None


def test_with_wait_it_looks_again_until_the_desk_is_back(workspace: Path, capsys: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.improving.oracle import OracleDesk
    from tasks.labelling.jobs.desk import Status

    looks: list[float] = []

    def status(self: OracleDesk, job: Any) -> Status:
        looks.append(time.monotonic())
        gone = "the server has been down for a day" if len(looks) < 4 else None
        return Status(3, 0 if gone else 3, away=gone)

    monkeypatch.setattr(OracleDesk, "status", status)
    assert improve.main([*BEGIN, "--rounds", "1", "--wait", *TINY, "poll_s=0.01"]) == 0
    assert len(looks) == 4 and journal.read("shapes-oracle", workspace).todo() is None


def test_without_wait_it_says_what_is_waited_for_and_ends_well(workspace: Path, capsys: pytest.CaptureFixture[str],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.improving.oracle import OracleDesk
    from tasks.labelling.jobs.desk import Status

    monkeypatch.setattr(OracleDesk, "status", lambda self, job: Status(3, 1, 1))
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    told = capsys.readouterr().out
    assert "waiting    round 1: 1 of 3 pictures" in told and "visionmill improve skip wait" in told


@pytest.mark.parametrize(("words", "message"), [
    ([], "no rounds were begun here"),
    (["status"], "no rounds were begun here"),
    (["--data", "shapes"], "what may be labelled was not said"),
    (["--data", "shape", "--oracle"], "did you mean 'shapes'"),
    (["--data", "shapes", "--oracle", "--name", "../up"], "--name"),
    (["--data", "shapes", "--oracle", "--train", "line"], "cannot go with --train line"),
    (["--data", "shapes", "--oracle", "--preset", "quik"], "did you mean 'quick'"),
    (["--data", "shapes", "--pool", "shapes"], "are in shapes@1"),
    (["--data", "shapes", "--pool", "shapes", "--control"], "a control arm cannot go with --train line"),
    (["--data", "shapes", "--oracle", "--set", "budget"], "is not KEY=VALUE"),
])
def test_what_is_missing_or_does_not_fit_is_said(workspace: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        improve.main(words)
    assert journal.names(workspace) == []


@pytest.mark.parametrize("change", [["--budget", "0"], ["--set", "lihgt.steps=3"], ["--strategy", "mixd"]])
def test_a_wrong_setting_changes_nothing(workspace: Path, change: list[str]) -> None:
    with pytest.raises(ParamsError):
        improve.main([*BEGIN, *TINY, *change])
    assert journal.names(workspace) == []


def test_outside_a_workspace_an_oracle_makes_one_and_people_are_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="this is no workspace"):
        improve.main([])
    (tmp_path / "bccd-rounds").mkdir()
    (tmp_path / "bccd-rounds/mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty, and is no workspace"):
        improve.main(["--data", "bccd", "--oracle"])
    assert [path.name for path in (tmp_path / "bccd-rounds").iterdir()] == ["mine.txt"]


def test_help_is_quick_to_import() -> None:
    code = "import sys; import flows.commands.improve; print(sorted(m for m in sys.modules if m in " \
           "('torch', 'mlflow', 'prefect', 'duckdb', 'pyarrow', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command in a folder that is no workspace."""
    env = {**os.environ, "VISIONMILL_THREADS": "1", "PREFECT_HOME": str(tmp_path / "prefect"), "DVC_NO_ANALYTICS": "1",
           "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    env.pop("PREFECT_API_URL", None)

    def run(*words: str, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-P", "-m", "flows.cli", "improve", *words], cwd=folder, env=env,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=1500)

    return run


@pytest.mark.slow
def test_the_whole_loop_from_an_empty_folder(tmp_path: Path, outside: Callable[..., subprocess.CompletedProcess[str]]
                                             ) -> None:
    draw_set(tmp_path / "shapes", {"train": 20, "test": 5})
    begin = ["--data", "shapes", "--oracle", "--start", "6", "--budget", "3", "--rounds", "1", "--control", *TINY]
    done = outside(*begin)
    assert done.returncode == 0, done.stdout
    assert "control: picked    3 pictures by random" in done.stdout and "the control: AP50" in done.stdout
    folder = tmp_path / "shapes-rounds"
    again = outside(folder=folder)
    assert again.returncode == 0 and "all rounds are done" in again.stdout
    more = outside("--rounds", "2", folder=folder)
    assert more.returncode == 0 and "round 2 of 2" in more.stdout, more.stdout
    tracked = {path.name for path in (folder / "data/store/versions/shapes-oracle-set").glob("*.dvc")}
    assert tracked == {"1.dvc", "2.dvc"}
    lineage = subprocess.run([sys.executable, "-P", "-m", "flows.cli", "data", "show", "shapes-oracle-set"], cwd=folder,
                             capture_output=True, text=True, timeout=120, check=True).stdout
    assert "shapes-oracle-set@1" in lineage and "shapes-oracle-labelled@2" in lineage
