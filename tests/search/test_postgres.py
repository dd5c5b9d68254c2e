"""Sweeps in PostgreSQL: the same trials as in a journal file, several workers, workers and servers that die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.search import study as store
from tasks.search.plan import Plan, folder_of
from tasks.search.search import Search
from tests.search.conftest import Fake, Killed
from tests.servers import PASSWORD, Server, make_database, postgres

Run = Callable[[Plan, Fake], Search]
WORKER = """
import sys, time
from pathlib import Path
from tasks.search.search import Search
from tests.search.conftest import BASE, SPACE, Fake
from tasks.search.plan import make_plan
from tasks.search.settings import parse
class Slow(Fake):
    def __call__(self, params, work, after_epoch, replay):
        super().__call__(params, work, lambda entry: (time.sleep(float(sys.argv[3])), after_epoch(entry))[1], replay)
workspace = Path(sys.argv[1])
plan = make_plan(parse({"space": SPACE, "trials": 8}, "sweep", {}), BASE, workspace / "split")
with Search(plan, Slow(), workspace) as opened:
    while (trial := opened.next()) is not None:
        print("begins", trial.number, flush=True)
        opened.run(trial)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Server, str]]:
    with postgres() as running:
        yield running


@pytest.fixture
def database(server: tuple[Server, str], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of its own, which the workspace's site names; the password comes from the environment."""
    address = make_database(server[1], workspace.name)
    (workspace / "conf/site").mkdir(parents=True)
    text = address.replace(PASSWORD, "${SWEEP_PASSWORD}")
    (workspace / "conf/site/db.yaml").write_text(f"optuna: {text}\n")
    monkeypatch.setenv("SWEEP_PASSWORD", PASSWORD)
    monkeypatch.setenv("VISIONMILL_SITE", "db")
    return address


def values(search: Search) -> list[tuple]:
    return [(t.number, t.state.name, t.value, t.params, t.intermediate_values) for t in store.finished(search.study)]


def test_the_same_trials_as_in_a_journal(plan_with: Callable[..., Plan], search: Run, database: str, workspace: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with(startup_trials=2, epochs={"min_resource": 1})
    in_database = values(search(plan, Fake()))
    assert not (folder_of(plan, workspace) / store.JOURNAL).exists()
    monkeypatch.setenv("VISIONMILL_SITE", "local")
    assert values(search(plan, Fake())) == in_database and len(in_database) == 8


def test_a_killed_search_goes_on_as_an_undisturbed_one(plan_with: Callable[..., Plan], search: Run, database: str,
                                                       workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with(startup_trials=2)
    with pytest.raises(Killed):
        search(plan, Fake(kill=(4, 2)))
    found = values(search(plan, Fake()))
    monkeypatch.setenv("VISIONMILL_SITE", "local")
    assert found == values(search(plan, Fake()))


def worker(workspace: Path, seconds: float) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(p) for p in (Path(__file__).resolve().parents[2], os.environ.get("PYTHONPATH", "")) if p)
    return subprocess.Popen([sys.executable, "-c", WORKER, str(workspace), "-", str(seconds)], text=True,
                            env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_workers_share_a_study_and_one_dies(plan_with: Callable[..., Plan], database: str, workspace: Path) -> None:
    first, second = worker(workspace, 0.1), worker(workspace, 0.1)
    try:
        told = first.stdout.readline()  # type: ignore[union-attr]
        assert told.startswith("begins"), told + first.stdout.read()  # type: ignore[union-attr]
        time.sleep(0.3)
        first.send_signal(signal.SIGKILL)
        text, _ = second.communicate(timeout=120)
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    assert second.returncode == 0, text
    begun = [int(line.split()[1]) for line in text.splitlines() if line.startswith("begins")]
    lost = int(told.split()[1])
    assert lost in begun and sorted(set(begun)) == sorted(begun), "the dead worker's trial is taken up, none twice"
    study = store.load_study((plan := plan_with()).name, folder_of(plan, workspace))
    assert [(t.number, t.state.is_finished()) for t in study.get_trials()] == [(n, True) for n in range(8)]


@pytest.mark.slow
def test_two_workers_at_once_make_no_trial_too_many(plan_with: Callable[..., Plan], database: str,
                                                    workspace: Path) -> None:
    both = [worker(workspace, 0.02), worker(workspace, 0.02)]
    try:
        texts = [process.communicate(timeout=120)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], texts
    begun = sorted(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("begins"))
    assert begun == list(range(8))


def test_database_that_restarts_between_two_trials(plan_with: Callable[..., Plan], search: Run, database: str,
                                                   server: tuple[Server, str], workspace: Path) -> None:
    plan = plan_with(trials=4)
    with Search(plan, Fake(), workspace) as opened:
        opened.run(opened.next())  # type: ignore[arg-type]
        server[0].kill()
        with pytest.raises(UserError, match="cannot be reached") as caught:
            opened.next()
        assert PASSWORD not in str(caught.value) and "docs/team.md" in str(caught.value)
        server[0].start()
        while (trial := opened.next()) is not None:
            opened.run(trial)
    assert [t.number for t in store.finished(opened.study)] == [0, 1, 2, 3]


def test_password_stays_in_the_environment(plan_with: Callable[..., Plan], search: Run, database: str,
                                           workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    search(plan_with(trials=2), Fake())
    with contextlib.suppress(OSError):
        written = [p for p in workspace.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()]
    assert written == [] and PASSWORD not in "".join(capfd.readouterr())
