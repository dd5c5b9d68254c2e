"""The format `pictures`: a folder without labels, only when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.base.files import read_json
from tasks.data.classes import ClassList
from tasks.data.exporting import export
from tasks.data.formats import READERS, WRITERS, pictures
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture
from tasks.data.reading import expected, find_sources
from tasks.data.store.counts import describe
from tasks.data.store.importing import Imported, Importing, bring_in
from tasks.data.store.layout import Store
from tests.data.exports import written
from tests.data.folders import cells, make_voc, put, save_picture
from tests.data.roundtrip import read_all


def bring(tmp_path: Path, folder: Path, **more: object) -> Imported:
    wanted = Importing(folder, "pool", str(folder), ClassList([]), format="pictures", **more)  # type: ignore[arg-type]
    return bring_in(Store(tmp_path / "store"), wanted, "ann")


def damaged(root: Path) -> Path:
    save_picture(root / "a/good.jpg", 1)
    whole = save_picture(root / "a/cut.jpg", 2).read_bytes()
    (root / "a/cut.jpg").write_bytes(whole[:len(whole) // 2])
    put(root / "b/words.png", "not a picture")
    (root / "b/none.jpg").write_bytes(b"")
    return root


def test_all_pictures_of_all_folders_and_nothing_else(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "raw", cells(2), {"val": ["p0"]})
    for name in ("top.png", "train/deep/er/x.webp", "masks/x.bmp", ".hidden/no.jpg"):
        save_picture(root / name, 5)
    found, into = read_all(pictures, root)
    assert [one.file for one in found] == ["JPEGImages/p0.jpg", "JPEGImages/p1.jpg", "masks/x.bmp", "top.png",
                                           "train/deep/er/x.webp"]
    # labels that lie beside them are not read, and a folder's name is no split
    assert not any(one.boxes or one.split or one.labels for one in found) and not into.labels and not into.notes


def test_only_when_it_is_asked_for(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    assert "pictures" not in READERS and "pictures" in WRITERS and pictures.TITLE not in expected()
    with pytest.raises(DataError, match="no annotations found"):
        find_sources(FolderIndex(tmp_path))
    assert [source.format for source in find_sources(FolderIndex(tmp_path), "pictures")] == ["pictures"]


def test_an_import_is_a_version_without_labels(tmp_path: Path) -> None:
    for number in range(3):
        save_picture(tmp_path / f"raw/{number}/x.jpg", number)
    made = bring(tmp_path, tmp_path / "raw")
    told = describe(made.version.folder)
    assert made.version.ref == "pool@1" and (told["pictures"], told["labels"], told["classes"]) == (3, 0, {})
    assert told["splits"] == {"none": 3} and made.version.meta.recipe["import"]["format"] == ["pictures"]
    assert not bring(tmp_path, tmp_path / "raw").new


def test_damaged_ones_are_told_each_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        bring(tmp_path, damaged(tmp_path / "raw"))
    told = str(error.value)
    assert "1 truncated, 1 unreadable, 1 zero_size" in told and "--allow truncated unreadable zero_size" in told
    assert "a/cut.jpg" in told and "b/words.png" in told and "the file has 0 bytes" in told


def test_allowed_damaged_ones_are_listed_and_left_out(tmp_path: Path) -> None:
    made = bring(tmp_path, damaged(tmp_path / "raw"), allow=["truncated", "unreadable", "zero_size"])
    assert describe(made.version.folder)["pictures"] == 1
    assert [(note["kind"], note["file"]) for note in read_json(made.version.folder / "notes.json")] == [
        ("truncated", "a/cut.jpg"), ("zero_size", "b/none.jpg"), ("unreadable", "b/words.png")]


def test_nothing_to_read(tmp_path: Path) -> None:
    put(tmp_path / "texts/a.txt", "a")
    with pytest.raises(DataError, match=r"no picture among 1 files[\s\S]*ends with"):
        bring(tmp_path, tmp_path / "texts")
    put(tmp_path / "bad/a.png", "a")
    put(tmp_path / "bad/b.png", "b")
    with pytest.raises(DataError, match="none of the 2 pictures can be read; the last is unreadable"):
        bring(tmp_path, tmp_path / "bad", allow=["all"])
    assert Store(tmp_path / "store").all() == []


def test_written_pictures_keep_their_folders_and_lose_their_labels(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, name in enumerate(("a/x.jpg", "b/x.jpg", "y.png")):
        save_picture(raw / name, number)
    box = Box("cat", 1, 2, 10, 10, "here")
    made = written(pictures, [Picture("a/x.jpg", None, None, "", [box, box]), Picture("b/x.jpg", "val", None, ""),
                              Picture("y.png", None, None, "")], raw, tmp_path)
    assert made.losses["annotations"] == 2
    got = {path.relative_to(made.out).as_posix(): path.read_bytes() for path in made.out.rglob("*") if path.is_file()}
    assert got == {name: (raw / name).read_bytes() for name in ("a/x.jpg", "b/x.jpg", "y.png")}
    assert [one.file for one in read_all(pictures, made.out)[0]] == ["a/x.jpg", "b/x.jpg", "y.png"]


@pytest.mark.parametrize("format", ["coco", "pictures", "voc"])
def test_a_pool_can_be_exported_also_from_archives(tmp_path: Path, format: str) -> None:
    for number in range(3):
        save_picture(tmp_path / f"raw/{number}.jpg", number)
    version = bring(tmp_path, tmp_path / "raw", shard_over=1).version
    lost = export(version.folder, Store(tmp_path / "store").pictures, format, tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 3 and not lost
