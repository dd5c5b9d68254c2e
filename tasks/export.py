"""Stage `export`: the trained and the pruned model as files for one target, proven equal to torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import DataError, GateRefused
from tasks.base.files import digest_value, folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.compress.parity import Limits, broken, compare
from tasks.compress.target import Calibration, Target, load_target, write_for
from tasks.data.pictures import Location, locate, read_picture
from tasks.data.table import Dataset, read_dataset
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.runtime.detector import Detector, open_detector
from tasks.training.session import use_threads


class Params(Base):
    """Section `export`.

    Attributes:
        targets: names of files in conf/target/; each is a stage `export@NAME`.
        calibration: which training pictures fix the ranges of INT8 files.
        parity: how far a file may be from torch before the stage fails.
    """

    targets: list[str] = ["cpu-fp32", "cpu-int8"]
    calibration: Calibration = Calibration()
    parity: Limits = Limits()


def drawn(dataset: Dataset, raw: Path, calibration: Calibration) -> list[tuple[Location, str]]:
    """Place and digest of the training pictures that calibrate, drawn by seed.

    Raises:
        DataError: the training split is empty.
    """
    images = dataset.subset("train").images
    if not images.num_rows:
        raise DataError("no training picture to calibrate with", where="data/split", mend="mend split.fractions")
    order = np.random.default_rng(calibration.seed).permutation(images.num_rows)[: calibration.pictures]
    some = images.take(sorted(order.tolist()))
    return list(zip(locate(raw, some), some["digest"].to_pylist(), strict=True))


def _inputs(detector: Detector, files: list[tuple[Location, str]]) -> Iterator[np.ndarray]:
    for place, _ in files:
        yield detector.fit(read_picture(place))[0]


def run(params: Params, *, target: str, raw: Path, data: Path, trained: Path, pruned: Path, out: Path,
        run: Path) -> None:
    """Write trained.onnx, pruned.onnx and export.json to `out`.

    Raises:
        GateRefused: a file is further from torch than the parameters allow; the numbers are in the message.
    """
    use_threads()
    chosen, dataset = load_target(target), read_dataset(data)
    files, val = drawn(dataset, raw, params.calibration), dataset.subset("val")
    line = load_structure(trained).line
    with stage_run(f"export@{target}", line=line, params=params.model_dump(), record=run) as told:
        with folder_atomic(out) as folder:
            said: dict[str, Any] = {}
            for name, model in (("trained", trained), ("pruned", pruned)):
                said[name] = _one(params, chosen, model, folder / f"{name}.onnx", raw, files, val)
            if chosen.precision == "int8":
                said["calibration"] = {**params.calibration.model_dump(), "pictures": len(files),
                                       "hash": digest_value([digest for _, digest in files])}
            write_json(folder / "export.json", said)
        told.metrics({name: said[name] for name in ("trained", "pruned")})
        told.artifact(out / "export.json", "export")


def _one(params: Params, target: Target, model: Path, file: Path, raw: Path, files: list[tuple[Location, str]],
         val: Dataset) -> dict[str, Any]:
    reference = open_detector(model)
    write_for(target, model, file, _inputs(reference, files), params.calibration.method)
    said = compare(reference, open_detector(file), val, raw, params.parity.pictures)
    print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB, validation AP {said['val_AP_torch'] or 0:.4f} in torch, "
          f"{said['val_AP'] or 0:.4f} in the file; scores differ by at most {said['max_score_difference']:.2g}, "
          f"boxes by {said['max_box_difference_px']:.2g} px")
    wrong = broken(said, params.parity, target.precision, max(reference.height, reference.width))
    if wrong:
        raise GateRefused(f"{file.name} is not the model that was trained: {'; '.join(wrong)}", where=model,
                          mend="more calibration pictures, another export.calibration.method, or looser export.parity")
    return said
