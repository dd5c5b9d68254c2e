"""A classifier file says what a picture shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.runtime.classifier import open_classifier
from tests.runtime.hand_made import classifier, detector


@pytest.mark.parametrize("runtime", [None, "openvino"])
def test_scores_of_a_picture_of_any_size(tmp_path: Path, runtime: str | None) -> None:
    found = open_classifier(classifier(tmp_path / "x.onnx"), 1, runtime)
    assert (found.classes, found.height, found.width, found.precision) == (["a", "b"], 8, 8, "fp32")
    red = np.zeros((30, 30, 3), dtype=np.uint8)
    red[..., 0] = 200
    scores = found.scores(red)
    assert (scores.shape, scores.dtype) == ((2,), np.float32)
    np.testing.assert_allclose(scores, [1, 0], atol=1e-6)
    np.testing.assert_allclose(found.scores(red[..., [1, 0, 2]]), [0, 1], atol=1e-6)


def test_a_detector_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'detect', not 'classify'"):
        open_classifier(detector(tmp_path / "x.onnx"))
