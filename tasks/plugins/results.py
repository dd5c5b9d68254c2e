"""What an executor leaves behind, read as hostile: scores of pictures, boxes, models."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from tasks.base.errors import DataError
from tasks.plugins.contract import load_yaml
from tasks.plugins.plain import open_plain

# bytes of a result at most, and more for each picture that was given: some 1,500 boxes, or a path and a score
MOST_BOXES, EACH_BOXES = 16 << 20, 256 << 10
MOST_SCORES, EACH_SCORE = 1 << 20, 1 << 10
NAMED = 20  # flaws that are told
STAGE = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a result: a point of the contract, and where and what in words."""

    point: str
    detail: str


@dataclass
class Flaws:
    """Flaws as they are found; all are counted and the first are kept."""

    count: int = 0
    kept: list[Flaw] = field(default_factory=list)

    def add(self, point: str, detail: str) -> None:
        self.count += 1
        if len(self.kept) < NAMED:
            self.kept.append(Flaw(point, detail))

    def of(self, point: str) -> list[str]:
        return [flaw.detail for flaw in self.kept if flaw.point == point]

    def refuse(self, where: Path, allow: Sequence[str] = ()) -> None:
        """Raises DataError with the first flaws, but for points in `allow`."""
        told = [flaw for flaw in self.kept if flaw.point not in allow]
        if told:
            lines = [f"{flaw.point}: {flaw.detail}" for flaw in told[:5]]
            more = f" (and {self.count - 1} more)" if self.count > 1 else ""
            raise DataError(f"the plug-in's result cannot be used: {lines[0]}{more}",
                            where="\n    ".join([str(where), *lines[1:]]),
                            mend="visionmill plugin check NAME says what it does not fulfil")


@dataclass(frozen=True)
class Boxes:
    """Boxes of one picture: float32 [n, 4] xyxy in pixels; scores float32 [n], descending; class ids int64 [n]."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Stage:
    """One of the models that a training left: its files, and its mAP where it says one."""

    name: str
    files: list[Path]
    score: float | None


@dataclass(frozen=True)
class Trained:
    """What a training left: the models, and the name of the best."""

    stages: list[Stage]
    best: str

    @property
    def chosen(self) -> Stage:
        return next(stage for stage in self.stages if stage.name == self.best)


def read_scores(path: Path, assets: Mapping[str, str], flaws: Flaws) -> dict[str, float]:
    """`result.tsv`: key of a picture → score.

    Args:
        assets: path of a picture as the executor sees it → its key.
    """
    found: dict[str, float] = {}
    last = math.inf
    for number, line in enumerate(_text(path, MOST_SCORES + EACH_SCORE * len(assets), flaws).splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        score = _number(cells[1]) if len(cells) == 2 else math.nan
        if len(cells) != 2 or not math.isfinite(score):
            flaws.add("format", f"{path.name}:{number}: expected a picture, a tab and a finite score, found "
                                f"{line[:120]!r}")
            continue
        key = assets.get(cells[0])
        if key is None:
            flaws.add("names", f"{path.name}:{number}: {cells[0][:200]!r} is not one of the pictures that were given")
            continue
        if key in found:
            flaws.add("names", f"{path.name}:{number}: {cells[0][:200]!r} is there twice")
            continue
        if score > last:
            flaws.add("sorted", f"{path.name}:{number}: a score of {score:g} after one of {last:g}")
        found[key], last = score, score
    return found


def read_boxes(path: Path, assets: Mapping[str, tuple[str, int, int]], classes: Sequence[str],
               flaws: Flaws) -> dict[str, Boxes]:
    """`infer-result.json`: key of a picture → its boxes, inside the picture; every key of `assets` is there.

    Args:
        assets: basename of a picture → its key, width and height.
    """
    listed = _detections(path, MOST_BOXES + EACH_BOXES * len(assets), flaws)
    ids = {name: number for number, name in enumerate(classes)}
    rows: dict[str, list[tuple[Any, ...]]] = {key: [] for key, _, _ in assets.values()}
    for name, entry in listed.items():
        if name not in assets:
            flaws.add("names", f"{name[:200]!r} is not the name of a picture that was given")
            continue
        key, width, height = assets[name]
        given = entry.get("boxes", entry.get("annotations")) if isinstance(entry, dict) else None
        if not isinstance(given, list):
            flaws.add("format", f"{name}: expected {{'boxes': [...]}}")
            continue
        for place, item in enumerate(given):
            row = _box(item, ids, width, height, f"{name}, box {place}", flaws)
            rows[key] += [row] if row else []
    return {key: _sorted(found) for key, found in rows.items()}


def read_models(path: Path, folder: Path, flaws: Flaws) -> Trained | None:
    """`result.yaml`: the stages whose files are below `folder`; None where nothing of it can be used."""
    if folder.is_symlink():
        flaws.add("names", f"{folder.name} is a link")
        return None
    try:
        told = load_yaml(path)
    except DataError as error:
        flaws.add("files", error.what)
        return None
    listed = told.get("model_stages")
    if not isinstance(listed, dict) or not listed:
        flaws.add("format", f"{path.name}: expected model_stages, a mapping of at least one stage")
        return None
    stages = [stage for name, entry in listed.items() if (stage := _stage(name, entry, folder, flaws))]
    best = _word(told.get("best_stage_name"))
    if best not in set(map(_word, listed)):
        flaws.add("format", f"{path.name}: best_stage_name {best[:100]!r} is none of its stages")
    return Trained(stages, best) if best in {stage.name for stage in stages} else None


def _stage(told: Any, entry: Any, folder: Path, flaws: Flaws) -> Stage | None:
    name = _word(told)
    files = entry.get("files") if isinstance(entry, dict) else None
    if not STAGE.fullmatch(name) or not isinstance(files, list) or not files:
        flaws.add("format", f"stage {name[:100]!r}: a plain name (letters, digits, _, -) and a list of files belong "
                            "there")
        return None
    found: dict[str, Path] = {}
    for file in files:
        path = _inside(_word(file), name, folder)
        if path is None:
            flaws.add("names", f"stage {name}: {_word(file)[:200]!r} is no file in the folder of models")
            return None
        if found.setdefault(path.name, path) != path:
            flaws.add("names", f"stage {name}: two of its files are called {path.name[:200]!r}")
            return None
    score = _number(entry.get("mAP"))
    if "mAP" in entry and not 0 <= score <= 1:
        flaws.add("format", f"stage {name}: mAP is not a number from 0 to 1")
    return Stage(name, list(found.values()), score if math.isfinite(score) else None)


def _inside(file: str, stage: str, folder: Path) -> Path | None:
    """The file of that name in the stage's folder, or in that of all models; None where there is none, or a link."""
    inner = PurePosixPath(file)
    if inner.is_absolute() or ".." in inner.parts or "\0" in file:
        return None
    path = next((one for one in (folder / stage / inner, folder / inner) if one.is_file()), None)
    inside = path is not None and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())
    return path if inside else None


def _detections(path: Path, most: int, flaws: Flaws) -> dict[str, Any]:
    text = _text(path, most, flaws)
    if not text:
        return {}
    try:
        told = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        flaws.add("format", f"{path.name} is not JSON: {str(error)[:200]}")
        return {}
    listed = told.get("detection") if isinstance(told, dict) else None
    if not isinstance(listed, dict):
        flaws.add("format", f"{path.name}: expected {{'detection': {{picture: {{'boxes': [...]}}}}}}")
        return {}
    return listed


def _box(item: Any, ids: Mapping[str, int], width: int, height: int, where: str,
         flaws: Flaws) -> tuple[Any, ...] | None:
    sides = item.get("box") if isinstance(item, dict) else None
    numbers = [_number(sides.get(key)) for key in ("x", "y", "w", "h")] if isinstance(sides, dict) else [math.nan]
    score = _number(item.get("score")) if isinstance(item, dict) else math.nan
    if not all(map(math.isfinite, numbers)) or not 0 <= score <= 1:
        flaws.add("format", f"{where}: expected box {{x, y, w, h}} of finite numbers, and a score from 0 to 1")
        return None
    name = item.get("class_name")
    if not isinstance(name, str) or name not in ids:
        flaws.add("classes", f"{where}: class {str(name)[:100]!r} is none of {', '.join(ids)[:200]}")
        return None
    if isinstance(sides, dict) and _number(sides.get("rotate_angle", 0)) != 0:
        flaws.add("format", f"{where}: a turned box; upright ones are read")
        return None
    x, y, w, h = numbers
    sides = np.clip([x, y, x + w, y + h], 0, [width, height] * 2)
    # in the precision in which boxes are kept
    left, top, right, bottom = sides.astype(np.float32).tolist()
    if right <= left or bottom <= top:
        flaws.add("format", f"{where}: a box without an inside, or outside its picture of {width} x {height}: "
                            f"{[round(one, 1) for one in numbers]}")
        return None
    return left, top, right, bottom, score, ids[name]


def _sorted(rows: list[tuple[Any, ...]]) -> Boxes:
    ordered = np.array(sorted(rows, key=lambda row: -row[4]), np.float64).reshape(-1, 6)
    return Boxes(ordered[:, :4].astype(np.float32), ordered[:, 4].astype(np.float32), ordered[:, 5].astype(np.int64))


def _text(path: Path, most: int, flaws: Flaws) -> str:
    try:
        with open_plain(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        flaws.add("files", f"there is no {path.name}" if isinstance(error, FileNotFoundError) else
                  f"{path.name} cannot be read: {error.strerror}")
        return ""
    if len(content) > most:
        flaws.add("format", f"{path.name} has more than {most >> 20} MiB, too much for the pictures that were given")
        return ""
    text = content.decode("utf-8", "replace")
    if not text.strip():
        flaws.add("files", f"{path.name} is empty")
    return text


def _word(value: Any) -> str:
    """A name as text; nothing where it is none: a list that names itself again and again is gigabytes as text."""
    return str(value) if isinstance(value, str | int) else ""


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
