"""The pictures that a network is trained on: sizes, boxes, and the same pixels whatever keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import read_picture
from tasks.data.table import Dataset
from tasks.runtime.letterbox import resize
from tasks.training import cache
from tasks.training.pictures import Pictures
from tests.data.folders import photograph

SHAPE = (96, 128)
GOLDEN = "3a12749e7b9af6f6ecef0364"


def with_column(dataset: Dataset, name: str, values: list[object]) -> Dataset:
    images, field = dataset.images, dataset.images.schema.field(name)
    column = pa.array(values, field.type)
    return replace(dataset, images=images.set_column(images.column_names.index(name), field, column))


def all_of(pictures: Pictures) -> list[torch.Tensor]:
    return [pictures[i][0] for i in range(len(pictures))]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_pictures_at_twice_the_input_and_their_boxes(tiny: tuple[Path, Dataset]) -> None:
    raw, dataset = tiny
    whole, half = Pictures(raw, dataset, SHAPE), Pictures(raw, dataset, (24, 32))
    assert (len(whole), whole[0][0].shape, half[0][0].shape) == (8, (3, 96, 128), (3, 48, 64))
    assert torch.equal(half[0][1].boxes, whole[0][1].boxes / 2)
    assert whole[0][0].dtype == torch.uint8 and whole[0][1].labels.tolist() == [0]


@pytest.mark.parametrize("shape", [SHAPE, (40, 40), (24, 32), (15, 11)])
def test_pixels_are_to_the_bit_those_of_pillow(tiny: tuple[Path, Dataset], shape: tuple[int, int]) -> None:
    raw, dataset = tiny
    for index, pixels in enumerate(all_of(Pictures(raw, dataset, shape))):
        whole = read_picture(raw / f"{index}.png")
        scale = min(1.0, 2 * min(shape[0] / 96, shape[1] / 128))
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), resize(whole, (round(96 * scale), round(128 * scale))))


def test_golden_pixels(tiny: tuple[Path, Dataset]) -> None:
    """A change of these is a change of training: wanted or not, it must be seen."""
    digest = hashlib.sha256()
    for pixels in all_of(Pictures(*tiny, (40, 40))):
        digest.update(pixels.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:24] == GOLDEN


def test_a_large_jpeg_is_decoded_at_a_fraction(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    Image.fromarray(photograph()).resize((1280, 856)).save(tmp_path / "0.jpg", quality=95)
    dataset = with_column(replace(tiny[1], images=tiny[1].images.slice(0, 1)), "file", ["0.jpg"])
    picture, target = Pictures(tmp_path, dataset, (107, 160))[0]
    expected = resize(read_picture(tmp_path / "0.jpg"), (214, 320))
    assert picture.shape == (3, 214, 320)
    assert np.abs(picture.permute(1, 2, 0).numpy().astype(int) - expected).mean() < 4
    assert torch.equal(target.boxes, Pictures(*tiny, SHAPE)[0][1].boxes / 4)


def test_pictures_inside_archives(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    raw, dataset = tiny
    contents = [(raw / f"{i}.png").read_bytes() for i in range(8)]
    (tmp_path / "shard.zip").write_bytes(b"head" + b"".join(contents))
    starts = [4 + sum(map(len, contents[:i])) for i in range(8)]
    for name, values in {"shard": ["shard.zip"] * 8, "offset": starts, "bytes": list(map(len, contents))}.items():
        dataset = with_column(dataset, name, values)
    assert same(all_of(Pictures(tmp_path, dataset, SHAPE)), all_of(Pictures(*tiny, SHAPE)))


@pytest.mark.parametrize(("cache_mb", "disk_mb", "memory", "disk"), [
    (100, 0, 8, False), (100, 10, 8, False), (0, 0, 0, False), (0, 10, 0, True)])
def test_what_keeps_them_changes_no_pixel(tiny: tuple[Path, Dataset], tmp_path: Path, cache_mb: int, disk_mb: int,
                                          memory: int, disk: bool) -> None:
    expected = all_of(Pictures(*tiny, SHAPE, 0))
    pictures = Pictures(*tiny, SHAPE, cache_mb, tmp_path / "kept", disk_mb)
    for _ in range(3):
        assert same(all_of(pictures), expected)
    assert len(pictures._cache) == memory and (tmp_path / "kept").exists() is disk
    assert same(all_of(Pictures(*tiny, SHAPE, cache_mb, tmp_path / "kept", disk_mb)), expected)


def test_the_disk_is_read_instead_of_the_pictures(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    raw, dataset = tiny
    (tmp_path / "raw").symlink_to(raw)
    expected = all_of(Pictures(tmp_path / "raw", dataset, SHAPE, 0, tmp_path / "kept", 10))
    (tmp_path / "raw").unlink()
    again = Pictures(tmp_path / "raw", dataset, SHAPE, 0, tmp_path / "kept", 10)
    assert same(all_of(again), expected)
    assert torch.equal(again[3][1].boxes, Pictures(*tiny, SHAPE, 0)[3][1].boxes)
    with pytest.raises(DataError):  # of another size, nothing is kept
        all_of(Pictures(tmp_path / "raw", dataset, (24, 32), 0, tmp_path / "kept", 10))
    with pytest.raises(DataError):  # nor of other pictures
        other = with_column(dataset, "digest", ["f" * 64] * 8)
        all_of(Pictures(tmp_path / "raw", other, SHAPE, 0, tmp_path / "kept", 10))


def test_a_table_that_is_wrong_about_sizes_is_not_believed(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    raw, dataset = tiny
    wrong = with_column(dataset, "width", [64, 0, 256, 128, 128, 128, 128, 128])
    for _ in range(2):
        found = Pictures(raw, wrong, (48, 64), 0, tmp_path, 10)
        expected = Pictures(raw, dataset, (48, 64), 0)
        assert same(all_of(found), all_of(expected))
        assert all(torch.equal(found[i][1].boxes, expected[i][1].boxes) for i in range(8))


def test_another_decoder_keeps_other_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache.cache_key(["a", "b"], 1)
    assert key == cache.cache_key(["a", "b"], 1)
    assert len({key, cache.cache_key(["b", "a"], 1), cache.cache_key(["a", "b"], 2)}) == 3
    monkeypatch.setattr(cache.PIL, "__version__", "0")
    assert key != cache.cache_key(["a", "b"], 1)
