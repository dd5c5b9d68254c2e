from __future__ import annotations

import builtins
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.formats import _others_datumaro
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading, Source
from tasks.data.runs import decode
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.test_others import read


def test_without_datumaro_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "datumaro":
            raise ModuleNotFoundError(name)
        return imported(name, *more)

    imported = builtins.__import__
    save_picture(tmp_path / "a.jpg")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"datumaro, which is not installed[\s\S]*pip install 'visionmill\[formats\]'"):
        read(tmp_path, "camvid")


def shape(kind: str, label: int | None = 0, group: int = 0, attributes: Any = None, **more: Any) -> SimpleNamespace:
    told = attributes or {}
    return SimpleNamespace(type=SimpleNamespace(name=kind), label=label, group=group, attributes=told, **more)


def item(*shapes: SimpleNamespace, **more: Any) -> SimpleNamespace:
    whole = {"id": "a", "subset": "val", "media": None, "attributes": {"frame": 3}, "annotations": list(shapes)} | more
    return SimpleNamespace(**whole)


def converted(root: Path, thing: SimpleNamespace) -> tuple[list[Picture], Reading]:
    save_picture(root / "images/a.jpg")
    index, into = FolderIndex(root), Reading()
    source = Source("others:camvid", root, None)
    return list(_others_datumaro.picture_of(index, source, thing, ["cat", "dog"], into)), into


def test_items_of_datumaro(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[2:4, 3:6] = True
    (picture,), into = converted(tmp_path, item(
        shape("bbox", group=1, get_bbox=lambda: (1, 2, 30, 40)),
        shape("polygon", group=1, points=[1, 2, 31, 2, 31, 42]),
        shape("bbox", 1, get_bbox=lambda: (5, 6, 7, 8), attributes={
            "occluded": True, "truncated": False, "difficult": True, "is_crowd": True, "score": 0.5,
            "x": np.float32(1)}),
        shape("mask", image=pixels, get_bbox=lambda: (3, 2, 3, 2), get_area=lambda: 6),
        shape("rotated_bbox", cx=20, cy=20, w=10, h=4, r=90), shape("label", 1),
        shape("points", points=[1, 2, 3, 4], visibility=[SimpleNamespace(value=2), SimpleNamespace(value=0)],
              get_bbox=lambda: (1, 2, 2, 2)),
        shape("polygon", None, points=[1, 2, 3, 4]), shape("polyline", points=[1, 2])))
    both, box, mask, turned, points = picture.boxes
    assert both.polygons == [[1, 2, 31, 2, 31, 42]] and (both.x, both.y, both.w, both.h) == (1, 2, 30, 40)
    assert (box.label, box.occlusion, box.truncation, box.difficult, box.iscrowd, box.score, box.attributes) == (
        "dog", 1, 0, True, True, 0.5, {"x": "1.0"})
    assert mask.rle is not None and decode({"h": HEIGHT, "w": WIDTH, "counts": mask.rle[2]}).sum() == mask.area == 6
    assert (turned.w, turned.h) == pytest.approx((4, 10)) and points.keypoints == [1, 2, 2, 3, 4, 0]
    assert picture.labels == ["dog"] and picture.split == "val" and picture.attributes == {"frame": 3}
    assert [note.kind for note in into.notes] == ["bad_mask"] * 2 and into.problem == "segment"


def test_pictures_of_datumaro_are_found_inside_the_folder_alone(tmp_path: Path) -> None:
    outside = save_picture(tmp_path / "out/a.jpg")
    root = tmp_path / "in"
    (picture,), _ = converted(root, item(media=SimpleNamespace(path=str(outside)), attributes={}))
    assert picture.file == "images/a.jpg" and picture.attributes is None
    (picture,), _ = converted(root, item(media=SimpleNamespace(path=str(root / "images/a.jpg"))))
    assert picture.file == "images/a.jpg"
    pictures, into = converted(root, item(id="none"))
    assert not pictures and [note.kind for note in into.notes] == ["missing_picture"]


@pytest.mark.parametrize("name", ["labelme-xml", "datumaro", "widerface", "camvid", "vott-json"])
def test_what_datumaro_wrote_is_read_by_it(tmp_path: Path, name: str) -> None:
    datumaro = pytest.importorskip("datumaro", reason="the extra 'formats' is not installed")
    picture = save_picture(tmp_path / "raw/a.png")
    marks = [datumaro.Mask(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % WIDTH < 9, label=1)] \
        if name == "camvid" else [datumaro.Bbox(1, 2, 30, 40, label=1)]
    thing = datumaro.DatasetItem("a", subset="train", media=datumaro.Image.from_file(str(picture)), annotations=marks)
    whole = datumaro.Dataset.from_iterable([thing], categories=["background", "cat"])
    if name == "vott-json":
        save_picture(tmp_path / "data/a.png")
        put(tmp_path / "data/train-export.json", json.dumps({"tags": [{"name": "cat"}], "assets": {"1": {
            "asset": {"name": "a.png", "path": "a.png", "size": {"width": WIDTH, "height": HEIGHT}}, "regions": [
                {"tags": ["cat"], "boundingBox": {"left": 1, "top": 2, "width": 30, "height": 40}}]}}}))
    else:
        whole.export(str(tmp_path / "data"), _others_datumaro.NAMES[name], save_media=True)
    (read_picture,), into = read(tmp_path / "data", name)
    box, = read_picture.boxes
    assert (box.label, box.x, box.y) == ("cat", *((0, 0) if name == "camvid" else (1, 2)))
    assert read_picture.split in ("train", None) and into.problem == ("segment" if name == "camvid" else None)


def test_a_folder_that_datumaro_cannot_read(tmp_path: Path) -> None:
    pytest.importorskip("datumaro", reason="the extra 'formats' is not installed")
    save_picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="datumaro cannot read this as camvid: "):
        read(tmp_path, "camvid")
