"""Pictures in the page: readable crops, a budget that holds, and words for numbers."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from tasks.reporting import boxes, words
from tasks.reporting.boxes import NOTHING, Found
from tasks.reporting.pictures import encode, window_around


@pytest.mark.parametrize(
    "found",
    [[(0, 0, 10, 10)], [(630, 470, 640, 480)], [(0, 0, 640, 480)], [(300, 200, 300, 200)], [(-5, -5, 700, 500)],
     [(10, 10, 20, 20), (600, 400, 620, 420)]],
)  # fmt: skip
def test_window_lies_in_the_picture_and_holds_the_boxes(found: list[tuple[float, ...]]) -> None:
    left, top, right, bottom = window_around(found, (640, 480))
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 480
    for x1, y1, x2, y2 in found:
        assert left <= max(x1, 0) and min(x2, 640) <= right
        assert top <= max(y1, 0) and min(y2, 480) <= bottom


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (480, 640)])
def test_noise_is_encoded_within_the_limit(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    uri = encode(pixels, 9000)
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(base64.b64decode(uri.partition(",")[2])) <= 9000


def test_changes_between_two_lists_of_boxes() -> None:
    some = Found(np.array([[0, 0, 10, 10], [50, 50, 60, 60]], float), np.array([0.9, 0.8]), np.array([0, 1]))
    other = Found(some.boxes, some.scores, np.array([0, 0]))
    assert boxes.changed(some, some) == (0, 0)
    assert boxes.changed(some, other) == (1, 1)
    assert boxes.changed(some, NOTHING) == (2, 0)


@pytest.mark.parametrize(
    ("said", "text"),
    [(words.accuracy(0.8731), "0.873"), (words.accuracy(None), "n/a"), (words.accuracy(float("nan")), "n/a"),
     (words.points(-0.096), "\u22129.6"), (words.points(0.0001), "0.0"), (words.size(13_400_000), "13.4 MB"),
     (words.size(12), "12 B"), (words.count(4886), "4\u202f886"), (words.short(925_000), "925 k"),
     (words.times(8.56), "8.6×"), (words.plural(1, "box"), "1 box"), (words.plural(2, "box"), "2 boxes"),
     (words.plural(3, "class"), "3 classes"), (words.percent(0.276), "28 %"), (words.milliseconds(5.4), "5.40 ms")],
)  # fmt: skip
def test_numbers_read_well(said: str, text: str) -> None:
    assert said == text
