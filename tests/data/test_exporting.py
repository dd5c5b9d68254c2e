"""Export: what is lost is counted, no file leaves the folder, and names stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.exporting import Export, export
from tasks.data.store.layout import Store
from tests.data.folders import box, coco, image, make_coco
from tests.data.store.test_importing import bring

CONTENT = coco([image(1), image(2)], [box(1, 1, iscrowd=1), box(2, 2, segmentation=[[2, 3, 20, 3, 20, 30]])])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    bring(store, make_coco(tmp_path / "raw", CONTENT))
    return store


def test_what_a_format_cannot_carry_is_counted_by_name(store: Store, tmp_path: Path) -> None:
    folder = store.find("cats").folder
    assert export(folder, store.pictures, "coco", tmp_path / "coco") == {}
    assert export(folder, store.pictures, "kitti", tmp_path / "kitti") == {
        "annotations.iscrowd": 1, "annotations.polygons": 1}
    assert sorted(path.name for path in (tmp_path / "kitti").rglob("*.jpg")) == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "b/../../a.jpg"])
def test_no_name_leaves_the_folder(store: Store, tmp_path: Path, name: str) -> None:
    version = store.find("cats")
    made = Export(version.folder, store.pictures, tmp_path / "out", version.meta)
    with pytest.raises(DataError, match="leaves the folder"):
        made.place(next(made.rows()).image, name)


def test_two_files_of_one_name_are_refused(store: Store, tmp_path: Path) -> None:
    version = store.find("cats")
    made = Export(version.folder, store.pictures, tmp_path / "out", version.meta)
    first, second = (row.image for row in made.rows())
    made.place(first, "a.jpg")
    with pytest.raises(DataError, match="two pictures would be called 'a.jpg'"):
        made.place(second, "a.jpg")


def test_an_unknown_format_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'coco'"):
        export(store.find("cats").folder, store.pictures, "cocco", tmp_path / "out")
    assert not (tmp_path / "out").exists()
