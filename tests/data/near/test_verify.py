from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.data.near.finding import THRESHOLD
from tasks.data.near.planting import COPIES
from tasks.data.near.thumbs import SIDE
from tasks.data.near.verify import similarity
from tests.data.near.scenes import SIDE as PIXELS
from tests.data.near.scenes import copy, save, scene, thumb

SCENES = range(12)


@pytest.fixture(scope="module")
def thumbs(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("scenes")
    return np.stack([thumb(save(folder / f"{number}.png", number)) for number in SCENES])


def test_a_picture_agrees_with_itself(thumbs: np.ndarray) -> None:
    assert similarity(thumbs, thumbs).min() > 0.99


def test_other_pictures_do_not_agree(thumbs: np.ndarray) -> None:
    a, b = np.triu_indices(len(thumbs), 1)
    assert similarity(thumbs[a], thumbs[b]).max() < 0.6


@pytest.mark.parametrize("kind", COPIES)
def test_copies_agree(tmp_path: Path, thumbs: np.ndarray, kind: str) -> None:
    copies = np.stack([thumb(copy(tmp_path / f"{n}.jpg", n, kind)) for n in SCENES])
    found = similarity(thumbs, copies)
    # a bright sky that becomes white all over is lost
    assert (found >= THRESHOLD).sum() >= len(SCENES) - (kind in ("relit", "everything"))


def test_mirrored_pictures_do_not_agree(thumbs: np.ndarray) -> None:
    assert similarity(thumbs, thumbs[:, :, ::-1]).max() < THRESHOLD


@pytest.mark.parametrize(("down", "right"), [(0.06, 0), (0, -0.09), (0.08, 0.08), (-0.05, 0.07)])
def test_two_crops_of_one_picture_agree(tmp_path: Path, down: float, right: float) -> None:
    low, high = 0.1, 0.9
    found = []
    for number in (0, 7, 9, 10):
        for name, (x, y) in (("a", (0, 0)), ("b", (right, down))):
            left, top, right_end, bottom = (round(PIXELS * at) for at in (low + x, low + y, high + x, high + y))
            scene(number).crop((left, top, right_end, bottom)).save(tmp_path / f"{number}{name}.png")
        found.append(similarity(*(thumb(tmp_path / f"{number}{name}.png")[None] for name in "ab"))[0])
    assert min(found) >= THRESHOLD


def test_other_things_before_one_background_do_not_agree(thumbs: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    several = np.repeat(thumbs[:4], 8, axis=0)
    for picture in several:
        for _ in range(6):
            top, left = rng.integers(SIDE - 18, size=2)
            picture[top:top + 18, left:left + 18] = rng.integers(0, 2, (6, 6)).repeat(3, 0).repeat(3, 1) * 255
    assert similarity(several[:-1], several[1:]).max() < THRESHOLD


def test_pictures_without_detail_are_no_copies() -> None:
    blank = np.full((2, SIDE, SIDE), 200, np.uint8)
    ramp = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (2, SIDE, 1))
    noise = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE), dtype=np.uint8)
    for pair in ((blank[:1], blank[1:]), (blank[:1], noise[:1]), (noise[:1], noise[1:]),
                 (ramp[:1], ramp[:1].transpose(0, 2, 1))):
        found = similarity(*pair)
        assert np.isfinite(found).all() and found[0] < 0.5


def test_the_size_of_batches_does_not_matter(thumbs: np.ndarray) -> None:
    a, b = np.triu_indices(len(thumbs), 1)
    alone = np.array([similarity(thumbs[i:i + 1], thumbs[j:j + 1])[0] for i, j in zip(a[:20], b[:20], strict=True)])
    assert np.allclose(similarity(thumbs[a], thumbs[b])[:20], alone, atol=2e-4)


def test_no_pairs() -> None:
    assert similarity(np.empty((0, SIDE, SIDE), np.uint8), np.empty((0, SIDE, SIDE), np.uint8)).shape == (0,)
