from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.exporting import Export
from tasks.data.formats import masks
from tasks.data.formats.record import Box, Picture, Reading
from tasks.data.runs import encode
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import export_of, exported, read_all
from tests.data.test_masks import make


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    put(make(tmp_path / "in") / "classes.txt", "sky\nsea\nland\n")
    outs = [exported(masks, tmp_path / "in", tmp_path / name).out for name in "ab"]
    files = [[(path.relative_to(out).as_posix(),
        path.read_bytes()) for path in sorted(out.rglob("*.*"))] for out in outs]
    assert files[0] == files[1] and [name for name, _ in files[0]] == [
        "classes.txt", "images/0.jpg", "images/1.jpg", "masks/0.png", "masks/1.png"]


def written(tmp_path: Path, picture: Picture, problem: str, labels: tuple[str, ...] = ()) -> Export:
    save_picture(tmp_path / "in" / picture.file)
    into = Reading(problem=problem, labels=set(labels))
    return export_of(masks, [picture], into, tmp_path / "in", tmp_path)


def test_objects_are_drawn(tmp_path: Path) -> None:
    right = np.zeros((HEIGHT, WIDTH), bool)
    right[:, 60:] = True
    rle = encode(right)
    boxes = [Box("cat", 2, 2, 20, 20, "r", polygons=[[2, 2, 22, 2, 22, 22, 2, 22], [30, 2, 40, 2, 40, 12]]),
             Box("dog", 12, 12, 20, 20, "r", polygons=[[12, 12, 32, 12, 32, 32, 12, 32]]), Box("cat", 1, 1, 2, 2, "r"),
             Box("cat", 60, 0, 4, 48, "r", rle=(rle["h"], rle["w"], rle["counts"]), iscrowd=True),
             Box("dog", 0, 0, 3, 3, "r", rle=(5, 5, "PP1"))]
    picture = Picture("a/x.jpg", "val", None, "r", boxes, ignored=[[0, 40, 5, 100], [float("nan"), 0, 1, 1]])
    export = written(tmp_path, picture, "segment")
    assert export.losses == {"objects as such: a mask says where a class is": 3, "objects without an outline": 1,
                             "masks of another size than their picture, or damaged": 1}
    again, into = read_all(masks, tmp_path / "out")
    assert [(one.file, one.mask, one.split) for one in again] == [("images/val/x.jpg", "masks/val/x.png", "val")]
    assert into.ids == {"background": 0, "cat": 1, "dog": 2}
    drawn = np.asarray(Image.open(tmp_path / "out/masks/val/x.png"))
    assert [int(drawn[y, x]) for x, y in ((5, 5), (15, 15), (30, 30), (38, 5), (61, 5), (2, 45), (50, 20))] == [
        1, 2, 2, 1, 255, 255, 0]


def test_classes_that_are_called_background(tmp_path: Path) -> None:
    written(tmp_path, Picture("x.jpg", None, None, "r"), "segment", ("background", "cat"))
    assert (tmp_path / "out/classes.txt").read_text() == "_background_\nbackground\ncat\n"


@pytest.mark.parametrize(("problem", "labels", "says"), [
    ("detect", ("cat",), "is for 'detect'"), ("classify", (), "is for 'classify'"),
    ("segment", tuple(map(str, range(255))), "do not fit")])
def test_what_masks_cannot_hold(tmp_path: Path, problem: str, labels: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        written(tmp_path, Picture("x.jpg", None, None, "r"), problem, labels)
