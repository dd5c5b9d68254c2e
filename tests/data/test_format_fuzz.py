"""Whatever a file holds, its reader gives rows and notes or raises DataError; what it gives can be written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import coco, labelstudio, voc
from tasks.data.formats._labelstudio_brush import decode_brush, encode_brush
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Picture, Reading, Source
from tests.data.folders import HEIGHT, WIDTH, box, image, put, save_picture
from tests.data.folders import coco as content
from tests.data.fuzz import changed_json, changed_xml
from tests.data.roundtrip import export_of

POINTS = [1, 2, 2, 3, 4, 1]
COCO = content([image(0, tags=["a"], group="g", more=[1]), image(1)], [
    box(1, 0, segmentation=[[1, 2, 30, 2, 30, 40], [1, 2, 3]], score=0.5, occlusion=1, source="human"),
    box(2, 1, 2, segmentation={"size": [HEIGHT, WIDTH], "counts": [5, HEIGHT * WIDTH - 5]}, iscrowd=1, ignore=1),
    box(3, 1, 1, keypoints=POINTS, attributes={"occluded": True}), box(3, 7, 1), box(4, 0, 9)])
COCO["categories"][0] |= {"keypoints": ["a", "b"], "skeleton": [[1, 2]]}
COCO |= {"info": {"year": 2026}}


def region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": kind[:3], "type": kind, "from_name": "l", "to_name": "image", "original_width": WIDTH,
            "original_height": HEIGHT, "value": value | {kind: ["cat"]}} | more


SQUARE = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 15}
TASKS = [
    {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-0.jpg", "split": "train", "tags": ["a"], "note": {"b": 1}},
     "meta": {"c": 2}, "annotations": [
        {"id": 5, "completed_by": {"id": 3, "email": "a@b"}, "updated_at": "2026-01-01", "reviews": [
            {"accepted": True, "created_by": 4}], "result": [
            region("rectanglelabels", SQUARE, score=0.5, meta={"difficult": True, "text": ["x"], "edges": [[0, 1]]}),
            region("polygonlabels", {"points": [[1, 2], [50, 2], [50, 60]]}),
            region("polygonlabels", {"points": [[1, 2], [50, 2], [50, 60]]}, parentID="pol", meta={"part": True}),
            region("brushlabels", {"format": "rle", "rle": encode_brush(np.eye(HEIGHT, WIDTH, dtype=bool))}),
            region("keypointlabels", {"x": 3, "y": 4, "width": 1}, parentID="rec"),
            region("keypointlabels", {"x": 3, "y": 4, "width": 1}), region("ellipselabels", {"x": 1}),
            {"type": "choices", "from_name": "c", "value": {"choices": ["night"]}},
            {"type": "textarea", "id": "rec", "from_name": "t", "value": {"textarea": ["x"]}},
            {"type": "relation", "from_id": "rec", "to_id": "pol"}]},
        {"id": 6, "was_cancelled": True, "result": []}]},
    {"id": 2, "data": {"img": "s3://b/1.jpg"}, "annotations": [], "predictions": [
        {"model_version": "v1", "score": 0.25, "created_at": 17, "result": [region("rectanglelabels", SQUARE)]}]}]

XML = """<annotation><folder>x</folder><filename>0.jpg</filename><size><width>64</width><height>48</height></size>
<verified>yes</verified><object><name>cat</name><pose>Left</pose><truncated>1</truncated><occluded>0</occluded>
<difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
<polygon><x1>1</x1><y1>2</y1><x2>30</x2><y2>2</y2><x3>30</x3><y3>40</y3></polygon></object></annotation>"""

Case = tuple[ModuleType, str, Callable[[int], bytes]]
CASES: dict[str, Case] = {
    "coco": (coco, "a.json", lambda seed: changed_json(COCO, seed)),
    "labelstudio": (labelstudio, "a.json", lambda seed: changed_json(TASKS, seed)),
    "voc": (voc, "Annotations/0.xml", lambda seed: changed_xml(XML, seed))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzz")
    for number in (0, 1):
        save_picture(root / f"{number}.jpg", number)
    put(root / "a.json", "{}")
    put(root / "Annotations/0.xml", "")
    return root


def attempt(name: str, root: Path, index: FolderIndex, text: bytes) -> tuple[list[Picture], Reading] | None:
    """What is read; None where the file was refused."""
    module, file, _ = CASES[name]
    put(root / file, text)
    module.find(index)
    source, into, pictures = Source(name, (root / file).parent if name == "voc" else root / file, None), Reading(), {}
    try:
        for item in module.read(index, source, into):
            if isinstance(item, More):
                pictures[item.file].boxes.extend(item.boxes)
            else:
                pictures.setdefault(item.file, item)
    except DataError as error:
        assert error.what and error.where
        return None
    return list(pictures.values()), into


def write(name: str, root: Path, tmp_path: Path, read: tuple[list[Picture], Reading]) -> None:
    """What was read goes into a table, which the format writes; what it writes is read."""
    pictures, into = read
    json.dumps([into.attributes, into.keypoints, into.ids], allow_nan=False).encode()
    if into.problem == "classify" and name == "voc":
        return
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        made = export_of(CASES[name][0], pictures, into, root, Path(place))
        module, index = CASES[name][0], FolderIndex(made.out)
        again = [item for source in module.find(index) for item in module.read(index, source, Reading())]
        assert sum(isinstance(item, Picture) for item in again) == len(pictures)


def test_the_valid_files_are_read_whole(folder: Path, tmp_path: Path) -> None:
    index = FolderIndex(folder)
    for name, text in (("coco", json.dumps(COCO)), ("labelstudio", json.dumps(TASKS)), ("voc", XML)):
        read = attempt(name, folder, index, text.encode())
        assert read is not None and sum(len(picture.boxes) for picture in read[0]) >= 1, name
        write(name, folder, tmp_path, read)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2 ** 32))
def test_changed_files(name: str, folder: Path, tmp_path: Path, seed: int) -> None:
    read = attempt(name, folder, FolderIndex(folder), CASES[name][2](seed))
    if read and seed % 4 == 0:
        write(name, folder, tmp_path, read)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=200, deadline=None)
@given(text=st.binary(max_size=200))
def test_bytes_of_any_kind(name: str, folder: Path, text: bytes) -> None:
    attempt(name, folder, FolderIndex(folder), text)


@settings(max_examples=300, deadline=None)
@given(packed=st.lists(st.integers(-1, 256), max_size=40), width=st.integers(0, 9), height=st.integers(0, 9))
def test_brush_strokes_of_any_kind(packed: list[int], width: int, height: int) -> None:
    head = list((4 * width * height).to_bytes(4, "big"))
    mask = decode_brush(head + packed, width, height)
    assert mask is None or mask.shape == (height, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_hundred_thousand_changed_files(name: str, folder: Path, tmp_path: Path) -> None:
    index, taken = FolderIndex(folder), 0
    for seed in range(100_000):
        read = attempt(name, folder, index, CASES[name][2](seed))
        taken += read is not None
        if read and seed % 200 == 0:
            write(name, folder, tmp_path, read)
    assert 10_000 < taken < 90_000
