"""The flow `retrain` on the toy line: reasons, outcomes, telling; and what is not touched."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.flows.retraining import (  # noqa: F401
    DVC,
    Posts,
    git,
    left,
    make_finished,
    make_line,
    make_posts,
    make_retraining,
    new_data,
    site,
)
from tests.flows.toy import Toy


def test_nothing_new_trains_nothing_and_says_why(line: Toy) -> None:
    done = line.run("visionmill", "retrain", "--reason", "the night's")
    assert done.returncode == 0, done.stdout
    assert "nothing new: data, code and parameters are as they were" in done.stdout
    assert line.ran() == [] and left(line)["outcome"] == "nothing new" and left(line)["reasons"] == []
    assert git(line.path, "status", "--porcelain") == ""


def test_new_data_is_the_reason_and_a_version_comes_of_it(line: Toy) -> None:
    new_data(line)
    dry = line.run("visionmill", "retrain", "--dry-run")
    assert dry.returncode == 0 and dry.stdout.startswith("new data: "), dry.stdout
    assert line.ran() == []
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert {"ingest", "train", "report"} <= set(line.ran())
    found = left(line)
    assert found["outcome"] == "registered" and found["version"] == "2"
    assert found["reasons"][0]["kind"] == "new data" and "raw.txt" in found["reasons"][0]["text"]


@pytest.mark.slow
def test_a_changed_parameter_is_no_new_data(line: Toy) -> None:
    line.edit("evaluate:\n  words: 3", "evaluate:\n  words: 4")
    done = line.run("visionmill", "retrain", "--dry-run")
    assert done.stdout.startswith("changed: evaluate: evaluate.words 3 -> 4"), done.stdout


@pytest.mark.slow
def test_force_trains_again_and_keeps_the_words_of_who_asked(line: Toy, prefect_api: str) -> None:
    done = line.run("visionmill", "retrain", "--force", "--reason", "new lens")
    assert done.returncode == 0, done.stdout
    assert line.ran() == ["train"]
    assert left(line)["reasons"] == [{"kind": "request", "text": "new lens"}]
    run = flow_run(left(line)["flow_run"])
    assert run.name == "retrain: request: new lens" and "reason:request" in run.tags


def flow_run(number: str) -> Any:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(number)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_refused_candidate_is_left_and_what_follows_is_done(line: Toy, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=line.path, check=True)
    site(line, retrain={"push": True})
    (line.path / "fail-gate").touch()
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 3, done.stdout
    assert left(line)["outcome"] == "refused" and left(line)["steps"]["push"]["ok"]
    assert any((tmp_path / "remote").rglob("*"))


@pytest.mark.slow
def test_a_failed_stage_is_told_and_nothing_is_pushed(line: Toy, tmp_path: Path, posts: Posts) -> None:
    site(line, retrain={"push": True, "branch": "retrain/{date}"}, remote=str(tmp_path / "remote"),
         notify={"webhooks": [posts.url]})
    (line.path / "fail-train").write_text("1")
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 1, done.stdout
    assert left(line)["outcome"] == "failed" and "push" not in left(line)["steps"]
    assert not (tmp_path / "remote").exists()
    assert [body["event"] for body in posts.seen] == ["failed"] and "train" in posts.seen[0]["text"]


@pytest.mark.slow
def test_a_webhook_that_fails_ends_nothing(line: Toy) -> None:
    site(line, notify={"webhooks": ["http://127.0.0.1:9/nobody"], "timeout_s": 1})
    (line.path / "fail-train").write_text("1")
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 1, done.stdout
    assert "nobody was told" in done.stdout and left(line)["outcome"] == "failed"
