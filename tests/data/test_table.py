from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import ingest
from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, boxes_of, read_dataset, to_coco, write_dataset
from tests.data.folders import box, cells, coco, image, make_coco, make_voc


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    raw = make_voc(tmp_path / "raw", cells(4), {"train": ["p0", "p1"], "val": ["p2"], "test": ["p3"]})
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    return read_dataset(tmp_path / "data")


def test_written_twice_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", dataset)
    write_dataset(tmp_path / "b", read_dataset(tmp_path / "a"))
    assert digest_tree(tmp_path / "a") == digest_tree(tmp_path / "b")
    assert read_dataset(tmp_path / "b").images.schema.equals(IMAGES)
    assert read_dataset(tmp_path / "b").annotations.schema.equals(ANNOTATIONS)


def test_subset_keeps_ids(dataset: Dataset) -> None:
    test = dataset.subset("test")
    assert test.images["file"].to_pylist() == ["JPEGImages/p3.jpg"]
    assert test.images["image_id"].to_pylist() == [3]
    assert set(test.annotations["image_id"].to_pylist()) == {3}
    assert dataset.subset("nothing").images.num_rows == 0


def test_boxes_of_has_every_picture_and_no_crowd(tmp_path: Path) -> None:
    content = coco([image(1), image(2), image(3)],
                   [box(1, 3, 2), box(2, 1), box(3, 3, 1, iscrowd=1), box(4, 3, 1, (0, 0, 5, 5))])
    ingest.run(ingest.Params(), raw=make_coco(tmp_path / "raw", content), out=tmp_path / "data")
    boxes = boxes_of(read_dataset(tmp_path / "data"))
    assert {i: len(b) for i, (b, _) in boxes.items()} == {0: 1, 1: 0, 2: 2}
    assert boxes[1][0].shape == (0, 4) and boxes[1][0].dtype == np.float32 and boxes[1][1].dtype == np.int64
    assert boxes[2][0].tolist() == [[2, 3, 20, 30], [0, 0, 5, 5]] and boxes[2][1].tolist() == [1, 0]


def test_coco_form_is_read_by_pycocotools(dataset: Dataset) -> None:
    from pycocotools.coco import COCO

    official = COCO()
    official.dataset = to_coco(dataset)
    official.createIndex()
    assert sorted(official.getImgIds()) == [0, 1, 2, 3]
    assert [c["name"] for c in official.loadCats(official.getCatIds())] == ["cat", "dog"]
    found = official.loadAnns(official.getAnnIds(imgIds=[0]))
    assert [a["bbox"] for a in found] == [[2, 3, 18, 27], [10, 5, 30, 40]] and 0 not in official.anns


def test_full_disk_leaves_the_old_table(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "old", dataset)
    before = digest_tree(tmp_path / "old")

    def full(path: Path, *rest: object, **options: object) -> None:
        path.write_bytes(b"PAR1 half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(DataError, match=r"no space left on the disk[\s\S]*old[\s\S]*free some space") as raised:
        write_dataset(tmp_path / "old", dataset.subset("test"))
    assert raised.value.exit_code == 2
    assert digest_tree(tmp_path / "old") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "old", "raw"], "something half-written stayed"


def test_another_error_of_the_disk_is_not_hidden(dataset: Dataset, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*rest: object, **options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(pq, "ParquetWriter", broken)
    with pytest.raises(OSError, match="Input/output"):
        write_dataset(tmp_path / "new", dataset)
    assert not (tmp_path / "new").exists()


def test_what_is_no_dataset_is_said(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a dataset folder: no dataset.json"):
        read_dataset(tmp_path / "nothing")
    write_dataset(tmp_path / "a", dataset)
    (tmp_path / "a" / "images.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="damaged dataset folder"):
        read_dataset(tmp_path / "a")
