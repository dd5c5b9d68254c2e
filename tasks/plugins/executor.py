"""visionmill as an executor of YMIR: it trains, ranks and finds boxes as env.yaml asks, and writes what YMIR reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from tasks.base.errors import DataError, UserError, VisionmillError
from tasks.base.files import write_atomic
from tasks.base.params import Params
from tasks.data.pictures import read_picture
from tasks.metrics.detections import detections_table
from tasks.plugins import monitor
from tasks.plugins.receiving import Given, candidates, read_given
from tasks.runtime.detections import Detections

Report = Callable[[float], None]
BLOCK = 8  # pictures between two reports


class Settings(Params):
    """What of config.yaml is ours; executors leave alone what they do not know.

    Attributes:
        epochs, batch_size, lr, image_size, backbone, seed, init: of the training (`train` in params.yaml).
        confidence: boxes below this score are left out.
        strategy: how pictures are ranked: by the open bits of their boxes, or by their margin.
        threads: cores to use.
    """

    epochs: int = Field(16, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(7e-4, gt=0)
    image_size: int = Field(320, ge=32)
    backbone: str = "efficientnet_lite0"
    seed: int = Field(0, ge=0)
    init: str = "imagenet"
    confidence: float = Field(0.05, ge=0, le=1)
    strategy: str = "entropy"
    threads: int | None = None


def serve(folder: Path, made: Path) -> int:
    """Do what an input folder asks for; returns the exit code. What goes wrong stands in monitor.txt too.

    Raises:
        VisionmillError: as what it does raises, once the monitor file says so.
    """
    given: Given | None = None
    path, task = made / "monitor.txt", "unknown"
    made.mkdir(parents=True, exist_ok=True)
    try:
        given = read_given(folder, made)
        path, task = given.out(given.env.output.monitor_file), given.env.task_id
        monitor.write(path, task, 0.0)
        _do(given, _settings(given), lambda share: monitor.write(path, task, share))
    except Exception as error:
        code, message = _code(error, given is not None), str(error).splitlines()[0] if str(error) else repr(error)
        monitor.write(path, task, 1.0, monitor.ERROR, code, message, str(error))
        raise
    monitor.write(path, task, 1.0, monitor.DONE)
    return 0


def _do(given: Given, settings: Settings, report: Report) -> None:
    env = given.env
    if env.run_training:
        from tasks.plugins.learning import learn

        learn(given, settings, report)
    if not (env.run_mining or env.run_infer):
        return
    # both of them look at each picture once
    found = _look(given, settings, report)
    if env.run_infer:
        _write_boxes(given, found)
    if env.run_mining:
        _write_scores(given, found, settings)


def _settings(given: Given) -> Settings:
    known = {key: value for key, value in given.config.items() if key in Settings.model_fields}
    try:
        settings = Settings.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"config.yaml: {first['loc'][0]}: {first['msg']}", where=given.folder / "config.yaml",
                          mend="mend that value") from None
    if settings.strategy not in ("entropy", "margin"):
        raise ConfigError(f"config.yaml: strategy {settings.strategy!r} is neither entropy nor margin",
                          where=given.folder / "config.yaml", mend="mend that value")
    return settings


class ConfigError(DataError):
    """A value in config.yaml."""


class ModelError(DataError):
    """The weights that were given."""


def _look(given: Given, settings: Settings, report: Report) -> list[tuple[str, Path, Detections]]:
    from tasks.runtime.detector import open_detector

    files = candidates(given)
    try:
        detector = open_detector(_model(given), settings.threads)
    except VisionmillError as error:
        raise ModelError(error.what, where=error.where, mend=error.mend) from None
    place = np.array([given.classes.index(name) if name in given.classes else -1 for name in detector.classes])
    if (place < 0).all():
        raise ModelError(f"the model knows none of these classes: it knows {', '.join(detector.classes)[:200]}",
                         where=given.folder, mend="name its classes in class_names")
    found = []
    for at, (seen, path) in enumerate(files):
        answer = detector.predict([read_picture(path)], settings.confidence)[0]
        labels = place[answer.class_ids]
        keep = labels >= 0
        found.append((seen, path, Detections(answer.boxes[keep], answer.scores[keep], labels[keep])))
        if at % BLOCK == 0:
            report(0.99 * (at + 1) / len(files))
    return found


def _model(given: Given) -> Path:
    """What can be opened among the files that are given: a folder with model.json, or one ONNX file."""
    files = [path for one in given.models("model_params_path") for path in ([one] if one.is_file() else one.glob("*"))]
    folders = sorted({path.parent for path in files if path.name == "model.json"})
    found = folders or sorted(path for path in files if path.suffix == ".onnx")
    if len(found) != 1:
        raise ModelError(f"model_params_path has {len(found)} models that can be opened", where=given.folder,
                         mend="give one folder with model.json and model.safetensors, or one .onnx file")
    return found[0]


def _write_boxes(given: Given, found: list[tuple[str, Path, Detections]]) -> None:
    told: dict[str, Any] = {}
    for _, path, one in found:
        told[path.name] = {"boxes": [
            {"box": {"x": float(a), "y": float(b), "w": float(c - a), "h": float(d - b)}, "score": float(score),
             "class_name": given.classes[int(label)]}
            for (a, b, c, d), score, label in zip(one.boxes, one.scores, one.class_ids, strict=True)]}
    write_atomic(given.out(given.env.output.infer_result_file), json.dumps({"detection": told}, allow_nan=False))


def _write_scores(given: Given, found: list[tuple[str, Path, Detections]], settings: Settings) -> None:
    from tasks.labels.mining.pool import Pool, table_batches
    from tasks.labels.mining.registry import mine

    table = detections_table({number: one for number, (_, _, one) in enumerate(found)})
    pool = Pool(np.arange(len(found)), given.classes, table_batches(_by_image(table)))
    mined = mine(pool, settings.strategy, len(found), values={"epsilon": 0.0, "seed": settings.seed}).table
    rows = sorted(zip(mined["image_id"].to_pylist(), mined["score"].to_pylist(), strict=True),
                  key=lambda row: (-row[1], row[0]))
    lines = (f"{found[number][0]}\t{score:.9g}\n" for number, score in rows)
    write_atomic(given.out(given.env.output.mining_result_file), "".join(lines))


def _by_image(table: pa.Table) -> pa.Table:
    return table.sort_by("image_id")


def _code(error: BaseException, read: bool) -> int:
    """The protocol's number for what went wrong."""
    kinds: Iterator[tuple[bool, int]] = iter([
        (isinstance(error, MemoryError), monitor.MEMORY), (isinstance(error, FloatingPointError),
                                                           monitor.NOT_A_NUMBER),
        (isinstance(error, ConfigError) or not read, monitor.CONFIG), (isinstance(error, ModelError), monitor.MODEL),
        (isinstance(error, DataError) and error.what.startswith("picture is "), monitor.PICTURE),
        (isinstance(error, UserError), monitor.DATA)])
    return next((code for found, code in kinds if found), monitor.FAILED)
