"""Polygons of masks: exact where asked, near otherwise, never crossing themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

from tasks.labelling.teachers.prompting.outlines import crosses, outlines, simplify, trace


def area(ring: list[float]) -> float:
    """Twice-signed shoelace, halved: pixels²."""
    x, y = np.array(ring).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def painted(rings: list[list[float]], shape: tuple[int, int]) -> np.ndarray:
    return coco.decode(coco.merge(coco.frPyObjects(rings, *shape))).astype(bool)


def round_mask(radius: float = 20.0, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5
    return (x - size / 2) ** 2 + (y - size / 2) ** 2 < radius ** 2


@pytest.mark.parametrize("rows", [
    [], ["#"], ["##", "##"], ["###", "#..", "###"], [".#.", "###", ".#."], ["####", "#..#", "####"], ["##..", "..##"],
    ["#####", "#...#", "#.#.#", "#...#", "#####"], ["##.", "##.", ".##", ".##"],
], ids=["none", "pixel", "square", "c", "plus", "ring", "two", "island in a ring", "stairs"])
def test_the_exact_edge_has_the_area_of_the_filled_pixels(rows: list[str]) -> None:
    mask = np.zeros((7, 9), bool)
    for y, row in enumerate(rows):
        mask[y + 1, 2:2 + len(row)] = [sign == "#" for sign in row]
    labels, count = ndimage.label(mask)
    pieces = [ndimage.binary_fill_holes(labels == number + 1) for number in range(count)]
    wanted = sorted((float(piece.sum()) for piece in pieces if (labels[piece] > 0).sum() >= 4), reverse=True)
    assert [area(ring) for ring in outlines(mask, tolerance=0, least=0)] == pytest.approx(wanted)


def test_a_hand_made_edge() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    assert outlines(mask, tolerance=0) == [[2, 1, 5, 1, 5, 3, 2, 3]]
    mask[3, 2:4] = True
    assert outlines(mask, tolerance=0) == [[2, 1, 5, 1, 5, 3, 4, 3, 4, 4, 2, 4]]


def test_speckles_go_and_real_pieces_stay_largest_first() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:15, 5:15], mask[20:50, 20:50], mask[55, 55] = True, True, True
    assert [area(ring) for ring in outlines(mask, tolerance=0)] == [900, 100]
    assert [area(ring) for ring in outlines(mask, tolerance=0, least=0.2)] == [900]


@pytest.mark.parametrize(("tolerance", "corners"), [(0.75, 50), (1.0, 30), (3.0, 14)])
def test_a_circle_is_few_corners_near_its_edge(tolerance: float, corners: int) -> None:
    mask = round_mask()
    ring = outlines(mask, tolerance)[0]
    assert len(ring) / 2 <= corners
    inside, given = painted([ring], mask.shape), mask
    assert (inside & given).sum() / (inside | given).sum() > 1 - 0.07 * tolerance


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), smooth=st.floats(0.5, 4), tolerance=st.sampled_from([0.5, 1.0, 2.5]))
def test_no_ring_crosses_itself_and_none_leaves_the_edge(seed: int, smooth: float, tolerance: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), smooth)
    mask = noise > np.quantile(noise, 0.6)
    labels, count = ndimage.label(mask)
    for number in range(1, count + 1):
        edge = trace(ndimage.binary_fill_holes(labels == number))
        ring = simplify(edge, tolerance)
        assert not crosses(ring)
        assert away(edge, ring).max() <= tolerance + 1e-9
        assert len(ring) <= len(edge)


def away(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """From each point to the nearest side of a ring."""
    a, along = ring, np.roll(ring, -1, axis=0) - ring
    offset = points[:, None] - a[None]
    share = ((offset * along).sum(axis=2) / (along ** 2).sum(axis=1)).clip(0, 1)
    return np.sqrt(((offset - share[..., None] * along) ** 2).sum(axis=2)).min(axis=1)


def test_a_cross_is_seen() -> None:
    assert crosses(np.array([[0, 0], [2, 2], [2, 0], [0, 2]], float))
    assert not crosses(np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float))
