"""Pools: a folder becomes a version, and pictures are read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store
from tasks.labelling.pools import images_of, places_in, pool_version, read_pictures_of
from tests.data.folders import cells, make_voc, put
from tests.labelling.ponds import folder_of, picture, pond, save


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_folder_becomes_a_pool_once(store: Store, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "my pictures", range(5))
    put(folder / "notes/readme.txt", "not a picture")
    first = pool_version(str(folder), store, "ann")
    assert first.ref == "my-pictures@1" and first.meta.classes == [] and images_of(first.folder).num_rows == 5
    assert pool_version(str(folder), store, "ann").ref == "my-pictures@1"
    assert pool_version("my-pictures", store, "ann").ref == pool_version("my-pictures@1", store, "ann").ref == first.ref
    save(folder / "more.png", 77)
    assert pool_version(str(folder), store, "ann").ref == "my-pictures@2"


def test_a_dataset_goes_before_a_folder_and_a_relative_folder_is_one_of_the_workspace(store: Store,
                                                                                     tmp_path: Path) -> None:
    pond(store, tmp_path / "a", range(3), "pool")
    folder_of(tmp_path / "work/pool", range(4))
    folder_of(tmp_path / "work/other", range(4))
    assert images_of(pool_version("pool", store, "ann", tmp_path / "work").folder).num_rows == 3
    assert images_of(pool_version("./pool", store, "ann", tmp_path / "work").folder).num_rows == 4
    assert pool_version("other", store, "ann", tmp_path / "work").ref == "other@1"


def test_what_is_no_pool(store: Store, tmp_path: Path) -> None:
    pond(store, tmp_path / "a", range(3), "pool")
    with pytest.raises(UserError, match="no dataset is called 'pol'[\\s\\S]*did you mean 'pool'"):
        pool_version("pol", store, "ann", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty folder"):
        pool_version(str(tmp_path / "empty"), store, "ann")
    put(tmp_path / "texts/a.txt", "a")
    with pytest.raises(DataError, match=r"no picture among 1 files[\s\S]*\.jpg"):
        pool_version(str(tmp_path / "texts"), store, "ann")
    with pytest.raises(UserError, match="no name can be made"):
        pool_version(str(folder_of(tmp_path / "___", range(1)).rename(tmp_path / "…")), store, "ann")


def test_a_folder_never_becomes_a_version_of_labelled_data(store: Store, tmp_path: Path) -> None:
    labelled = make_voc(tmp_path / "cells", cells(3))
    bring_in(store, Importing(labelled, "cells", "here", ClassList([])), "ann")
    with pytest.raises(UserError, match=r"cells is a dataset with labels already[\s\S]*--format pictures --name NAME"):
        pool_version(str(labelled), store, "ann")
    assert [version.ref for version in store.all()] == ["cells@1"]


@pytest.mark.parametrize("shard_over", [100, 2])
def test_pictures_come_in_the_order_asked_for(store: Store, tmp_path: Path, shard_over: int) -> None:
    pool = pond(store, tmp_path / "a", range(6), shard_over=shard_over)
    files = images_of(pool.folder)["file"].to_pylist()
    wanted = [5, 0, 3, 0]
    got = list(read_pictures_of(pool, store, wanted, threads=2))
    assert [image for image, _ in got] == wanted
    for image, pixels in got:
        assert pixels.dtype == np.uint8 and (pixels == picture(int(Path(files[image]).stem))).all()
    assert list(read_pictures_of(pool, store, [])) == []
    assert len(places_in(pool, store, np.arange(6))) == 6


def test_a_picture_that_is_not_there(store: Store, tmp_path: Path) -> None:
    pool = pond(store, tmp_path / "a", range(3))
    with pytest.raises(DataError, match="pool@1 has no picture 9"):
        read_pictures_of(pool, store, [1, 9])
    place = places_in(pool, store, np.array([1]))[0]
    assert isinstance(place, Path)
    place.chmod(0o644)
    place.write_bytes(b"not a picture")
    got = read_pictures_of(pool, store, [0, 1])
    assert next(got)[0] == 0
    with pytest.raises(DataError, match="picture is unreadable"):
        next(got)
