"""Archives of any kind unpacked whole, or refused whole."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.archive import _entries, archive_kind, unpack
from tasks.data.unpacking import Limits
from tests.data.folders import put

Members = Sequence[tuple[str, bytes]]
GOOD: Members = [("images/a.jpg", b"one" * 1000), ("images/b c#t=1.jpg", b"two"), ("labels/é😀.txt", b""),
                 ("x" * 255, b"3")]
MIB = 1 << 20


def make_zip(path: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type, info.external_attr = name, method, 0o644 << 16
            archive.writestr(info, content)
    return path


def make_tar(path: Path, members: Members, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


FORMS: dict[str, Callable[[Path, Members], Path]] = {"a.zip": make_zip, "a.tar.gz": make_tar}
BOTH = pytest.mark.parametrize("form", sorted(FORMS))


def found(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, what: str, limits: Limits | None = None) -> None:
    """Refused for that reason, and nothing was written beside the folder for it."""
    into = archive.parent / "in" / "to"
    into.mkdir(parents=True)
    with pytest.raises(DataError, match=what):
        unpack(archive, into, limits)
    outside = [p for p in archive.parent.rglob("*") if p.is_file() and not p.is_relative_to(into) and p != archive]
    assert not outside and not any(p.is_symlink() for p in into.rglob("*"))


@pytest.mark.parametrize("made", [
    lambda p: make_zip(p, GOOD), lambda p: make_zip(p, GOOD, zipfile.ZIP_STORED),
    lambda p: make_zip(p, GOOD, zipfile.ZIP_LZMA),
    *(lambda p, mode=mode: make_tar(p, GOOD, mode) for mode in ("w", "w:gz", "w:bz2", "w:xz"))])
def test_every_form_gives_the_same_files(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    done = unpack(made(tmp_path / "archive"), tmp_path / "out")
    assert found(tmp_path / "out") == dict(GOOD)
    assert (done.files, done.written, done.junk, done.nested) == (4, 3004, 0, [])


def test_folders_and_what_systems_leave_are_no_files(tmp_path: Path) -> None:
    members = [("a/", b""), ("__MACOSX/a/._b.jpg", b"x"), ("a/.DS_Store", b"x"), ("a/._b.jpg", b"x"),
               ("a\\b.jpg", b"ok"), ("a/inner.zip", b"PK"), ("a/x.tar.gz", b"")]
    done = unpack(make_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert found(tmp_path / "out") == {"a/b.jpg": b"ok", "a/inner.zip": b"PK", "a/x.tar.gz": b""}
    assert (done.junk, done.nested) == (3, ["a/inner.zip", "a/x.tar.gz"])


@BOTH
@pytest.mark.parametrize(("name", "what"), [
    ("../a.jpg", "leaves the data folder"), ("/etc/a.jpg", "leaves the data folder"), ("x/../../a.jpg", "leaves"),
    ("C:/a.jpg", "leaves the data folder"), ("c:a.jpg", "leaves the data folder"), ("..\\a.jpg", "leaves"),
    ("\\\\host\\share\\a.jpg", "leaves the data folder"), ("a/..", "leaves the data folder"),
    ("y" * 256, "too long: 256 bytes"), ("é" * 128, "too long: 256 bytes"), ("/".join(["d" * 200] * 20), "too long")])
def test_names_that_are_refused(tmp_path: Path, form: str, name: str, what: str) -> None:
    refused(FORMS[form](tmp_path / form, [("ok.jpg", b""), (name, b"evil")]), what)


@BOTH
@pytest.mark.parametrize(("one", "other", "said"), [
    ("a/b.jpg", "a/b.jpg", "'a/b.jpg' twice"), ("a/b.jpg", "./a//b.jpg", "'a/b.jpg' twice"),
    ("A/b.jpg", "a/B.jpg", "'a/B.jpg' and 'A/b.jpg': on some"), ("é.jpg", "e\u0301.jpg", "on some systems"),
    ("strasse.jpg", "STRAßE.jpg", "on some systems")])
def test_names_that_are_one_elsewhere(tmp_path: Path, form: str, one: str, other: str, said: str) -> None:
    with pytest.warns(UserWarning, match="Duplicate name") if one == other and form == "a.zip" else nullcontext():
        archive = FORMS[form](tmp_path / form, [(one, b"1"), (other, b"2")])
    refused(archive, re.escape(said))


@BOTH
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_that_is_a_folder_too(tmp_path: Path, form: str, names: tuple[str, str]) -> None:
    refused(FORMS[form](tmp_path / form, [(name, b"x") for name in names]), "a file and a folder")


@BOTH
@pytest.mark.parametrize(("members", "limits", "what"), [
    ([("a", b"0" * 2 * MIB)], Limits(), r"unpacks to"),
    ([(f"{k}", b"0" * MIB) for k in range(3)], Limits(), "unpacks to"),
    ([("a", random.Random(0).randbytes(5000))], Limits(bytes=4999), "more than 4,999 bytes"),
    ([(f"{k}", b"12345") for k in range(9)], Limits(bytes=40), "more than 40 bytes"),
    ([(f"{k}", b"") for k in range(9)], Limits(files=8), "more than 8 files")])
def test_bombs(tmp_path: Path, form: str, members: Members, limits: Limits, what: str) -> None:
    refused(FORMS[form](tmp_path / form, members), what, limits)
    assert sum(map(len, found(tmp_path / "in/to").values())) <= max(limits.small, 40)


def test_a_bomb_of_one_content_under_many_names(tmp_path: Path) -> None:
    """Many entries of the directory point at the same compressed bytes."""
    whole = make_zip(tmp_path / "one.zip", [("00000000", random.Random(0).randbytes(90_000))]).read_bytes()
    at = whole.index(b"PK\x01\x02")
    entry, end = whole[at: whole.index(b"PK\x05\x06")], bytearray(whole[whole.index(b"PK\x05\x06"):])
    entries = b"".join(entry.replace(b"00000000", b"%08d" % k) for k in range(900))
    struct.pack_into("<HHI", end, 8, 900, 900, len(entries))
    (tmp_path / "one.zip").unlink()
    refused(put(tmp_path / "a.zip", whole[:at] + entries + bytes(end)), "unpacks to|damaged", Limits(ratio=20))


@pytest.mark.parametrize(("lie", "what"), [(50, "damaged|there are"), (5, "damaged"), (20, "there are 10")])
def test_a_zip_that_lies_about_a_size(tmp_path: Path, lie: int, what: str) -> None:
    data = bytearray(make_zip(tmp_path / "a.zip", [("a", b"0123456789")], zipfile.ZIP_STORED).read_bytes())
    for at, field in ((data.index(b"PK\x03\x04"), 22), (data.index(b"PK\x01\x02"), 24)):
        struct.pack_into("<I", data, at + field, lie)
    refused(put(tmp_path / "a.zip", bytes(data)), what)


def test_a_directory_is_counted_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _entries(make_zip(tmp_path / "a.zip", GOOD)) == 4
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)  # above it, zip64
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.comment = b"c" * 60_000
        for k in range(3000):
            archive.writestr(f"{k}", b"")
    assert b"PK\x06\x07" in (tmp_path / "b.zip").read_bytes()
    assert _entries(tmp_path / "b.zip") == 3000
    assert _entries(put(tmp_path / "c.zip", b"PK\x03\x04" + b"0" * 100)) == 0


@pytest.mark.parametrize(("kind", "what"), [
    (stat.S_IFLNK, "link"), (stat.S_IFIFO, "device"), (stat.S_IFCHR, "device"), (stat.S_IFSOCK, "device")])
def test_what_is_no_file_in_a_zip(tmp_path: Path, kind: int, what: str) -> None:
    info = zipfile.ZipInfo("evil")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", what)


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_zips(tmp_path: Path, flag: int) -> None:
    data = bytearray(make_zip(tmp_path / "a.zip", [("a", b"x")]).read_bytes())
    at = data.index(b"PK\x01\x02") + 8
    struct.pack_into("<H", data, at, flag)
    refused(put(tmp_path / "a.zip", bytes(data)), "encrypted")


def test_names_of_a_zip_are_utf_8_where_they_can_be(tmp_path: Path) -> None:
    data = make_zip(tmp_path / "a.zip", [("aéa", b"1"), ("b\u2013b", b"2")]).read_bytes()
    silent = bytearray(data)
    for at in [m.start() for m in re.finditer(b"PK\x01\x02", data)]:
        silent[at + 9] &= 0xF7  # the flag that says UTF-8
    for at in [m.start() for m in re.finditer(b"PK\x03\x04", data)]:
        silent[at + 7] &= 0xF7
    unpack(put(tmp_path / "a.zip", bytes(silent)), tmp_path / "out")
    assert sorted(found(tmp_path / "out")) == ["aéa", "b\u2013b"]
    old = bytes(silent).replace("é".encode(), b"\x82x")  # é in code page 437
    unpack(put(tmp_path / "b.zip", old), tmp_path / "out2")
    assert sorted(found(tmp_path / "out2")) == ["aéxa", "b\u2013b"]
    refused(put(tmp_path / "c" / "c.zip", data.replace("é".encode(), b"\x82x")), "damaged")


def test_a_nul_in_a_name(tmp_path: Path) -> None:
    data = make_zip(tmp_path / "a.zip", [("a.jpgX.exe", b"1")]).read_bytes().replace(b"a.jpgX", b"a.jpg\0")
    refused(put(tmp_path / "a.zip", data), "leaves the data folder or is empty")


@pytest.mark.parametrize(("kind", "what"), [
    (tarfile.SYMTYPE, "a link"), (tarfile.LNKTYPE, "a link"), (tarfile.FIFOTYPE, "a device or a pipe"),
    (tarfile.CHRTYPE, "a device or a pipe"), (tarfile.BLKTYPE, "a device or a pipe")])
def test_what_is_no_file_in_a_tar(tmp_path: Path, kind: bytes, what: str) -> None:
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("ok"))
        archive.addfile(info)
    refused(tmp_path / "a.tar", what)


def header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(("content", "what"), [
    (header("x", 1 << 40, tarfile.XHDTYPE), "a header of 1,099,511,627,776 bytes"),
    (header("x", 1 << 40, tarfile.GNUTYPE_LONGNAME), "a header of 1,099,511,627,776 bytes"),
    (header("x", 512, tarfile.XHDTYPE) + b"1" * 512, "a header of digits"),
    (header("x", 0, tarfile.GNUTYPE_LONGNAME) * 3000, "damaged"),
    (header("x", 1 << 50, tarfile.GNUTYPE_SPARSE), "a sparse file"),
    (header("x", 1 << 45, tarfile.REGTYPE), "more than 214,748,364,800 bytes"),
    (header("x", 1000, tarfile.REGTYPE) + b"0" * 600, "damaged"),
    (header("ok", 0, tarfile.REGTYPE) + b"rubbish " * 64, "no header where one should be, 512 bytes in"),
    (header("ok", 0, tarfile.REGTYPE) + header("cut", 0, tarfile.REGTYPE)[:300], "no header where one should be")])
def test_tars_that_lie(tmp_path: Path, content: bytes, what: str) -> None:
    refused(put(tmp_path / "a.tar.gz", gzip.compress(content)), what)


def test_a_tar_without_its_last_blocks_is_whole(tmp_path: Path) -> None:
    unpack(put(tmp_path / "a.tar", header("ok", 3, tarfile.REGTYPE) + b"abc".ljust(512, b"\0")), tmp_path / "out")
    assert found(tmp_path / "out") == {"ok": b"abc"}


def test_a_name_of_a_tar_that_is_not_utf_8(tmp_path: Path) -> None:
    refused(make_tar(tmp_path / "a.tar", [(os.fsdecode(b"\xff.jpg"), b"")]), "not UTF-8")


@pytest.mark.parametrize(("content", "what"), [
    (b"<html>sign in</html>", r"not a zip or tar archive: it begins with b'<html>"), (b"", "not a zip or tar"),
    (b"PK\x03\x04 and no more", "damaged"), (gzip.compress(b"text", mtime=0), "not a tar archive"),
    (gzip.compress(b"x" * 9999, mtime=0)[:-9], "not a tar archive"), (bz2.compress(b""), "not a tar archive"),
    (lzma.compress(b"text")[:-4], "not a tar archive"), (b"BZh9 rubbish", "not a tar archive"),
    (b"\x28\xb5\x2f\xfd rest", "zst archives are not read"), (b"Rar!\x1a\x07", "rar archives are not read"),
    (b"7z\xbc\xaf\x27\x1c", "7z archives are not read")])
def test_what_is_no_archive_of_ours(tmp_path: Path, content: bytes, what: str) -> None:
    refused(put(tmp_path / "a", content), what)


def test_the_form_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    assert archive_kind(make_zip(tmp_path / "a.tar", GOOD)) == "zip"
    assert archive_kind(make_tar(tmp_path / "b.zip", GOOD, "w")) == "tar"


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(["zip", "w", "w:gz"]), edits=st.lists(
    st.tuples(st.integers(0, 5000), st.binary(max_size=5), st.booleans()), max_size=5), cut=st.integers(0, 6000))
def test_mutated_archives(form: str, edits: list[tuple[int, bytes, bool]], cut: int) -> None:
    _mutated(form, edits, cut)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(form=st.sampled_from(["zip", "w", "w:gz"]), edits=st.lists(
    st.tuples(st.integers(0, 5000), st.binary(max_size=5), st.booleans()), max_size=5), cut=st.integers(0, 6000))
def test_mutated_archives_at_length(form: str, edits: list[tuple[int, bytes, bool]], cut: int) -> None:
    _mutated(form, edits, cut)


def _mutated(form: str, edits: list[tuple[int, bytes, bool]], cut: int) -> None:
    """Unpacked or refused, never another error, and nothing outside."""
    with tempfile.TemporaryDirectory() as folder:
        archive, into = Path(folder) / "archive", Path(folder) / "in" / "to"
        into.mkdir(parents=True)
        data = bytearray((make_zip(archive, GOOD) if form == "zip" else make_tar(archive, GOOD, form)).read_bytes())
        for at, content, insert in edits:
            at %= len(data)
            data[at: at + (0 if insert else len(content))] = content
        archive.write_bytes(data[:cut] if cut else data)
        with suppress(DataError):
            unpack(archive, into, Limits(bytes=100_000))
        assert {p.name for p in Path(folder).rglob("*") if not p.is_relative_to(into)} == {"archive", "in"}

