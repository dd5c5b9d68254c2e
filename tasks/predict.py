"""Boxes on pictures: what `visionmill predict` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.base.errors import UserError, nearest
from tasks.base.files import write_json
from tasks.data.pictures import SUFFIXES, read_picture
from tasks.metrics.targets import chosen_targets
from tasks.registry.versions import resolve_model
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector, open_detector

DEFAULT_THRESHOLD = 0.5
# Okabe and Ito's colours, told apart by most colour-blind people
COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]


def default_model(workspace: Path = Path()) -> Path:
    """The pruned file of a workspace for one of its export targets, INT8 ones first, else its pruned or trained model.

    Raises:
        UserError: nothing has been made yet.
    """
    made = [f"exports/{target}/pruned.onnx" for target in reversed(chosen_targets(workspace / "params.yaml"))]
    for name in (*sorted(made, key=lambda name: "int8" not in name), "models/pruned", "models/trained"):
        if (workspace / name).exists():
            return workspace / name
    raise UserError("there is no model in this workspace yet", where=workspace.resolve(),
                    mend="visionmill run, or name one: --model FILE or models:/NAME@champion")


def thresholds(detector: Detector, asked: Sequence[str]) -> np.ndarray:
    """Score thresholds float32 [K] from `0.5` and `NAME=0.3` in any order; the model's own where nothing is asked.

    Raises:
        UserError: an unknown class or no number in 0..1.
    """
    own = {name: detector.thresholds.get(name, DEFAULT_THRESHOLD) for name in detector.classes}
    named: dict[str, float] = {}
    for text in asked:
        name, _, number = text.rpartition("=")
        value = _number(number, text)
        if not name:
            own = dict.fromkeys(own, value)
        elif name in own:
            named[name] = value
        else:
            guess = nearest(name, own)
            raise UserError(f"the model knows no class {name!r}", where=f"--threshold {text}",
                            mend=f"did you mean {guess!r}?" if guess else f"classes: {', '.join(own)}")
    return np.asarray([named.get(name, own[name]) for name in detector.classes], dtype=np.float32)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"a threshold is a number from 0 to 1, got {text!r}", where=f"--threshold {whole}",
                        mend="--threshold 0.5, or for one class --threshold NAME=0.3")
    return value


def collect(inputs: Sequence[Path]) -> list[Path]:
    """The pictures that the arguments name; a folder stands for all pictures in it.

    Raises:
        UserError: a path does not exist, or there is no picture at all.
    """
    found: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise UserError("no such picture", where=path, mend="name a picture or a folder of pictures")
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        found.extend(inside)
    if not found:
        raise UserError("no picture found", where=", ".join(map(str, inputs)),
                        mend=f"known: {' '.join(sorted(SUFFIXES))}")
    return found


def run_predict(pictures: Sequence[Path], out: Path, model: str | None = None, threshold: Sequence[str] = (),
                workspace: Path = Path()) -> dict[str, list[dict[str, Any]]]:
    """Detect, draw and write `NAME.png` a picture and `predictions.json` into `out`.

    Args:
        pictures: files and folders.
        out: folder, made when it is not there.
        model: a file, a model folder or `models:/NAME@ALIAS`; the workspace's own when None.
        threshold: `0.5` for all classes, `NAME=0.3` for one.
        workspace: where the default model is looked for.

    Returns:
        Detections by picture: class, score (0..1), box (xyxy in pixels).
    """
    files = collect(pictures)
    detector = open_detector(resolve_model(model, "deployed", workspace) if model else default_model(workspace))
    limits = thresholds(detector, threshold)
    names = _names(files)
    _spare_originals(files, [out / name for name in names])
    out.mkdir(parents=True, exist_ok=True)
    said: dict[str, list[dict[str, Any]]] = {}
    for file, name in zip(files, names, strict=True):
        picture = read_picture(file)
        found = detector.predict([picture], score_threshold=limits)[0]
        said[str(file)] = rows(found, detector.classes)
        draw(picture, found, detector.classes).save(out / name)
        counts = {c: sum(r["class"] == c for r in said[str(file)]) for c in detector.classes}
        print(f"{file.name}: {', '.join(f'{n} {c}' for c, n in counts.items() if n) or 'nothing'} → {out / name}")
    write_json(out / "predictions.json", {"model": model or "workspace", "provider": detector.provider,
                                          "pictures": said})
    print(f"{len(files)} pictures through {detector.provider}")
    return said


def _names(files: list[Path]) -> list[str]:
    single = len({f.stem for f in files}) == len(files)
    return [f"{file.stem}.png" if single else f"{at:05d}-{file.stem}.png" for at, file in enumerate(files)]


def _spare_originals(files: list[Path], drawn: list[Path]) -> None:
    both = {f.resolve() for f in files} & {d.resolve() for d in drawn}
    if both:
        raise UserError("the drawn picture would replace the original", where=sorted(both)[0],
                        mend="--out another folder")


def rows(found: Detections, classes: list[str]) -> list[dict[str, Any]]:
    """Detections as plain data, best first."""
    return [{"class": classes[int(c)], "score": round(float(s), 4), "box": [round(float(v), 2) for v in box]}
            for box, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)]


def draw(picture: np.ndarray, found: Detections, classes: list[str]) -> Image.Image:
    """The picture with boxes, class names and scores."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    width = max(2, round(max(canvas.size) / 320))
    font = ImageFont.load_default(size=max(11, round(max(canvas.size) / 45)))
    for row in reversed(rows(found, classes)):
        colour = COLOURS[classes.index(row["class"]) % len(COLOURS)]
        left, top, right, bottom = row["box"]
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
        text = f"{row['class']} {row['score']:.2f}"
        room = pen.textbbox((left, top), text, font=font)
        at = (min(left, canvas.width - (room[2] - room[0]) - 2), max(0, top - (room[3] - room[1]) - 4))
        pen.rectangle(pen.textbbox(at, text, font=font), fill=colour)
        pen.text(at, text, fill="black", font=font)
    return canvas
