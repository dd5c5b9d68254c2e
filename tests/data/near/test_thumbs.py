from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data.near.thumbs import SIDE, block_sums, box_blur, thumbnail
from tasks.data.near.verify import similarity
from tasks.data.pictures import Member
from tests.data.folders import put
from tests.data.near.scenes import save, scene, thumb
from tests.data.test_pictures import bomb


def test_formats_and_sizes_of_one_picture_look_the_same(tmp_path: Path) -> None:
    reference = thumb(save(tmp_path / "a.png", 4)).astype(float)
    assert reference.shape == (SIDE, SIDE) and reference.std() > 10
    large = scene(4).resize((1400, 1400), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=95)
    for path in (save(tmp_path / "a.jpg", 4, quality=95), save(tmp_path / "a.bmp", 4)):
        assert np.abs(thumb(path) - reference).mean() < 1
    # enlarging by cubic splines changes a little itself
    assert np.abs(thumb(tmp_path / "large.jpg") - reference).mean() < 5


def test_a_jpeg_of_odd_size_is_not_shifted(tmp_path: Path) -> None:
    odd = scene(4).resize((1001, 533))
    odd.save(tmp_path / "a.jpg", quality=95)
    odd.save(tmp_path / "a.png")
    assert similarity(thumb(tmp_path / "a.jpg")[None], thumb(tmp_path / "a.png")[None]) > 0.97


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_are_seen_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", 4, exif=exif, quality=95)
    with Image.open(path) as picture:
        from PIL import ImageOps

        ImageOps.exif_transpose(picture).save(tmp_path / "upright.png")
    assert np.abs(thumb(path).astype(float) - thumb(tmp_path / "upright.png")).mean() < 3


def test_colours_on_request(tmp_path: Path) -> None:
    found = thumbnail(save(tmp_path / "a.jpg", 4), 32, "RGB")
    assert found is not None and found.shape == (32, 32, 3)


def test_other_modes(tmp_path: Path) -> None:
    grey = np.asarray(scene(4).convert("L"))
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    scene(4).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    scene(4).convert("P").save(tmp_path / "palette.png")
    reference = thumb(save(tmp_path / "a.png", 4)).astype(float)
    for name in ("deep.png", "print.jpg", "palette.png"):
        assert np.abs(thumb(tmp_path / name) - reference).mean() < 4, name


def test_a_picture_in_an_archive(tmp_path: Path) -> None:
    data = save(tmp_path / "a.jpg", 4).read_bytes()
    archive = put(tmp_path / "all.bin", b"x" * 1000 + data + b"y" * 50)
    found = thumbnail(Member(archive, 1000, len(data), "a.jpg"))
    assert found is not None and np.array_equal(found, thumb(tmp_path / "a.jpg"))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0\x00\x10JF", None])
def test_what_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        put(tmp_path / "a.jpg", content)
    assert thumbnail(tmp_path / "a.jpg") is None


def test_truncated_and_too_large(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.jpg", 4).read_bytes()
    assert thumbnail(put(tmp_path / "b.jpg", whole[:len(whole) // 2])) is None
    assert thumbnail(bomb(tmp_path / "c.png")) is None


def test_sums_and_blur_are_those_of_their_definition() -> None:
    x = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    assert np.allclose(block_sums(x, 4), x.reshape(2, 2, 4, 2, 4).sum((2, 4)), atol=1e-5)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2)), "symmetric")
    slow = np.stack([[padded[:, i:i + 5, j:j + 5].mean((1, 2)) for j in range(8)] for i in range(8)]).transpose(2, 0, 1)
    assert np.allclose(box_blur(x, 2), slow, atol=1e-5)
