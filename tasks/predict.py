"""Boxes on pictures and videos: what `visionmill predict` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tasks.base.files import write_json
from tasks.base.progress import Progress
from tasks.data.pictures import read_picture
from tasks.runtime.video import Frame, Video, writing
from tasks.seeing.drawing import Row
from tasks.seeing.inputs import collect, drawn_names, is_video, spare_originals
from tasks.seeing.looking import Looker
from tasks.seeing.options import Options


def run_predict(inputs: Sequence[Path], out: Path, model: str | None = None, options: Options | None = None,
                workspace: Path = Path()) -> dict[str, Any]:
    """Detect, draw and write into `out`: `NAME.png` a picture, `NAME.mp4` a video, and `predictions.json`.

    Args:
        inputs: pictures, videos, and folders of them.
        out: folder, made when it is not there.
        model: a file, a model folder, a bundle or `models:/NAME@ALIAS`; the workspace's own when None.
        options: thresholds, runtime, tiles, a classifier.
        workspace: where the default model is looked for.

    Returns:
        What predictions.json says: `model`, `provider` (what really ran), `runtime`, `precision`; `pictures`: name →
        rows of class, score (0..1), box (xyxy in pixels), label and label_score; `videos`: name → `frames` (frame,
        time in seconds, detections), `read`, `rate`, and `flaw` where less could be read than there should be.

    Raises:
        UserError: nothing to look at, an original would be replaced, no such model, class or device.
        DataError: a picture or a video cannot be read.
    """
    options = options or Options()
    files = collect(inputs, out)
    drawn = [out / name for name in drawn_names(files)]
    spare_originals(files, [*drawn, out / "predictions.json"])
    videos = {file: Video(file) for file in files if is_video(file)}  # what is none is told before work begins
    look = Looker(model, options, workspace)
    out.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {"model": model or "workspace", "provider": look.provider, "pictures": {}, "videos": {},
                            "runtime": look.detector.runtime, "precision": look.detector.precision}
    start, progress = time.perf_counter(), Progress(len(files), "files")
    for file, target in zip(files, drawn, strict=True):
        if file in videos:
            said["videos"][str(file)] = _video(look, videos[file], target, options.every)
        else:
            said["pictures"][str(file)] = _picture(look, file, target)
        if len(files) > 1:
            progress.step()
    write_json(out / "predictions.json", said)
    took = time.perf_counter() - start
    print(f"{look.looks} pictures through {look.provider} ({look.detector.runtime}, {look.detector.precision}): "
          f"{look.pace()}, with reading and drawing {look.looks / max(took, 1e-9):.1f}")
    return said


def _picture(look: Looker, file: Path, target: Path) -> list[Row]:
    picture = read_picture(file)
    said = look(picture)
    Image.fromarray(look.drawn(picture, said)).save(target)
    print(f"{file.name}: {look.counted(said)} → {target}")
    return said


def _video(look: Looker, video: Video, target: Path, every: int) -> dict[str, Any]:
    frames: list[dict[str, Any]] = []
    with writing(target, video.facts.rate / every) as write:
        for frame in _counted(video, every):
            said = look(frame.picture)
            write(look.drawn(frame.picture, said), frame.time)
            frames.append({"frame": frame.number, "time": round(frame.time, 4), "detections": said})
    print(f"{video.path.name}: {len(frames)} of {video.read} frames looked at; "
          f"{look.counted([row for frame in frames for row in frame['detections']])} → {target}")
    told = {"frames": frames, "read": video.read, "every": every, "rate": round(float(video.facts.rate), 4)}
    if video.flaw:
        print(f"warning: {video.path}: {video.flaw}; what could be read is kept", file=sys.stderr)
        told["flaw"] = video.flaw
    return told


def _counted(video: Video, every: int) -> Iterator[Frame]:
    progress = Progress(-(-video.facts.about // every), f"{video.path.name}: frames")
    for frame in video.frames(every):
        yield frame
        if progress.done < progress.total and video.facts.about:
            progress.step()
