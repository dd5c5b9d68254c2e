"""Trying a bundle before it is used: its own example must answer pictures as the version did when it was registered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.files import read_json
from tasks.base.site import Deploy

ALONE = Path(__file__).with_name("smoke_alone.py")
# all that a bundle needs to run: whatever it does, no password is at hand
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
        "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")


@dataclass(frozen=True)
class Bounds:
    """How far an answer may be from the expected one.

    Attributes:
        iou: overlap from which two boxes are the same, 0..1.
        score: difference of scores; inside it from a threshold a box may be missing or new.
        share: of the boxes that must have a partner.
    """

    iou: float
    score: float
    share: float


# the same file, maybe on another processor; and a file of another precision
SAME, OTHER = Bounds(0.85, 0.1, 0.9), Bounds(0.5, 0.25, 0.75)
SURE = 0.3  # score from which a box counts, where there are such


@dataclass(frozen=True)
class Smoke:
    """The result.

    Attributes:
        ok: whether the bundle may be used.
        text: why not, or what was tried.
    """

    ok: bool
    text: str


def try_bundle(bundle: Path, smoke: Path | None, deploy: Deploy, *, judged: bool = True) -> Smoke:
    """Start the bundle in a process of its own and compare its answers.

    Args:
        bundle: the folder.
        smoke: pictures and `answers.json` of the version; None or a missing folder: one made picture must give finite
            numbers.
        deploy: how many pictures, and within what time.
        judged: True for the very file that gave the expected answers.
    """
    threshold, wanted = expected(smoke, deploy.smoke_pictures) if smoke else (None, [])
    command = [sys.executable, "-P", "-B", str(ALONE), str(bundle), "" if threshold is None else str(threshold),
               *(str(picture) for picture, _ in wanted)]
    code, out, err = _run(command, deploy.smoke_timeout_s)
    if code is None:
        return Smoke(False, f"no answer within {deploy.smoke_timeout_s:g} s")
    if code != 0:
        return Smoke(False, f"it does not run: {_last(err) or f'exit code {code}'}")
    try:
        said = json.loads(out.strip().splitlines()[-1])
        answers = said["answers"]
    except (ValueError, KeyError, IndexError, TypeError):
        return Smoke(False, "its answer is not JSON")
    if not all(answer["finite"] for answer in answers):
        return Smoke(False, "it answers with numbers that are not finite")
    where = "" if said["provider"] == said["wanted"] else f" on {said['provider']}, {said['wanted']} is not here"
    if not wanted:
        return Smoke(True, f"a made picture{where}")
    bounds = SAME if judged else OTHER
    for (picture, boxes), answer in zip(wanted, answers, strict=True):
        if why := difference(boxes, answer["detections"], bounds):
            return Smoke(False, f"{picture.name}: {why}")
    return Smoke(True, f"{len(wanted)} pictures{where}")


def expected(folder: Path, most: int) -> tuple[float | None, list[tuple[Path, list[dict[str, Any]]]]]:
    """What registration wrote beside a version (`tasks.registry.smoke`).

    Returns:
        The threshold that the answers were given with, and pictures with their detections: class, score, box (xyxy in
        pixels of the picture). None and an empty list where there is nothing that can be used.
    """
    pairs = []
    try:
        told = read_json(folder / "answers.json")
        threshold = float(told["score_threshold"])
        for one in told["pictures"][:most]:
            found = zip(one["classes"], one["scores"], one["boxes"], strict=True)
            boxes = [{"class": name, "score": float(score), "box": list(box)} for name, score, box in found]
            pairs.append((folder / str(one["file"]), boxes))
    except (OSError, ValueError, KeyError, TypeError):
        return None, []
    inside = folder.resolve()
    return threshold, [(file, boxes) for file, boxes in pairs
                       if file.is_file() and file.resolve().is_relative_to(inside)]


def difference(wanted: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]], bounds: Bounds) -> str | None:
    """Why two lists of detections are not the same within bounds; None when they are.

    Weak boxes may differ: they come and go at the threshold, and when two overlap, by which one is first.
    """
    if not wanted and not got:
        return None
    scores = [float(box["score"]) for box in [*wanted, *got]]
    edge = SURE if max(scores) > SURE + bounds.score else min(scores) + bounds.score
    for name, these, those in (("missing", wanted, got), ("new", got, wanted)):
        sure = [box for box in these if float(box["score"]) > edge]
        alone = [box for box in sure if not any(_same(box, other, bounds) for other in those)]
        if sure and len(alone) > (1 - bounds.share) * len(sure):
            first = alone[0]
            return (f"{len(alone)} of {len(sure)} boxes are {name}, such as {first['class']!r} with a score of "
                    f"{float(first['score']):.2f}")
    return None


def _same(one: Mapping[str, Any], other: Mapping[str, Any], bounds: Bounds) -> bool:
    return (one["class"] == other["class"] and abs(float(one["score"]) - float(other["score"])) <= bounds.score
            and _iou(one["box"], other["box"]) >= bounds.iou)


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / union if union > 0 else 1.0


def _run(command: list[str], timeout_s: float) -> tuple[int | None, str, str]:
    """Exit code, output and errors; None for one that took too long: it and all that it started are ended."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    child = subprocess.Popen(command, cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
    try:
        out, err = child.communicate(timeout=timeout_s)
        return child.returncode, out, err
    except subprocess.TimeoutExpired:
        return None, "", ""
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
