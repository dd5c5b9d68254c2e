"""The flow `retrain` on the toy line: reasons, pulling, pushing, the branch, telling; and what is not touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from flows.workspace import note
from tests.flows.toy import ROOT, Toy, make_installation

DVC = [sys.executable, "-P", "-m", "dvc"]


@pytest.fixture(scope="module")
def retraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's stages and registry, and beside them all of `tasks/` that drift and telling need."""
    folder = make_installation(tmp_path_factory.mktemp("retraining"))
    for path in (ROOT / "tasks").rglob("*.py"):
        to = folder / path.relative_to(ROOT)
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    # the toy's own has no more than the status needs
    shutil.copy(ROOT / "tasks/registry/versions.py", folder / "tasks/registry/versions.py")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, retraining: Path, prefect_home: Path, prefect_api: str) -> Path:
    """A toy line that has run and is registered, committed, its source tracked by DVC."""
    toy = Toy(tmp_path_factory.mktemp("finished") / "line", retraining, prefect_home)
    toy.env |= {"PREFECT_API_URL": prefect_api}
    subprocess.run([*DVC, "add", "-q", "raw.txt"], cwd=toy.path, check=True)
    done = toy.run("visionmill", "run")
    assert done.returncode == 0, done.stdout
    git(toy.path, "add", "-A")
    git(toy.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "the line")
    toy.ran()
    return toy.path


@pytest.fixture
def line(tmp_path: Path, finished: Path, retraining: Path, prefect_home: Path, prefect_api: str) -> Toy:
    """A copy of it; no remote, no site of its own."""
    toy = Toy(tmp_path / "made", retraining, prefect_home)
    shutil.rmtree(toy.path)
    toy.path = Path(shutil.copytree(finished, tmp_path / "line", symlinks=True))
    toy.env |= {"PREFECT_API_URL": prefect_api, "VISIONMILL_TRACKING": "off", "HOME": str(tmp_path),
                "AWS_EC2_METADATA_DISABLED": "true", "GIT_CONFIG_NOSYSTEM": "1"}
    toy.env.pop("VISIONMILL_SITE", None)
    return toy


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def site(toy: Toy, **sections: Any) -> None:
    """A site of the workspace's own; JSON is YAML."""
    path = toy.path / "conf/site/local.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sections))


def new_data(toy: Toy) -> None:
    (toy.path / "raw.txt").unlink()  # it may be a link into the cache
    (toy.path / "raw.txt").write_text("seven eight nine ten\n")


def left(toy: Toy) -> dict[str, Any]:
    return note("last_retrain", toy.path)


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
def test_data_go_to_the_sites_folder_where_dvc_has_no_remote(line: Toy, tmp_path: Path) -> None:
    site(line, retrain={"push": True}, remote=str(tmp_path / "remote"))
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert left(line)["steps"]["push"]["ok"] and any((tmp_path / "remote").rglob("*"))


@pytest.mark.slow
def test_what_is_missing_comes_from_the_remote(line: Toy, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=line.path, check=True)
    subprocess.run([*DVC, "push", "-q"], cwd=line.path, check=True)
    shutil.rmtree(line.path / ".dvc/cache")
    for name in ("raw.txt", "ingest.txt"):
        (line.path / name).unlink()
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert line.ran() == [] and (line.path / "ingest.txt").exists() and (line.path / "raw.txt").exists()


@pytest.mark.slow
def test_a_remote_without_credentials_says_what_to_do(line: Toy) -> None:
    for words in (["add", "-q", "-d", "far", "s3://nobody/here"],
                  ["modify", "-q", "far", "endpointurl", "http://127.0.0.1:9"]):
        subprocess.run([*DVC, "remote", *words], cwd=line.path, check=True)
    for name in [name for name in line.env if name.startswith("AWS_")]:
        line.env.pop(name)
    line.env["AWS_EC2_METADATA_DISABLED"] = "true"
    (line.path / "ingest.txt").unlink()
    shutil.rmtree(line.path / ".dvc/cache/files")
    done = line.run("visionmill", "retrain")
    assert done.returncode == 2, done.stdout
    assert "dvc pull failed" in done.stdout and "--no-pull" in done.stdout and "Traceback" not in done.stdout
    assert left(line)["outcome"] == "failed" and not left(line)["steps"]["pull"]["ok"]
    site(line, retrain={"push": True})
    done = line.run("visionmill", "retrain", "--no-pull")
    assert done.returncode == 0, done.stdout
    assert "ingest" in line.ran() and (line.path / "ingest.txt").exists()
    assert not left(line)["steps"]["push"]["ok"] and left(line)["version"]


@pytest.mark.slow
def test_a_source_that_git_brought_is_not_taken_for_an_edit(line: Toy, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=line.path, check=True)
    old = (line.path / "raw.txt.dvc").read_text()
    new_data(line)
    subprocess.run([*DVC, "add", "-q", "raw.txt"], cwd=line.path, check=True)
    subprocess.run([*DVC, "push", "-q", "raw.txt"], cwd=line.path, check=True)
    ahead = (line.path / "raw.txt.dvc").read_text()
    (line.path / "raw.txt.dvc").write_text(old)
    subprocess.run([*DVC, "checkout", "-q", "-f", "raw.txt"], cwd=line.path, check=True)
    (line.path / "raw.txt.dvc").write_text(ahead)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert (line.path / "raw.txt").read_text().startswith("seven")
    assert (line.path / "raw.txt.dvc").read_text() == ahead
    assert left(line)["reasons"][0]["kind"] == "new data"


@pytest.mark.slow
def test_a_webhook_that_fails_ends_nothing(line: Toy) -> None:
    site(line, notify={"webhooks": ["http://127.0.0.1:9/nobody"], "timeout_s": 1})
    (line.path / "fail-train").write_text("1")
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 1, done.stdout
    assert "nobody was told" in done.stdout and left(line)["outcome"] == "failed"


@pytest.mark.slow
def test_drift_asks_for_labels_once(line: Toy, posts: Posts, tmp_path: Path) -> None:
    incoming(line, tmp_path)
    site(line, retrain={"incoming": str(tmp_path / "incoming"), "on_drift": "label"}, notify={"webhooks": [posts.url]})
    for told in (["drift"], []):
        posts.seen.clear()
        done = line.run("visionmill", "retrain")
        assert done.returncode == 0, done.stdout
        assert left(line)["drift"] == "drift", done.stdout
        assert line.ran() == [] and left(line)["outcome"] == "nothing new"
        assert [body["event"] for body in posts.seen] == told
    assert (line.path / ".visionmill/drift/last.html").exists()


@pytest.mark.slow
def test_drift_retrains_once(line: Toy, tmp_path: Path) -> None:
    incoming(line, tmp_path)
    site(line, retrain={"incoming": str(tmp_path / "incoming"), "on_drift": "retrain"})
    for ran in (["train"], []):
        done = line.run("visionmill", "retrain")
        assert done.returncode == 0, done.stdout
        assert line.ran() == ran, done.stdout
        assert [reason["kind"] for reason in left(line)["reasons"]] == (["drift"] if ran else [])


@pytest.mark.slow
def test_an_incoming_folder_that_is_not_there_stops_nothing(line: Toy, tmp_path: Path) -> None:
    site(line, retrain={"incoming": str(tmp_path / "nowhere")})
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert not left(line)["steps"]["drift"]["ok"] and left(line)["outcome"] == "registered"


@pytest.mark.slow
def test_the_night_looks_and_trains_nothing(line: Toy, tmp_path: Path, posts: Posts) -> None:
    incoming(line, tmp_path)
    site(line, retrain={"incoming": str(tmp_path / "incoming")}, notify={"webhooks": [posts.url]})
    done = subprocess.run([sys.executable, "-P", "-m", "flows.nightly"], cwd=line.path, env=line.env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "there is no champion yet" in done.stdout and [body["event"] for body in posts.seen] == ["drift"]
    assert line.ran() == [] and left(line)["told_of"]


def incoming(toy: Toy, tmp_path: Path) -> None:
    """A dataset of dark pictures as the line's, and a folder of bright ones."""
    from tests.drift.pictures import write_dataset, write_pictures

    write_dataset(toy.path / "data/split", toy.path / "data/raw", 60, np.random.default_rng(0))
    write_pictures(tmp_path / "incoming", 40, np.random.default_rng(1), light=70)


@pytest.fixture
def posts() -> Iterator[Posts]:
    with Posts() as server:
        yield server


class Posts:
    """A webhook that keeps what it gets."""

    def __enter__(self) -> Posts:
        self.seen: list[dict[str, Any]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.shutdown()
        self.server.server_close()
