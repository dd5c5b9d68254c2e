"""Key frames and the boxes between them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.labels.keyframes import TRACKS, Choosing, change, choose, interpolate, signature


def keys(rows: list[tuple], **more) -> pa.Table:
    names = ("track_id", "frame", "class_id", "x", "y", "w", "h")
    table = pa.table({name: pa.array([row[n] for row in rows], pa.int64() if n < 3 else pa.float64())
                      for n, name in enumerate(names)})
    for name, values in more.items():
        table = table.append_column(name, pa.array(values))
    return table


def films(grey: list[int]) -> np.ndarray:
    return np.array([np.full(1024, value, np.uint8) for value in grey]).reshape(len(grey), 1024)


def test_no_video_has_no_key_frames() -> None:
    positions, reasons = choose(films([]), np.zeros(0))
    assert len(positions) == 0 and reasons == []
    assert interpolate(keys([])).schema == TRACKS


def test_a_signature_is_the_mean_of_parts() -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32] = 200
    mean = signature(picture).reshape(32, 32)
    assert (mean[:16] == 200).all() and (mean[16:] == 0).all()
    assert signature(np.full((5, 7, 3), 9, np.uint8)).tolist() == [9] * 1024
    assert change(signature(picture), np.zeros(1024, np.uint8)) == pytest.approx(100 / 255)


def test_why_frames_are_chosen() -> None:
    grey, times = [0, 0, 20, 25, 25, 25, 250, 250], np.arange(8) * 1.0
    positions, reasons = choose(films(grey), times, Choosing(change=0.06, least=0.5, most=3, cut=0.5))
    assert positions.tolist() == [0, 2, 5, 6, 7]
    assert reasons == ["the first frame", "changed by 0.078 since the last key frame", "3.0 s after the last key frame",
                       "another scene: 0.882 from the last key frame", "the last frame"]


def test_a_slow_change_counts_and_a_quick_one_waits() -> None:
    slow, _ = choose(films(list(range(0, 60, 2))), np.arange(30) * 1.0, Choosing(change=0.06, most=1000))
    assert slow.tolist()[:3] == [0, 8, 16]
    quick, _ = choose(films([0, 30, 0, 30, 0, 30, 0]), np.arange(7) * 0.1, Choosing(change=0.06, least=0.3))
    assert quick.tolist() == [0, 3, 6]
    with pytest.raises(DataError, match="order of their times"):
        choose(films([0, 0]), np.array([1.0, 0]))


def test_linear_by_hand() -> None:
    made = interpolate(keys([(7, 10, 0, 0, 0, 10, 10), (7, 14, 1, 8, 4, 10, 20), (7, 15, 1, 0, 0, 1, 1)]))
    assert made["frame"].to_pylist() == [10, 11, 12, 13, 14, 15]
    assert made["x"].to_pylist() == [0, 2, 4, 6, 8, 0] and made["h"].to_pylist() == [10, 12.5, 15, 17.5, 20, 1]
    assert made["class_id"].to_pylist() == [0, 0, 0, 0, 1, 1]
    assert made["key"].to_pylist() == [True, False, False, False, True, True]


def test_copy_by_hand_and_every_second_frame() -> None:
    rows = [(7, 1, 0, 0, 0, 10, 10), (7, 5, 0, 8, 4, 10, 20)]
    made = interpolate(keys(rows), method="copy")
    assert made["x"].to_pylist() == [0, 0, 0, 0, 8]
    assert interpolate(keys(rows), every=2)["frame"].to_pylist() == [1, 2, 4, 5]


def test_an_object_that_leaves_and_comes_back() -> None:
    rows = [(1, 0, 0, 0, 0, 1, 1), (1, 2, 0, 9, 9, 1, 1), (1, 5, 0, 50, 0, 1, 1), (1, 6, 0, 60, 0, 1, 1)]
    made = interpolate(keys(rows, outside=[False, True, False, False]))
    assert made["frame"].to_pylist() == [0, 1, 5, 6] and made["x"].to_pylist() == [0, 0, 50, 60]


def test_tracks_do_not_touch_and_order_does_not_matter() -> None:
    rows = [(2, 3, 0, 9, 9, 1, 1), (1, 0, 0, 0, 0, 1, 1), (2, 1, 0, 5, 9, 1, 1), (1, 1, 0, 1, 0, 1, 1)]
    made = interpolate(keys(rows))
    assert list(zip(made["track_id"].to_pylist(), made["frame"].to_pylist(), made["x"].to_pylist(), strict=True)) == [
        (1, 0, 0), (1, 1, 1), (2, 1, 5), (2, 2, 7), (2, 3, 9)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999))
def test_against_numpy(seed) -> None:
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.permutation(40)[:int(rng.integers(1, 8))])
    boxes = rng.random((len(frames), 4))
    made = interpolate(keys([(0, int(f), 0, *b) for f, b in zip(frames, boxes, strict=True)]))
    at = np.arange(frames[0], frames[-1] + 1)
    assert made["frame"].to_pylist() == at.tolist()
    for n, name in enumerate("xywh"):
        assert made[name].to_pylist() == pytest.approx(np.interp(at, frames, boxes[:, n]).tolist())


def test_bad_tracks() -> None:
    with pytest.raises(DataError, match="track 1 has two boxes on frame 3"):
        interpolate(keys([(1, 3, 0, 0, 0, 1, 1), (1, 3, 0, 0, 0, 1, 1)]))
    with pytest.raises(DataError, match="of the video 10 frames can be read"):
        interpolate(keys([(1, 3, 0, 0, 0, 1, 1), (1, 12, 0, 0, 0, 1, 1)]), frames=10)
