"""The flow `retrain` and where data come from and go to: remotes, sources, pictures that drift."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.flows.retraining import (  # noqa: F401
    DVC,
    Posts,
    left,
    make_finished,
    make_line,
    make_posts,
    make_retraining,
    new_data,
    site,
)
from tests.flows.toy import Toy

pytestmark = pytest.mark.slow


def test_data_go_to_the_sites_folder_where_dvc_has_no_remote(line: Toy, tmp_path: Path) -> None:
    site(line, retrain={"push": True}, remote=str(tmp_path / "remote"))
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert left(line)["steps"]["push"]["ok"] and any((tmp_path / "remote").rglob("*"))


def test_what_is_missing_comes_from_the_remote(line: Toy, tmp_path: Path) -> None:
    subprocess.run([*DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=line.path, check=True)
    subprocess.run([*DVC, "push", "-q"], cwd=line.path, check=True)
    shutil.rmtree(line.path / ".dvc/cache")
    for name in ("raw.txt", "ingest.txt"):
        (line.path / name).unlink()
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert line.ran() == [] and (line.path / "ingest.txt").exists() and (line.path / "raw.txt").exists()


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


def test_drift_retrains_once(line: Toy, tmp_path: Path) -> None:
    incoming(line, tmp_path)
    site(line, retrain={"incoming": str(tmp_path / "incoming"), "on_drift": "retrain"})
    for ran in (["train"], []):
        done = line.run("visionmill", "retrain")
        assert done.returncode == 0, done.stdout
        assert line.ran() == ran, done.stdout
        assert [reason["kind"] for reason in left(line)["reasons"]] == (["drift"] if ran else [])


def test_an_incoming_folder_that_is_not_there_stops_nothing(line: Toy, tmp_path: Path) -> None:
    site(line, retrain={"incoming": str(tmp_path / "nowhere")})
    new_data(line)
    done = line.run("visionmill", "retrain")
    assert done.returncode == 0, done.stdout
    assert not left(line)["steps"]["drift"]["ok"] and left(line)["outcome"] == "registered"


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
