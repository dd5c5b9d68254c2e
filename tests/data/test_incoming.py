"""What a person gives to import, and the folder that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data import download
from tasks.data.incoming import bring
from tasks.data.unpacking import Limits
from tests.data.folders import put
from tests.data.server import Server, always, redirect, reply
from tests.data.test_unpacking import GOOD, found, make_tar, make_zip

JUNK = [("__MACOSX/a", b""), ("b/.DS_Store", b""), ("b/in.zip", b"")]


def test_a_folder_is_where_it_is(tmp_path: Path) -> None:
    put(tmp_path / "given/a.txt", "a")
    assert bring(str(tmp_path / "given"), tmp_path / "into") == tmp_path / "given"
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_unpacked(tmp_path: Path, kind: str) -> None:
    lines: list[str] = []
    archive = (make_zip if kind == "zip" else make_tar)(tmp_path / "given", [*GOOD, *JUNK])
    assert bring(str(archive), tmp_path / "into", tell=lines.append) == tmp_path / "into"
    assert found(tmp_path / "into") == {**dict(GOOD), "b/in.zip": b""}
    assert lines == ["unpacked 5 files, 0.0 MB", "left out 2 files that macOS and Windows leave in archives",
                     "1 archives in the archive stay packed: b/in.zip"]


def test_from_a_url(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "given", GOOD).read_bytes()
    with Server({"/get/set.zip?v=2": redirect("/real"), "/real": always(reply(content))}) as server:
        bring(server.url("/get/set.zip?v=2"), tmp_path / "x/into", allow_private=True)
    assert found(tmp_path / "x") == {f"into/{name}": text for name, text in GOOD}


@pytest.mark.parametrize(("members", "what"), [
    ([("ok", b"x"), ("../evil", b"x")], "leaves the data folder"), ([("ok", b"x"), ("OK", b"")], "on some systems"),
    ([("a", b"x" * 3000)], "more than 2,000 bytes"), ([("__MACOSX/a", b"")], "the archive is empty"),
    ([], "the archive is empty")])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_folder_stays_empty(tmp_path: Path, kind: str, members: list[tuple[str, bytes]], what: str) -> None:
    archive = (make_zip if kind == "zip" else make_tar)(tmp_path / "given", members)
    with pytest.raises(DataError, match=what):
        bring(str(archive), tmp_path / "into", Limits(bytes=2000))
    assert not any((tmp_path / "into").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["given", "into"]


def test_a_download_that_fails_leaves_the_folder_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 0)
    content = make_zip(tmp_path / "given", GOOD).read_bytes()
    with Server({"/a.zip": always(reply(content[:50], length=len(content), ETag='"1"'))}) as server:
        for _ in range(2):
            with pytest.raises(DataError, match="ended after 50 of"):
                bring(server.url("/a.zip"), tmp_path / "into", allow_private=True)
        server.answers["/a.zip"] = always(reply(b"<html>sign in</html>"))
        with pytest.raises(DataError, match=r"it begins with b.<html>[\s\S]*-a.zip"):
            bring(server.url("/a.zip"), tmp_path / "into", allow_private=True)
        with pytest.raises(DataError, match="private network"):
            bring(server.url("/a.zip"), tmp_path / "into")
    assert not found(tmp_path / "into")
    left = [p.name for p in tmp_path.iterdir() if p.name not in ("given", "into")]
    assert all(name.endswith("a.zip.part") for name in left), left


@pytest.mark.parametrize("source", ["file:///etc", "ftp://host/a.zip", "s3://bucket/a.zip", "HTTPX://a"])
def test_other_ways_are_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="is not a way to get files"):
        bring(source, tmp_path / "into")


def test_what_is_not_there_and_what_is_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or archive"):
        bring(str(tmp_path / "none.zip"), tmp_path / "into")
    put(tmp_path / "full/a.txt", "mine")
    for source in (str(make_zip(tmp_path / "given", GOOD)), "http://127.0.0.1/a.zip"):
        with pytest.raises(DataError, match="not empty"):
            bring(source, tmp_path / "full")
    assert (tmp_path / "full/a.txt").read_text() == "mine"
