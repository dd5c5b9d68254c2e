from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data.archive import matches, unpack_zip
from tests.data.folders import put

FILES = ["Annotations/*.xml", "LICENSE"]


def pack(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return path


def unpack(archive: Path, folder: Path, max_bytes: int = 10_000) -> list[str]:
    unpack_zip(archive, folder, FILES, ["inner", "."], max_bytes)
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_takes_what_is_wanted_from_the_first_root_that_has_it(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {
        "set-1/inner/Annotations/a.xml": b"inner", "set-1/Annotations/a.xml": b"outer", "set-1/LICENSE": b"MIT",
        "set-1/inner/Annotations/deep/b.xml": b"", "set-1/setup.py": b"evil"})
    assert unpack(archive, tmp_path / "out") == ["Annotations/a.xml", "LICENSE"]
    assert (tmp_path / "out/Annotations/a.xml").read_bytes() == b"inner"


@pytest.mark.parametrize("name", ["../Annotations/a.xml", "/etc/Annotations/a.xml", "x/../../LICENSE"])
def test_zip_slip_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leaves the data folder"):
        unpack(pack(tmp_path / "a.zip", {"LICENSE": b"", name: b"evil"}), tmp_path / "in/out")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"link or a device[\s\S]*Annotations/a\.xml"):
        unpack(pack(tmp_path / "a.zip", {"LICENSE": b""}, "Annotations/a.xml"), tmp_path / "out")


def test_a_bomb_is_stopped_by_what_comes_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than the catalogue allows"):
        unpack(pack(tmp_path / "a.zip", {"LICENSE": b"0" * 50_000_000}), tmp_path / "out", max_bytes=5_000_000)
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*")) <= 5_000_000


def test_what_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a zip archive"):
        unpack(put(tmp_path / "a.zip", "<html>sign in</html>"), tmp_path / "out")


@pytest.mark.parametrize(("name", "fits"), [
    ("LICENSE", True), ("Annotations/a.xml", True), ("Annotations/b/a.xml", False), ("x/LICENSE", False),
    ("a.xml", False)])
def test_patterns_do_not_cross_folders(name: str, fits: bool) -> None:
    assert matches(name, FILES) is fits
