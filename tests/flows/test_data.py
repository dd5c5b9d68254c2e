"""`visionmill data`: what a person types, from an import to another machine's pull."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows import cli
from flows.datastore import DVC, make_shared, open_store
from flows.workspace import feed_of, render, surroundings
from tests.data.folders import box, coco, image, make_coco

FIRST = coco([image(i) for i in (1, 2, 3, 4)], [box(i, i, 1 + i % 2) for i in (1, 2, 3, 4)])
SECOND = coco([image(5), image(6)], [box(1, 5), box(2, 6)])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's configuration, and the default remote below it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.delenv("VISIONMILL_STORE", raising=False)


def call(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace without pictures of its own, and the current folder."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    call("git", "init", "-q", cwd=folder)
    call(*DVC, "init", "-q", cwd=folder)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text(render(name, "catalogue"))
    for name, text in surroundings().items():
        (folder / name).write_text(text)
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


def commit(folder: Path) -> None:
    call("git", "add", "-A", cwd=folder)
    call("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "state", cwd=folder)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_coco(tmp_path / "raw", FIRST)


def data(*words: str) -> int:
    return cli.main(["data", *words])


def test_from_import_to_a_version_that_the_line_reads(workspace: Path, raw: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert data("import", str(raw), "--name", "cats") == 0
    said = capsys.readouterr().out
    assert "COCO" in said and "4 pictures, 4 labels" in said and "made cats@1" in said
    assert data("import", str(make_coco(tmp_path / "more", SECOND)), "--name", "more") == 0
    assert data("merge", "cats", "more", "--out", "cats") == 0
    assert "made cats@2: 6 pictures, 6 labels, 2 classes" in capsys.readouterr().out
    assert data("merge", "cats@1", "more", "--out", "cats") == 0
    assert "nothing new: cats@2" in capsys.readouterr().out
    assert data("list") == 0
    assert "merge cats@1 more@1" in capsys.readouterr().out
    assert data("show", "cats") == 0
    assert "parents:   cats@1, more@1" in capsys.readouterr().out
    assert data("diff", "cats@1", "cats@2") == 0
    assert data("replay", "cats@2") == 0
    capsys.readouterr()
    assert data("use", "cats@2") == 0
    assert "+  version: cats@2" in capsys.readouterr().out and feed_of(workspace) == "version"
    assert (workspace / "dvc.yaml").read_text() == render("dvc.yaml", "version")
    call(sys.executable, "-P", "-m", "dvc", "repro", "-q", "checkout", cwd=workspace)
    assert len(list((workspace / "data/raw").rglob("*.jpg"))) == 6
    assert data("show", "data/ingested") == 0
    assert "pictures:  6" in capsys.readouterr().out


def test_dvc_tracks_versions_and_git_only_their_notes(workspace: Path, raw: Path) -> None:
    data("import", str(raw), "--name", "cats")
    seen = set(call("git", "status", "--porcelain", "-uall", cwd=workspace).split())
    assert "data/store/versions/cats/1.dvc" in seen and "data/store/pictures/cats-1.dvc" in seen
    assert not any(name.endswith((".parquet", ".jpg", ".lock")) for name in seen)
    assert YAML().load((workspace / "conf/classes.yaml").read_text()) == {"classes": [{"name": "cat"}, {"name": "dog"}]}


def test_one_copy_of_the_bytes_is_on_the_disk(workspace: Path, raw: Path) -> None:
    data("import", str(raw), "--name", "cats")
    picture = workspace / "data/store/pictures/cats-1/images/1.jpg"
    if call(*DVC, "config", "cache.type", cwd=workspace).startswith("reflink") and picture.stat().st_nlink == 1:
        pytest.skip("this file system shares blocks: a link cannot be told from a copy by its number")
    assert picture.stat().st_nlink == 2, "DVC's cache and the store, one file"
    data("use", "cats")
    call(sys.executable, "-P", "-m", "dvc", "repro", "-q", "checkout", cwd=workspace)
    assert picture.stat().st_nlink == 3, "and the line's"


def clone_and_pull(workspace: Path, tmp_path: Path) -> Path:
    commit(workspace)
    call("git", "clone", "-q", str(workspace), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


def assert_same(one: Path, other: Path) -> None:
    for folder in ("versions/cats/1", "pictures/cats-1"):
        files = [path for path in (one / "data/store" / folder).rglob("*") if path.is_file()]
        assert files
        for path in files:
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path


def test_push_here_and_pull_there_gives_the_same_bytes(workspace: Path, raw: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    data("import", str(raw), "--name", "cats")
    assert data("push") == 0
    assert str(tmp_path / "visionmill-remote") in capsys.readouterr().out
    clone = clone_and_pull(workspace, tmp_path)
    monkeypatch.chdir(clone)
    assert data("list") == 0
    assert "not on this machine: visionmill data pull cats@1" in capsys.readouterr().out
    assert data("show", "cats") == 2
    assert data("pull", "cats") == 0
    assert_same(workspace, clone)
    shutil.rmtree(tmp_path / "visionmill-remote")
    shutil.rmtree(clone / ".dvc/cache")
    for path in (clone / "data/store/versions/cats/1").iterdir():
        path.unlink()
    capsys.readouterr()
    assert data("pull", "cats") == 2
    assert "dvc pull failed" in capsys.readouterr().err


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server on loopback, with the bucket `pictures`."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: make test installs it")
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: make test installs it")
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    thread = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    thread.start()
    host, port = thread.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="pictures")
    yield f"http://{host}:{port}"
    thread.stop()


def test_s3_by_configuration(workspace: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             s3: str) -> None:
    call(*DVC, "remote", "add", "-q", "-d", "bucket", "s3://pictures/store", cwd=workspace)
    call(*DVC, "remote", "modify", "-q", "bucket", "endpointurl", s3, cwd=workspace)
    data("import", str(raw), "--name", "cats")
    assert data("push") == 0
    clone = clone_and_pull(workspace, tmp_path)
    monkeypatch.chdir(clone)
    assert data("pull") == 0
    assert_same(workspace, clone)


def test_two_workspaces_use_one_store(workspace: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    shared = make_shared(tmp_path / "shared").root
    (workspace / "conf/site").mkdir(parents=True)
    (workspace / "conf/site/local.yaml").write_text(f"store: {shared}\n")
    (tmp_path / "gitconfig").write_text("[user]\n  name = ann\n  email = ann@team\n")
    data("import", str(raw), "--name", "cats")
    assert "cats@1: import of" in call("git", "log", "--format=%s", cwd=shared)
    other = tmp_path / "other"
    shutil.copytree(workspace, other)
    monkeypatch.chdir(other)
    (tmp_path / "gitconfig").write_text("[user]\n  name = bob\n  email = bob@team\n")
    capsys.readouterr()
    assert data("use", "cats@1") == 0
    call(sys.executable, "-P", "-m", "dvc", "repro", "-q", "checkout", cwd=other)
    assert len(list((other / "data/raw").rglob("*.jpg"))) == 4
    assert data("sample", "cats", "--count", "2", "--out", "cats") == 2
    assert "cats is ann@team's, and you are bob@team" in capsys.readouterr().err
    assert data("sample", "cats", "--count", "2", "--out", "bobs") == 0
    assert [version.ref for version in open_store().all()] == ["bobs@1", "cats@1"]


@pytest.mark.parametrize(("words", "said"), [
    (["imprt"], "did you mean 'import'"),
    (["import", "nowhere"], "nowhere"),
    (["import", ".", "--format", "cocoo"], "did you mean 'coco'"),
    (["show", "cats"], "no dataset is called 'cats'"),
    (["use", "cats"], "no dataset is called 'cats'"),
    (["export", "cats", "--format", "yol", "--out", "x"], "did you mean 'yolo'"),
    (["relabel", "cats", "--map", "a", "--out", "b"], "is not OLD=NEW"),
])
def test_wrong_words_are_told(workspace: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert data(*words) == 2
    assert said in capsys.readouterr().err


def test_outside_a_workspace_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert data("list") == 2
    assert "this is no workspace" in capsys.readouterr().err


def test_labels_and_pictures_that_lie_apart(workspace: Path, raw: Path, tmp_path: Path) -> None:
    (raw / "annotations.json").rename(tmp_path / "labels.json")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels.json").rename(tmp_path / "labels/labels.json")
    assert data("import", str(tmp_path / "labels"), "--pictures", str(raw), "--name", "cats") == 0
    assert open_store().find("cats").number == 1


def test_a_new_workspace_from_another_teams_version(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = make_shared(tmp_path / "shared").root
    monkeypatch.setenv("VISIONMILL_STORE", str(shared))
    monkeypatch.chdir(tmp_path)
    assert data("import", str(raw), "--name", "cats") == 0
    assert cli.main(["new", str(tmp_path / "line"), "--data", "cats@1"]) == 0
    assert feed_of(tmp_path / "line") == "version"
    call(sys.executable, "-P", "-m", "dvc", "repro", "-q", "checkout", cwd=tmp_path / "line")
    assert len(list((tmp_path / "line/data/raw").rglob("*.jpg"))) == 4


def test_a_folder_of_many_pictures_goes_through_the_store(raw: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.commands.new.MANY", 3)
    assert cli.main(["new", str(tmp_path / "line"), "--data", str(raw)]) == 0
    line = tmp_path / "line"
    assert feed_of(line) == "version"
    assert [path.name for path in (line / "data/store/pictures/raw-1").iterdir()] == ["shard-00000.zip"]
    assert call("git", "status", "--porcelain", cwd=line) == ""


def test_a_card_is_a_page_and_an_artefact_of_mlflow(workspace: Path, raw: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    data("import", str(raw), "--name", "cats")
    assert data("card", "cats", "--out", "card.html") == 0
    assert "logged in MLflow: run " in capsys.readouterr().out
    assert "cats@1" in (workspace / "card.html").read_text()
    assert list((workspace / "mlruns").rglob("card.html"))


def test_leaks_and_copies(workspace: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(raw / "images/1.jpg", raw / "images/2.jpg")
    data("import", str(raw), "--name", "cats")
    capsys.readouterr()
    assert data("dedup", "cats") == 0
    assert "1 pairs" in capsys.readouterr().out
    assert data("leaks", "cats") == 0
    assert "no picture stands in two splits" in capsys.readouterr().out
    assert data("dedup", "cats", "--out", "less") == 0
    assert "made less@1: 3 pictures" in capsys.readouterr().out
