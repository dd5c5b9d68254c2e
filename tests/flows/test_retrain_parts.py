"""What surrounds a retraining, without Prefect: the branch, the remote, the reasons."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import branching, remote
from flows.line import Line
from flows.reasons import Reason, reasons
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.base.params import read_yaml

DVC = [sys.executable, "-P", "-m", "dvc"]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, an edit, a staged file and an untracked one; git knows no identity."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "line"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name in (*branching.FILES, "other.txt", "code.py"):
        (folder / name).write_text(f"{name} 1\n")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    for name in (*branching.FILES, "other.txt", "code.py"):
        (folder / name).write_text(f"{name} 2\n")
    git(folder, "add", "other.txt")
    (folder / "new.txt").write_text("untracked\n")
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def state(folder: Path) -> list[str]:
    """All that a commit elsewhere must not change."""
    return [git(folder, "status", "--porcelain"), git(folder, "diff"), git(folder, "diff", "--cached"),
            git(folder, "rev-parse", "HEAD"), (folder / ".git/HEAD").read_text()]


def test_a_branch_gets_two_files_and_nothing_else_is_touched(repo: Path) -> None:
    before = state(repo)
    said = branching.record(repo, "retrain/{date}", "retrain: new data")
    branch = f"retrain/{time.strftime('%Y-%m-%d')}"
    assert branch in said and state(repo) == before
    assert git(repo, "diff", "--name-only", "main", branch).split() == ["dvc.lock", "params.yaml"]
    assert git(repo, "show", f"{branch}:dvc.lock") == "dvc.lock 2"
    assert git(repo, "log", "-1", "--format=%an %s", branch) == "visionmill retrain: new data"


def test_a_second_commit_goes_on_top_and_an_equal_one_is_none(repo: Path) -> None:
    branching.record(repo, "kept", "one")
    assert "already" in branching.record(repo, "kept", "again")
    (repo / "dvc.lock").write_text("dvc.lock 3\n")
    before = state(repo)
    branching.record(repo, "kept", "two")
    assert state(repo) == before
    assert git(repo, "log", "--format=%s", "main..kept").splitlines() == ["two", "one"]


def test_what_the_last_commit_has_makes_no_branch(repo: Path) -> None:
    git(repo, "stash", "-q")
    assert "the last commit has" in branching.record(repo, "kept", "one")
    assert git(repo, "branch", "--list", "kept") == ""


def test_a_detached_head_stays_detached(repo: Path) -> None:
    git(repo, "stash", "-q")
    git(repo, "checkout", "-q", "--detach")
    git(repo, "stash", "pop", "-q", "--index")
    before = state(repo)
    branching.record(repo, "kept", "one")
    assert state(repo) == before and git(repo, "show", "kept:params.yaml") == "params.yaml 2"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_branch_that_is_checked_out_is_refused(repo: Path, tmp_path: Path, where: str) -> None:
    if where == "elsewhere":
        git(repo, "branch", "kept")
        git(repo, "worktree", "add", "-q", str(tmp_path / "other"), "kept")
    branch = "main" if where == "here" else "kept"
    before, head = state(repo), git(repo, "rev-parse", branch)
    with pytest.raises(UserError, match="is checked out"):
        branching.record(repo, branch, "one")
    assert state(repo) == before and git(repo, "rev-parse", branch) == head


def test_a_workspace_below_its_repository(repo: Path) -> None:
    inner = repo / "lines/cells"
    inner.mkdir(parents=True)
    for name in branching.FILES:
        (inner / name).write_text("inner\n")
    branching.record(inner, "kept", "one")
    assert git(repo, "diff", "--name-only", "main", "kept").split() == ["lines/cells/dvc.lock",
                                                                        "lines/cells/params.yaml"]


def test_a_repository_without_a_commit(tmp_path: Path, repo: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "-q")
    (fresh / "dvc.lock").write_text("lock\n")
    branching.record(fresh, "kept", "one")
    assert git(fresh, "ls-tree", "--name-only", "kept") == "dvc.lock"


def test_no_repository_and_no_name_are_told(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(UserError, match="no git repository"):
        branching.record(tmp_path / "plain", "kept", "one")
    for wrong in ("two words", "-x", "a..b", "@{-1}"):
        with pytest.raises(UserError, match="no name of a branch"):
            branching.record(repo, wrong, "one")


def test_what_a_person_has_staged_for_another_index_is_not_used(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", str(repo / "nowhere"))
    branching.record(repo, "kept", "one")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(repo, "diff", "--name-only", "main", "kept").split() == ["dvc.lock", "params.yaml"]


@pytest.fixture
def data(repo: Path) -> Path:
    """The same with DVC and one source that the last run has read."""
    subprocess.run([*DVC, "init", "-q"], cwd=repo, check=True)
    (repo / "raw.txt").write_text("one\n")
    subprocess.run([*DVC, "add", "-q", "raw.txt"], cwd=repo, check=True)
    lock(repo, "raw.txt.dvc")
    return repo


def lock(folder: Path, file: str) -> None:
    """As if a run had read the source as it is now."""
    md5 = read_yaml(folder / file)["outs"][0]["md5"]
    write_json(folder / "dvc.lock", {"schema": "2.0", "stages": {"ingest": {"cmd": "x", "deps": [
        {"path": "raw.txt", "hash": "md5", "md5": md5}]}}})
    write_json(folder / "params.yaml", {})


PLAN = Line(["raw.txt.dvc", "ingest"], {})


def test_a_source_is_pulled_where_it_is_missing_or_ahead_alone(data: Path, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=data, check=True)
    assert remote.push(data) == "1 file pushed"
    assert not remote.is_ahead(data, "raw.txt.dvc") and remote.pull(data, PLAN) == []
    (data / "raw.txt").unlink()
    (data / "raw.txt").write_text("one\nmine\n")
    assert not remote.is_ahead(data, "raw.txt.dvc"), "an edit of a person is no pull"
    assert remote.pull(data, PLAN) == [] and (data / "raw.txt").read_text() == "one\nmine\n"
    (data / "raw.txt").unlink()
    shutil.rmtree(data / ".dvc/cache")
    assert remote.pull(data, PLAN) == ["raw.txt.dvc: pulled"]
    assert (data / "raw.txt").read_text() == "one\n"


def test_a_source_that_was_changed_here_and_elsewhere_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=data, check=True)
    file, md5 = data / "raw.txt.dvc", read_yaml(data / "raw.txt.dvc")["outs"][0]["md5"]
    file.write_text(file.read_text().replace(md5, md5[::-1]))
    (data / "raw.txt").unlink()
    (data / "raw.txt").write_text("mine\n")
    with pytest.raises(UserError, match="dvc pull failed"):
        remote.pull(data, PLAN)
    assert (data / "raw.txt").read_text() == "mine\n"


def test_s3_without_credentials_is_an_error_in_words(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for words in (["add", "-q", "-d", "far", "s3://nobody/here"],
                  ["modify", "-q", "far", "endpointurl", "http://127.0.0.1:9"]):
        subprocess.run([*DVC, "remote", *words], cwd=data, check=True)
    with pytest.raises(UserError, match="dvc push failed") as told:
        remote.push(data)
    assert "AWS" in str(told.value.mend) or "credentials" in str(told.value.mend)
    (data / "raw.txt").unlink()
    shutil.rmtree(data / ".dvc/cache")
    with pytest.raises(UserError, match="dvc pull failed") as told:
        remote.pull(data, PLAN)
    assert "--no-pull" in str(told.value.mend)


def ask(folder: Path, stale: dict[str, list[str]], registered: object | None = object(), **more: object) -> list[str]:
    given = {"asked": None, "force": False, "drift": None, **more}
    return [reason.kind for reason in reasons(folder, Line(list(stale), {}, stale), registered, **given)]  # type: ignore[arg-type]


def test_reasons(tmp_path: Path) -> None:
    write_json(tmp_path / "dvc.yaml", {"stages": {"ingest": {"deps": ["data/raw"], "outs": ["data/ingested"]},
                                                  "train": {"deps": ["data/ingested"], "outs": [{"model": {}}]}}})
    assert ask(tmp_path, {}) == []
    assert ask(tmp_path, {}, asked="every night") == [], "a schedule's words are no reason"
    assert ask(tmp_path, {}, registered=None) == ["unregistered"]
    assert ask(tmp_path, {"ingest": ["data/raw changed"]}) == ["new data"]
    assert ask(tmp_path, {"data/raw.dvc": ["data/raw was changed by hand"]}) == ["new data"]
    assert ask(tmp_path, {"checkout": ["data.version cells@1 -> cells@2"]}) == ["new data"]
    assert ask(tmp_path, {"train": ["train.epochs 3 -> 4"], "ingest": ["data/raw changed"]}) == ["new data", "changed"]
    assert ask(tmp_path, {"train": ["data/ingested is missing"]}) == ["changed"]
    assert ask(tmp_path, {}, force=True, asked="new lens") == ["request"]
    assert ask(tmp_path, {"train": ["its code changed"]}, drift="darker") == ["drift", "changed"]
    assert str(Reason("request", "new lens")) == "request: new lens"
