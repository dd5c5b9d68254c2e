from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from tasks import fetch
from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_tree
from tasks.data.catalogue import read_entry
from tests.data.folders import put


def test_bccd_holds_what_the_line_needs_and_no_more(mirror: Path, tmp_path: Path) -> None:
    fetch.run(fetch.Params(dataset="bccd"), out=tmp_path / "raw")
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == [
        "Annotations", "ImageSets", "JPEGImages", "LICENSE", "SOURCE.txt"]
    assert len(list((tmp_path / "raw/JPEGImages").iterdir())) == 364
    (tmp_path / "raw/SOURCE.txt").unlink()
    assert digest_tree(tmp_path / "raw") == read_entry("bccd").digest


def test_an_interrupted_or_failed_fetch_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "raw/old.txt", "old")
    monkeypatch.delenv("VISIONMILL_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UserError, match=r"dataset 'bccd' is not reachable; tried:[\s\S]*mirror[\s\S]*download https"):
        fetch.run(fetch.Params(dataset="bccd"), out=tmp_path / "raw")
    assert [p.name for p in tmp_path.rglob("*")] == ["raw", "old.txt"]


def test_a_full_disk_is_not_taken_for_a_place_that_failed(mirror: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DataError, match="no space left on the disk"):
        fetch.run(fetch.Params(dataset="bccd"), out=tmp_path / "raw")
    assert not list(tmp_path.iterdir())


def test_an_entry_of_the_workspace_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISIONMILL_MIRROR", str(tmp_path))
    put(tmp_path / "datasets/mine/a.txt", "a")
    put(tmp_path / "conf/dataset/mine.yaml", "{title: mine, licence: none, homepage: 'https://example.org', "
        "digest: null, files: ['*.txt'], places: [{mirror: mine}]}")
    fetch.run(fetch.Params(dataset="mine"), out=tmp_path / "raw")
    assert (tmp_path / "raw/a.txt").read_text() == "a"


def no_network(*args: object, **options: object) -> None:
    raise OSError(101, "Network is unreachable")
