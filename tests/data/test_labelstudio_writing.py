from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.formats import coco, labelstudio
from tasks.data.formats._labelstudio_brush import decode_brush, encode_brush
from tasks.data.formats._labelstudio_regions import pixels
from tasks.data.formats._labelstudio_shapes import percent
from tasks.data.formats.record import Box, Picture, Reading
from tests.data.folders import HEIGHT, WIDTH, save_picture
from tests.data.roundtrip import export_of, plain, read_all, round_trip


def naive_decode(packed: list[int]) -> list[int]:
    """As its definition reads, on a string of bits."""
    bits, values = iter("".join(f"{byte:08b}" for byte in packed)), list[int]()

    def take(count: int) -> int:
        return int("".join(next(bits) for _ in range(count)), 2)

    count, word, sizes = take(32), take(5) + 1, [take(4) + 1 for _ in range(4)]
    while len(values) < count:
        repeated, length = take(1), 1 + take(sizes[take(2)])
        values += [take(word)] * length if repeated else [take(word) for _ in range(length)]
    return values


@given(seed=st.integers(0, 10 ** 6), height=st.integers(1, 20), width=st.integers(1, 20))
def test_brush_strokes_come_back(seed: int, height: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    mask = draw.random((height, width)) < draw.random()
    packed = encode_brush(mask)
    assert (np.array(naive_decode(packed)).reshape(height, width, 4)[..., 3] == 255 * mask).all()
    assert (decode_brush(packed, width, height) == mask).all()


def test_brush_strokes_of_single_values() -> None:
    # 8 values, one by one: two pixels, of which the second is painted
    values = "".join(f"{value:08b}" for value in (1, 2, 3, 0, 0, 0, 0, 200))
    bits = f"{8:032b}{7:05b}" + "0010" * 4 + "0" + "00" + "111" + values
    bits += "0" * (-len(bits) % 8)
    packed = [int(bits[place:place + 8], 2) for place in range(0, len(bits), 8)]
    assert decode_brush(packed, 2, 1).tolist() == [[False, True]]  # type: ignore[union-attr]


@given(place=st.floats(-1e4, 1e4), side=st.integers(1, 20_000))
def test_shares_give_the_same_pixels(place: float, side: int) -> None:
    share, exact = percent(place, side), round(place, 9)
    assert share is not None and abs(pixels(share, side) - place) <= 1e-9
    assert pixels(percent(exact, side), side) == exact


def test_everything_comes_back(tmp_path: Path) -> None:
    save_picture(tmp_path / "in/a b#t=1.jpg")
    triangle, square = [1.0, 2.0, 20.5, 2.0, 20.5, 30.25], [30.0, 30.0, 40.0, 30.0, 40.0, 40.0]
    more: Any = {"source": "human", "truncation": 0.25, "occlusion": 2, "reviewed_by": "ann", "difficult": True,
                 "iscrowd": True, "score": 0.9, "difficulty": 3.0, "attributes": {"colour": "red"}}
    points = [16.0, 24.0, 2.0, 0.0, 0.0, 0.0, 32.0, 36.0, 1.0]
    area = 0.5 * 19.5 * 28.25 + 50
    boxes = [Box("cat", 75.67, 2, 3.7, 4, "r", **more), Box("dog", 1, 2, 3, 4, "r", keypoints=points, source="human"),
             Box("cat", 1, 2, 39, 38, "r", area=area, polygons=[triangle, square], source="human")]
    picture = Picture("a b#t=1.jpg", "val", None, "r", boxes, "film", ["night"], ["cat"],
                      attributes={"data": {"camera": 7}, "shift": "late", "results": [{"type": "x"}]})
    keypoints = {"dog": {"names": ["nose", "ear", "tail"], "edges": [[0, 2]]}}
    made = export_of(labelstudio, [picture], Reading(keypoints=keypoints), tmp_path / "in", tmp_path)
    after, into = read_all(labelstudio, made.out)
    assert not +made.losses and not into.notes and into.keypoints == keypoints
    assert plain(after[0]) == plain(picture) | {"declared": (WIDTH, HEIGHT)}
    assert after[0].file == "images/a b#t=1.jpg" and (made.out / "label_config.xml").is_file()


def test_labels_of_one_model_are_predictions(tmp_path: Path) -> None:
    for number in (0, 1):
        save_picture(tmp_path / f"{number}.jpg", number)
    sources = ("model:v7", "model:v7", "human", "model:v7")
    boxes = [Box("cat", 1, 2, 3, 4, "r", source=source, score=0.5) for source in sources]
    pictures = [Picture("0.jpg", None, None, "r", boxes[:2]), Picture("1.jpg", None, None, "r", boxes[2:])]
    made = export_of(labelstudio, pictures, Reading(), tmp_path, tmp_path)
    after, _ = read_all(labelstudio, made.out)
    assert [[box.source for box in p.boxes] for p in after] == [["model:v7"] * 2, ["human"] * 2]
    assert made.losses["models named beside labels of people or of other models"] == 1


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "0.jpg")
    boxes = [Box("cat", 0, 0, 9, 9, "r", area=5.0), Box("cat", 0, 0, 9, 9, "r", polygons=[[0, 0, 9, 0, 9, 9]]),
             Box("cat", math.nan, 0, 9, 9, "r", attributes={"part": 1}),
             Box("cat", 0, 0, 9, 9, "r", keypoints=[1, 2, 2])]
    picture = Picture("0.jpg", None, None, "r", boxes, attributes={"data": {"image": "x", "split": "y"}})
    made = export_of(labelstudio, [picture], Reading(), tmp_path, tmp_path)
    assert +made.losses == {"boxes and areas other than their outline's": 2, "keypoints without names": 1,
                            "imported labels that become a person's": 4,
                            "attributes whose names mean something else in Label Studio": 2}
    after, into = read_all(labelstudio, made.out)
    assert math.isnan(after[0].boxes[2].x) and after[0].boxes[2].y == 0 and not into.notes


@pytest.mark.parametrize("folder", ["coco_tiny", "nuts_coco_seg"])
def test_real_labels_come_back(mirror: Path, tmp_path: Path, folder: str) -> None:
    raw = mirror / "datasets" / folder
    pictures, into = read_all(coco, raw)
    made = export_of(labelstudio, pictures, into, raw, tmp_path / "first")
    first, _ = read_all(labelstudio, made.out)
    before, after = round_trip(labelstudio, made.out, tmp_path / "again")
    assert [plain(p) for p in before] == [plain(p) for p in after] and len(before) == len(pictures)
    by_file = {p.file.removeprefix("images/"): p for p in first}
    for picture in pictures:
        for given_box, box in zip(picture.boxes, by_file[picture.file].boxes, strict=True):
            rounded = given_box.polygons and [[round(value, 9) for value in flat] for flat in given_box.polygons]
            assert (box.label, box.rle, box.polygons) == (given_box.label, given_box.rle, rounded)
