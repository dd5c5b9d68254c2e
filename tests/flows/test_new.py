"""`visionmill new`: from a folder, from the catalogue, and never half-made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows import cli, parameters
from flows.commands import new
from flows.workspace import render
from tasks.base.errors import UserError
from tasks.base.presets import PACKAGE

VOC = """<annotation><filename>{name}.png</filename><size><width>32</width><height>32</height><depth>3</depth></size>
<object><name>cell</name><bndbox><xmin>4</xmin><ymin>4</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of one's own: four pictures with Pascal VOC boxes."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (32, 32), (number * 40, 80, 160)).save(folder / f"p{number}.png")
        (folder / f"p{number}.xml").write_text(VOC.format(name=f"p{number}"))
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's git configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


def test_new_from_a_folder_of_ones_own(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "parts"
    before = sorted((p.name, p.read_bytes(), p.stat().st_mode) for p in pictures.iterdir())
    assert new.main([str(path), "--data", str(pictures), "--name", "widgets"]) == 0
    assert "Pascal VOC" in capsys.readouterr().out
    assert {p.name for p in (path / "data/raw").iterdir()} == {p.name for p in pictures.iterdir()}
    assert (path / "data/raw.dvc").exists() and "fetch" not in (path / "dvc.yaml").read_text()
    params = YAML(typ="safe").load((path / "params.yaml").read_text())
    assert "fetch" not in params and params["register"]["name"] == "widgets"
    assert "# " in (path / "params.yaml").read_text()
    assert "reflink,hardlink,copy" in (path / ".dvc/config").read_text()
    git = subprocess.run(["git", "status", "--porcelain"], cwd=path, capture_output=True, text=True, check=True)
    assert git.stdout == ""
    log = subprocess.run(["git", "log", "--format=%an %s"], cwd=path, capture_output=True, text=True, check=True)
    assert log.stdout == "visionmill visionmill new\n"
    assert sorted((p.name, p.read_bytes(), p.stat().st_mode) for p in pictures.iterdir()) == before
    parameters.check_all(params, path / "params.yaml")


def test_new_from_the_catalogue(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cells"
    monkeypatch.setenv("VISIONMILL_MIRROR", str(mirror))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{Path('/usr/bin')}:/bin")
    assert new.main([str(path), "--data", "bccd"]) == 0
    said = capsys.readouterr().out
    assert "Pascal VOC" in said and "364 pictures" in said and "Platelets" in said
    assert "dataset: bccd" in (path / "params.yaml").read_text() and not (path / "conf").exists()
    assert (path / "dvc.lock").exists() and (path / "dvc.yaml").read_text() == render("dvc.yaml", "catalogue")


def test_new_takes_an_entry_of_ones_own_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tmp_path / "here/conf/dataset/mine.yaml"
    entry.parent.mkdir(parents=True)
    shutil.copy(PACKAGE / "dataset/digits.yaml", entry)
    entry.write_text(entry.read_text().replace("epochs: 10", "epochs: 11"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(new, "_fetch", lambda folder: (folder / "data/raw").mkdir(parents=True))
    monkeypatch.setattr("tasks.data.inspect.describe", lambda folder: "")
    path = tmp_path / "workspace"
    assert new.main([str(path), "--data", "mine"]) == 0
    assert (path / "conf/dataset/mine.yaml").read_bytes() == entry.read_bytes()
    assert YAML(typ="safe").load((path / "params.yaml").read_text())["train"]["epochs"] == 11
    names = subprocess.run(["git", "ls-files"], cwd=path, capture_output=True, text=True, check=True).stdout.split()
    assert "conf/dataset/mine.yaml" in names


def test_without_git_it_says_so(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"git is not installed[\s\S]*install git"):
        new.main([str(tmp_path / "parts"), "--data", str(pictures)])
    assert not (tmp_path / "parts").exists()


def test_new_inside_a_repository_leaves_the_commit_to_its_owner(pictures: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    path = tmp_path / "repo/parts"
    assert new.main([str(path), "--data", str(pictures)]) == 0
    assert not (path / ".git").exists() and (path / ".dvc").is_dir()


def folders(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize(("data", "message"), [
    ("bcdd", "did you mean 'bccd'?"),
    ("nowhere/at/all", "is neither a folder nor in the catalogue"),
    ("empty", ""),
])
def test_new_on_bad_data_leaves_nothing(data: str, message: str, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = folders(tmp_path)
    with pytest.raises(UserError) as error:
        new.main([str(tmp_path / "workspace"), "--data", data])
    assert message in str(error.value)
    assert folders(tmp_path) == before


def test_new_never_touches_a_folder_with_something_in_it(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty"):
        new.main([str(path), "--data", str(pictures)])
    assert [p.name for p in path.iterdir()] == ["thesis.txt"]


def test_new_refuses_to_be_inside_its_own_pictures(pictures: Path) -> None:
    before = folders(pictures)
    with pytest.raises(UserError, match="inside its own pictures"):
        new.main([str(pictures / "workspace"), "--data", str(pictures)])
    assert folders(pictures) == before


def test_new_on_a_full_disk_leaves_nothing(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(new, "copy_folder", full)
    before = folders(tmp_path)
    assert cli.main(["new", str(tmp_path / "workspace"), "--data", str(pictures)]) == 2
    assert folders(tmp_path) == before
