"""Video: which frames are worth labelling, and the boxes between two labelled ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.params import Params

SIDE = 32

TRACKS = pa.schema([
    ("track_id", pa.int64()), ("frame", pa.int64()), ("class_id", pa.int32()),
    *((name, pa.float64()) for name in "xywh"),
    # a person or a model looked at it here
    ("key", pa.bool_()),
])


class Choosing(Params):
    """Which frames become key frames.

    Attributes:
        change: a frame that differs from the last key frame by more than this is one; 0..1, see `change`.
        least: seconds that lie between two at least, unless the picture changes by more than `cut`.
        most: seconds after which there is one in any case.
        cut: a change of scene; the frame after it is one at once.
    """

    change: float = Field(default=0.06, ge=0, le=1, description="mean difference from the last key frame, 0 to 1")
    least: float = Field(default=0.5, ge=0, description="seconds between two at least")
    most: float = Field(default=10.0, gt=0, description="seconds between two at most")
    cut: float = Field(default=0.25, gt=0, le=1, description="mean difference that is another scene")


def signature(picture: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] as grey means of 32 × 32 parts: uint8 [1024]."""
    height, width = picture.shape[:2]
    grey = picture.astype(np.float32).mean(axis=2)
    rows, columns = (np.linspace(0, size, SIDE + 1).astype(np.int64)[:-1] for size in (height, width))
    if min(height, width) < SIDE:
        return grey[np.ix_(rows, columns)].round().astype(np.uint8).ravel()
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    area = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    return (sums / area).round().astype(np.uint8).ravel()


def change(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two signatures, 0..1."""
    return float(np.abs(one.astype(np.int16) - other).mean() / 255)


def choose(signatures: np.ndarray, times: np.ndarray, settings: Choosing | None = None) -> tuple[np.ndarray, list[str]]:
    """Positions of the key frames, int64 ascending, and why each is one. The first frame is one, and the last.

    A frame is compared with the last key frame, not with the frame before it: what changes slowly counts too.

    Args:
        signatures: uint8 [n, 1024], of frames in their order; times: seconds, float [n], not falling.
    """
    settings = settings or Choosing()
    if np.any(np.diff(times) < 0):
        raise DataError("the frames are not in the order of their times", where="times", mend="sort them")
    chosen: list[int] = []
    reasons: list[str] = []
    for at in range(len(times)):
        reason = "the first frame" if not chosen else _why(
            change(signatures[chosen[-1]], signatures[at]), float(times[at] - times[chosen[-1]]), settings)
        if reason is None and at == len(times) - 1:
            reason = "the last frame"
        if reason is not None:
            chosen.append(at)
            reasons.append(reason)
    return np.array(chosen, np.int64), reasons


def interpolate(keys: pa.Table, *, method: Literal["linear", "copy"] = "linear", frames: int | None = None,
                every: int = 1) -> pa.Table:
    """Boxes of each track on all frames from its first key frame to its last, in the form of `TRACKS`.

    linear: x, y, w and h each on the straight line between the two key frames; copy: as on the key frame before. A
    key frame whose column `outside` is true says that the object is gone: there is no box from there to the track's
    next key frame. The class is that of the key frame before.

    Args:
        keys: track_id, frame, class_id, x, y, w, h, each track and frame once; `outside` (bool) where it is needed.
        frames: how many the video has, or how many of it could be read.
        every: only frames that are multiples of this, and key frames.

    Raises:
        DataError: two key frames of a track on one frame, or key frames beyond the video's end.
    """
    track, frame = (keys[name].to_numpy().astype(np.int64) for name in ("track_id", "frame"))
    order = np.lexsort((frame, track))
    track, frame = track[order], frame[order]
    _refuse(track, frame, frames)
    xywh = np.stack([keys[name].to_numpy().astype(np.float64)[order] for name in "xywh"], axis=1)
    gone = keys["outside"].to_numpy(zero_copy_only=False).astype(bool)[order] if "outside" in keys.column_names else (
        np.zeros(len(track), bool))
    last = np.append(track[1:] != track[:-1], True) if len(track) else np.zeros(0, bool)
    # each key frame has its own row and those up to the next one of its track
    counts = np.where(gone, 0, np.where(last, 1, np.append(frame[1:], 0) - frame))
    key = np.repeat(np.arange(len(track)), counts)
    step = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
    following = np.where(last, np.arange(len(track)), np.arange(len(track)) + 1)
    # towards a key frame where the object is gone there is nothing to move to
    following = np.where(gone[following], np.arange(len(track)), following) if len(track) else following
    share = step / np.maximum(frame[following[key]] - frame[key], 1) if method == "linear" else np.zeros(len(key))
    boxes = xywh[key] + share[:, None] * (xywh[following[key]] - xywh[key])
    at = frame[key] + step
    keep = (step == 0) | (at % every == 0)
    label = keys["class_id"].to_numpy()[order].astype(np.int32)
    columns = [track[key][keep], at[keep], label[key][keep], *boxes[keep].T, (step == 0)[keep]]
    return pa.table([pa.array(column) for column in columns], schema=TRACKS)


def _refuse(track: np.ndarray, frame: np.ndarray, frames: int | None) -> None:
    twice = np.flatnonzero((np.diff(track) == 0) & (np.diff(frame) == 0))
    if len(twice):
        raise DataError(f"track {track[twice[0]]} has two boxes on frame {frame[twice[0]]}",
                        where=f"the first of {len(twice)}", mend="keep one of them, or give the other its own track")
    wrong = np.flatnonzero((frame < 0) | (frame >= (frames if frames is not None else np.iinfo(np.int64).max)))
    if len(wrong):
        raise DataError(f"track {track[wrong[0]]} has a box on frame {frame[wrong[0]]}; of the video {frames} frames "
                        "can be read", where=f"the first of {len(wrong)}",
                        mend="copy the video again, or take these boxes out")


def _why(changed: float, passed: float, settings: Choosing) -> str | None:
    if changed > settings.cut:
        return f"another scene: {changed:.3f} from the last key frame"
    if passed >= settings.most:
        return f"{passed:.1f} s after the last key frame"
    if changed > settings.change and passed >= settings.least:
        return f"changed by {changed:.3f} since the last key frame"
    return None
