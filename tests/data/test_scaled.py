"""Pictures decoded straight to a smaller size: the same picture, whatever way leads there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import read_picture
from tasks.data.scaled import read_scaled
from tasks.runtime.letterbox import resize
from tests.data.folders import photograph, put

LARGE = Image.fromarray(photograph()).resize((1283, 857), Image.Resampling.BICUBIC)


def save(path: Path, orientation: int = 1, mode: str = "RGB", size: tuple[int, int] = (1283, 857)) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    LARGE.resize(size).convert(mode).save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_where_no_draft_is_made_it_is_to_the_bit_what_it_was(tmp_path: Path, name: str, orientation: int) -> None:
    path = save(tmp_path / name, orientation)
    whole = read_picture(path)
    for size in ((whole.shape[0], whole.shape[1]), (700, 600), (430, 650) if orientation == 1 else (650, 430)):
        pixels, before = read_scaled(path, lambda height, width, size=size: size)
        assert before == whole.shape[:2]
        assert np.array_equal(pixels, resize(whole, size))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shrink", [2, 2.7, 4, 5.3, 8, 11])
def test_a_draft_is_the_same_picture(tmp_path: Path, orientation: int, shrink: float) -> None:
    path = save(tmp_path / "a.jpg", orientation)
    whole = read_picture(path)
    size = round(whole.shape[0] / shrink), round(whole.shape[1] / shrink)
    asked = []
    pixels, before = read_scaled(path, lambda *of: (asked.append(of), size)[1])
    assert before == whole.shape[:2] and asked == [before]
    assert pixels.shape == (*size, 3) and pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - resize(whole, size)).mean()
    moved = np.abs(np.roll(pixels, 1, axis=1).astype(int) - resize(whole, size)).mean()
    assert difference < 5 and difference < moved / 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "a.jpg", mode=mode)
    expected = resize(read_picture(path), (107, 160))
    pixels, _ = read_scaled(path, lambda height, width: (107, 160))
    assert pixels.shape == (107, 160, 3) and np.abs(pixels.astype(int) - expected).mean() < 4


def test_the_boxes_edge_of_an_odd_size(tmp_path: Path) -> None:
    """A draft of 9 pixels out of 65 reaches past the picture: the last column must not come from there."""
    pixels = np.zeros((65, 65, 3), np.uint8)
    pixels[:, 32:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    small, _ = read_scaled(tmp_path / "a.jpg", lambda height, width: (8, 8))
    assert small[:, -1].min() > 200 and abs(int(small[4, 3:5].mean()) - 128) < 40


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_flaws_are_told_as_ever(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="picture is (zero size|unreadable)"):
        read_scaled(put(tmp_path / "a.jpg", content), lambda height, width: (5, 5))
    whole = save(tmp_path / "b.jpg").read_bytes()
    with pytest.raises(DataError, match="picture is truncated"):
        read_scaled(put(tmp_path / "b.jpg", whole[: len(whole) // 2]), lambda height, width: (100, 100))
