from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco
from tasks.data.formats._coco_schema import schema_of
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Reading, Source
from tests.data.folders import box, image, make_coco, put, save_picture
from tests.data.folders import coco as content

SCHEMAS = {
    "Label Studio": [{"id": 1, "data": {"image": "a"}, "annotations": [{"result": []}]}],
    "COCO results": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
    "CreateML": [{"image": "a.jpg", "annotations": [{"label": "a", "coordinates": {}}]}],
    "VIA": {"a.jpg123": {"filename": "a.jpg", "regions": [{"shape_attributes": {}}]}},
    "LabelMe": {"version": "5", "shapes": [], "imagePath": "a.jpg"},
    "GeoJSON": {"type": "FeatureCollection", "features": [{"geometry": {}}]},
    "meta": {"data_key": "a", "label_path": [], "tags": []},
    "project of Superb": {"type": "image-siesta", "data_type": "image", "object_detection": {}},
    "videos": {"videos": [], "annotations": [], "categories": []},
    "Ground Truth": {"source-ref": "s3://a", "job": {}},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_json_of_another_schema_is_named_and_not_claimed(tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / "a.jpg")
    path = put(tmp_path / "a.json", json.dumps(SCHEMAS[name]))
    assert coco.find(FolderIndex(tmp_path)) == [] and name in (schema_of(path) or "")
    with pytest.raises(DataError, match=rf"list of objects called 'images'; this looks like .*{name}[\s\S]*a\.json"):
        list(coco.read(FolderIndex(tmp_path), Source("coco", path, None), Reading()))


def test_an_unknown_schema_shows_its_keys(tmp_path: Path) -> None:
    path = put(save_picture(tmp_path / "a.jpg").with_name("a.json"), '{"images": [], "foo": 1, "bar": 2}')
    assert schema_of(path) is None
    with pytest.raises(DataError, match=r"called 'annotations'; its keys are images, foo, bar"):
        list(coco.read(FolderIndex(tmp_path), Source("coco", path, None), Reading()))


def test_lists_of_objects_with_the_three_words_are_not_claimed(tmp_path: Path) -> None:
    task = {"data": {"images": ["a.jpg"], "categories": 3}, "annotations": []}
    put(save_picture(tmp_path / "a.jpg").with_name("tasks.json"), "\n [" + json.dumps(task) + "]")
    assert coco.find(FolderIndex(tmp_path)) == []


def test_the_three_words_may_be_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.data.formats import _coco_find

    make_coco(tmp_path, content([image(1)], [box(1, 1)]))
    for size in range(1, 40):
        monkeypatch.setattr(_coco_find, "PIECE", size)
        assert len(coco.find(FolderIndex(tmp_path))) == 1, size
