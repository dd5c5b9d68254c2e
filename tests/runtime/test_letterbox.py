"""Pictures into a fixed input: aspect kept, top left, grey at the right and bottom."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.runtime.letterbox import FILL, letterbox


@pytest.mark.parametrize(("size", "into", "inner", "scale"), [
    ((240, 320), (240, 320), (240, 320), 1.0),
    ((480, 640), (240, 320), (240, 320), 0.5),
    ((100, 400), (240, 320), (80, 320), 0.8),
    ((400, 100), (240, 320), (240, 60), 0.6),
    ((1, 1000), (64, 64), (1, 64), 0.064),
    ((20, 20), (64, 96), (64, 64), 3.2),
])
def test_where_the_picture_lies(size: tuple[int, int], into: tuple[int, int], inner: tuple[int, int],
                                scale: float) -> None:
    canvas, factor = letterbox(np.full((*size, 3), 200, dtype=np.uint8), into)
    assert canvas.shape == (*into, 3)
    assert factor == pytest.approx(scale)
    assert (canvas[: inner[0], : inner[1]] == 200).all()
    assert (canvas[inner[0]:] == FILL).all()
    assert (canvas[:, inner[1]:] == FILL).all()
