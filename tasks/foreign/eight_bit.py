"""The INT8 copy of an imported detector, calibrated on a folder of pictures without labels.

There is no accuracy to judge by without labels, so the float file's boxes stand for them: what is measured is the AP50
of the INT8 file against those. Depthwise convolutions are what 8 bits spoil most: where all in 8 bits says too little
of the same, they stay in float.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.data.pictures import SUFFIXES, read_picture
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.foreign.bring import Imported

if TYPE_CHECKING:
    import onnx

    from tasks.runtime.detections import Detections
    from tasks.runtime.detector import Detector

CALIBRATED, JUDGED = 64, 32  # pictures
LIMIT = 0.85  # AP50 against the float file's boxes, at least
SHOWN = 0.3  # score from which a box of the float file stands for a label


def add_int8(made: Imported, pictures: Path) -> tuple[Imported, float]:
    """Write `int8/` beside `model.onnx`.

    Args:
        made: of an ONNX file or of weights; a detector in floats.
        pictures: a folder, looked through with all folders below it.

    Returns:
        What was made, and its AP50 against the float file's boxes, 0..1: below `LIMIT` it is no file to use.

    Raises:
        UserError: no pictures there, or the model is a classifier or in 8 bits already.
    """
    from tasks.compress.quantise import quantise
    from tasks.runtime.detector import open_detector

    source, target = made.folder / "model.onnx", made.folder / "int8" / "model.onnx"
    calibration, judged = _drawn(pictures)
    plain = open_detector(source)
    if plain.precision != "fp32":
        raise UserError(f"the model is in {plain.precision} already", where=source, mend="leave --int8 out")
    target.parent.mkdir()
    same, kept = 0.0, ""
    for name, floats in _ladder(source).items():
        quantise(source, target, (plain.fit(read_picture(file))[0] for file in calibration), "minmax", floats=floats)
        _say_int8(target)
        same, kept = _same(plain, open_detector(target), judged), name
        if same >= LIMIT:
            break
    facts = {**read_json(made.folder / "imported.json"), "precision": "int8", "float_layers": kept,
             "calibration": {"pictures": len(calibration), "method": "minmax"}, "AP50_against_float": same}
    write_json(target.parent / "imported.json", facts)
    note = f"INT8, in float: {kept}; AP50 against the float file's own boxes {same:.3f}"
    return replace(made, folder=target.parent, facts=facts, trainable=False, notes=[note]), same


def _drawn(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures to calibrate with and others to judge by, drawn by seed; the same ones where there are too few."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise UserError("no pictures to calibrate with", where=folder, mend="--int8 FOLDER, pictures as in use")
    order = [found[place] for place in np.random.default_rng(0).permutation(len(found))]
    return order[:CALIBRATED], order[CALIBRATED:][:JUDGED] or order[:JUDGED]


def _ladder(file: Path) -> dict[str, list[str]]:
    """What stays in float, by name: first nothing but the decoding, then also all but dense convolutions."""
    import onnx

    nodes = onnx.load(file).graph.node
    return {"decoding": [],
            "decoding, depthwise convolutions and what is no convolution": [
                node.name for node in nodes if node.op_type != "Conv" or _grouped(node)]}


def _grouped(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


def _say_int8(file: Path) -> None:
    import onnx

    from tasks.compress.onnx_file import save

    proto = onnx.load(file)
    told = {entry.key: entry.value for entry in proto.metadata_props}
    onnx.helper.set_model_props(proto, {**told, "precision": "int8"})
    save(proto, file)


def _same(one: Detector, other: Detector, files: list[Path]) -> float:
    """AP50 of `other` where the boxes of `one` are the truth; 1 where `one` finds nothing and `other` neither."""
    from tasks.metrics.coco import quick_ap
    from tasks.metrics.detections import detections_table

    pictures = [read_picture(file) for file in files]
    said, again = ([*detector.predict(pictures, score_threshold=0.05)] for detector in (one, other))
    found = quick_ap(_as_labels(said, one.classes), detections_table(dict(enumerate(again))))[1]
    return found if found is not None else float(not any((some.scores >= SHOWN).any() for some in again))


def _as_labels(said: list[Detections], classes: list[str]) -> Dataset:
    """A dataset whose labels are the boxes that a detector shows."""
    images = [{"image_id": place, "file": str(place), "width": 1, "height": 1, "digest": str(place), "bytes": 1,
               "orientation": 1} for place in range(len(said))]
    boxes = [{"image_id": place, "class_id": int(label), "x": box[0], "y": box[1], "w": box[2] - box[0],
              "h": box[3] - box[1], "area": (box[2] - box[0]) * (box[3] - box[1]), "iscrowd": False,
              "difficult": False, "source": "model", "row": ""}
             for place, some in enumerate(said)
             for box, score, label in zip(some.boxes.tolist(), some.scores, some.class_ids, strict=True)
             if score >= SHOWN]
    numbered = [{"annotation_id": number, **box} for number, box in enumerate(boxes)]
    return Dataset(pa.Table.from_pylist(images, schema=IMAGES), pa.Table.from_pylist(numbered, schema=ANNOTATIONS),
                   Meta(name="judged", classes=classes))
