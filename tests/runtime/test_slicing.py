"""Large pictures in tiles: small things are found, nothing is found twice, cut things become whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage

from tasks.runtime.detections import Detections
from tasks.runtime.letterbox import letterbox
from tasks.runtime.merging import merge
from tasks.runtime.slicing import Slicing, predict_sliced

HEIGHT, WIDTH = 240, 320


class Finder:
    """Finds what is of a colour, as a network does: on the fitted picture, and nothing that is too small there."""

    height, width = HEIGHT, WIDTH

    def __init__(self, mask: Callable[[np.ndarray], np.ndarray], smallest: int = 12) -> None:
        self.mask, self.smallest, self.sizes = mask, smallest, list[tuple[int, int]]()

    def predict(self, pictures: list[np.ndarray], score_threshold: float | np.ndarray = 0.05) -> list[Detections]:
        return [self.one(picture) for picture in pictures]

    def one(self, picture: np.ndarray) -> Detections:
        self.sizes.append((picture.shape[0], picture.shape[1]))
        canvas, scale = letterbox(picture, (HEIGHT, WIDTH))
        parts = ndimage.find_objects(ndimage.label(self.mask(canvas))[0])
        boxes = [(x.start, y.start, x.stop, y.stop) for y, x in parts
                 if min(x.stop - x.start, y.stop - y.start) >= self.smallest]
        limit = [picture.shape[1], picture.shape[0]] * 2
        found = np.minimum(np.array(boxes, np.float32).reshape(-1, 4) / scale, limit).astype(np.float32)
        # the smaller, the surer: what is cut would win if it were a matter of scores
        areas = np.prod(found[:, 2:] - found[:, :2], axis=1)
        order = np.argsort(areas, kind="stable")
        scores = (1 / (1 + areas[order] / 1e5)).astype(np.float32)
        return Detections(found[order], scores, np.zeros(len(found), np.int64))


def white(canvas: np.ndarray) -> np.ndarray:
    return canvas.min(axis=2) > 180


def nuclei(canvas: np.ndarray) -> np.ndarray:
    """White blood cells' nuclei are the only thing in BCCD that is far bluer than it is green."""
    seen = (canvas[..., 2].astype(int) - canvas[..., 1] > 55) & (canvas[..., 1] < 110)
    return ndimage.binary_closing(seen, iterations=2)


def painted(size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    picture = np.zeros((*size, 3), np.uint8)
    for left, top, right, bottom in boxes:
        picture[top:bottom, left:right] = 255
    return picture


def same(found: np.ndarray, truth: np.ndarray, off: float) -> bool:
    """One to one, every side within `off` pixels."""
    if len(found) != len(truth):
        return False
    left = [list(box) for box in truth]
    for box in found:
        near = [t for t in left if max(abs(a - b) for a, b in zip(box, t, strict=True)) <= off]
        if len(near) != 1:
            return False
        left.remove(near[0])
    return True


@pytest.fixture(scope="module")
def mosaic(mirror: Path) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen pictures of BCCD side by side, 2560 x 1920, and the nuclei that each alone shows in labelled cells."""
    finder, parts, truth = Finder(nuclei), [], []
    for file in sorted((mirror / "datasets/bccd/JPEGImages").glob("*.jpg")):
        picture = np.asarray(Image.open(file).convert("RGB"))
        boxes = finder.one(picture).boxes
        clear = len(boxes) and (boxes[:, :2].min() > 8 and (boxes[:, 2:] < [632, 472]).all())
        if picture.shape != (480, 640, 3) or not clear or max((boxes[:, 2:] - boxes[:, :2]).max(axis=0)) > 95:
            continue
        row, column = divmod(len(parts), 4)
        truth += [box + np.array([640 * column, 480 * row] * 2) for box in boxes]
        parts.append(picture)
        if len(parts) == 16:
            break
    assert len(parts) == 16
    rows = [np.concatenate(parts[at:at + 4], axis=1) for at in range(0, 16, 4)]
    return np.concatenate(rows), np.asarray(truth)


def test_slicing_finds_what_the_scaled_down_picture_misses(mosaic: tuple[np.ndarray, np.ndarray]) -> None:
    picture, truth = mosaic
    finder = Finder(nuclei)
    assert len(truth) >= 16
    assert len(finder.one(picture)) < len(truth) / 2
    found = predict_sliced(finder, picture, Slicing(tile=640, overlap=0.2))
    assert same(found.boxes, truth, 24)


def test_tiles_have_the_networks_shape_and_the_whole_picture_comes_last(
        mosaic: tuple[np.ndarray, np.ndarray]) -> None:
    finder = Finder(nuclei)
    predict_sliced(finder, mosaic[0], Slicing(tile=640, overlap=0.2))
    assert set(finder.sizes[:-1]) == {(480, 640)}
    assert finder.sizes[-1] == (1920, 2560)
    assert len(finder.sizes) == 5 * 5 + 1


def test_a_small_picture_is_looked_at_once() -> None:
    finder = Finder(white)
    found = predict_sliced(finder, painted((480, 640), [(100, 100, 200, 200)]), Slicing(tile=640))
    assert finder.sizes == [(480, 640)]
    assert len(found) == 1


@st.composite
def scattered(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Things no larger than the overlap, one in each of some cells of a coarse grid, so that none touch."""
    cells = draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 7)), max_size=25, unique=True))
    boxes = []
    for column, row in cells:
        wide, high = draw(st.tuples(st.integers(40, 100), st.integers(40, 90)))
        left, top = draw(st.tuples(st.integers(0, 120 - wide), st.integers(0, 110 - high)))
        boxes.append((140 * column + left, 130 * row + top, 140 * column + left + wide, 130 * row + top + high))
    return boxes


@settings(max_examples=25, deadline=None)
@given(scattered())
def test_what_is_no_larger_than_the_overlap_is_found_once_and_whole(boxes: list[tuple[int, int, int, int]]) -> None:
    found = predict_sliced(Finder(white), painted((1040, 1260), boxes), Slicing(tile=640, overlap=0.2))
    assert same(found.boxes, np.array(boxes), 4)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("box", [
    (420, 100, 700, 190),  # across one border, wider than the overlap
    (100, 330, 190, 620),  # the same, across the other
    (420, 330, 700, 620),  # across four tiles
    (30, 40, 1200, 300),  # wider than a tile
])
def test_what_no_tile_has_whole_is_one_box(box: tuple[int, int, int, int], whole: bool) -> None:
    found = predict_sliced(Finder(white), painted((1040, 1260), [box]), Slicing(tile=640, overlap=0.2, whole=whole))
    assert same(found.boxes, np.array([box]), 8)


def test_two_things_side_by_side_across_a_border_stay_two() -> None:
    boxes = [(480, 100, 560, 180), (572, 100, 652, 180), (664, 100, 744, 180)]
    found = predict_sliced(Finder(white), painted((600, 1260), boxes), Slicing(tile=640, overlap=0.2))
    assert same(found.boxes, np.array(boxes), 4)


Seen = tuple[np.ndarray, np.ndarray, np.ndarray]


def told(*boxes: tuple[float, float, float, float], scores: list[float] | None = None,
         classes: list[int] | None = None) -> Seen:
    count = len(boxes)
    return (np.array(boxes, np.float32).reshape(-1, 4), np.array(scores or [0.9] * count, np.float32),
            np.array(classes or [0] * count, np.int64))


TILES = np.array([[0, 0, 100, 100], [80, 0, 180, 100]])
BOTH = np.array([[0, 0, 100, 100], [80, 0, 180, 100], [0, 0, 180, 100]])


@pytest.mark.parametrize(("found", "expected"), [
    ([told(), told()], []),
    ([told((10, 10, 30, 30)), told((60, 10, 80, 30))], [(10, 10, 30, 30), (140, 10, 160, 30)]),
    ([told((82, 10, 98, 30)), told((2, 10, 18, 30))], [(82, 10, 98, 30)]),  # whole in both
    ([told((85, 10, 100, 30)), told((5, 10, 40, 30))], [(85, 10, 120, 30)]),  # cut in the first
    ([told((85, 10, 100, 30)), told((0, 40, 20, 60))], [(85, 10, 100, 30), (80, 40, 100, 60)]),  # cut, alone
    ([told((60, 10, 100, 30)), told((0, 10, 40, 30))], [(60, 10, 120, 30)]),  # parts of one
    ([told((60, 10, 100, 30)), told((0, 24, 40, 60))], [(60, 10, 100, 30), (80, 24, 120, 60)]),  # of two
])
def test_boxes_of_two_tiles_by_hand(found: list[Seen], expected: list[tuple[float, ...]]) -> None:
    made, *_ = merge(found, TILES, (100, 180), near=2, iou=0.55)
    assert sorted(map(tuple, made.tolist())) == sorted(expected)


def test_other_classes_do_not_matter() -> None:
    made, *_ = merge([told((85, 10, 100, 30)), told((5, 10, 40, 30), classes=[1])], TILES, (100, 180), near=2, iou=0.55)
    assert len(made) == 2


def test_overlapping_things_within_one_tile_were_judged_there() -> None:
    made, *_ = merge([told((10, 10, 50, 50), (12, 12, 30, 30)), told()], TILES, (100, 180), near=2, iou=0.55)
    assert len(made) == 2


@pytest.mark.parametrize(("found", "expected"), [
    ([told(), told(), told((20, 20, 160, 80))], [(20, 20, 160, 80)]),  # too large for the tiles
    ([told((20, 20, 100, 80)), told((0, 20, 80, 80)), told((20, 20, 160, 80))], [(20, 20, 160, 80)]),
    # a heap of what the tiles tell apart, however sure the low scale is of it
    ([told((10, 10, 40, 60), (42, 10, 74, 60), scores=[0.4, 0.4]), told(), told((10, 10, 74, 60), scores=[0.99])],
     [(10, 10, 40, 60), (42, 10, 74, 60)]),
])
def test_boxes_of_the_low_scale_by_hand(found: list[Seen], expected: list[tuple[float, ...]]) -> None:
    made, *_ = merge(found, BOTH, (100, 180), near=2, iou=0.55)
    assert sorted(map(tuple, made.tolist())) == sorted(expected)


def test_detections_are_in_the_order_of_their_scores() -> None:
    _, scores, classes = merge([told((10, 10, 30, 30), (40, 40, 60, 60), scores=[0.5, 0.3], classes=[0, 1]),
                  told((60, 10, 80, 30), scores=[0.4])], TILES, (100, 180), near=2, iou=0.55)
    assert scores.tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert classes.tolist() == [0, 0, 1]


@pytest.mark.parametrize("wrong", [{"tile": 4}, {"overlap": 1.0}, {"overlap": -0.1}, {"tiles": 640}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Slicing(**wrong)  # type: ignore[arg-type]
