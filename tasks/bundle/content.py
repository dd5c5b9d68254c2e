"""The files that every bundle has: `bundle.json`, `labels.txt`, `predict.py`, `README.md`, `checksums.txt`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError
from tasks.base.files import digest_file, write_atomic, write_json
from tasks.bundle.card import write_card
from tasks.bundle.exported import Exported, Named
from tasks.bundle.gather import gather
from tasks.bundle.source import Source
from tasks.runtime.cascade import Cascading
from tasks.runtime.letterbox import FILL

SCHEMA = 1
CHECKSUMS, TOLD, CLASSIFIER = "checksums.txt", "bundle.json", "classifier.onnx"
EXAMPLE = Path(__file__).with_name("predict_alone.py")
# the oldest that have what predict.py uses
NEEDS = {"numpy": ">=1.24", "pillow": ">=9.1", "onnxruntime": ">=1.17"}


def describe(found: Exported, source: Source, kind: str, model: str, dtype: str = "uint8") -> dict[str, Any]:
    """What `bundle.json` says, but for the files.

    Args:
        kind: `alone`, `triton` or `deepstream`.
        model: the ONNX file's path in the bundle.
        dtype: of the input; its values are those of the picture's bytes whatever it is.
    """
    shape = [1, 3, found.height, found.width]
    return {
        "schema": SCHEMA, "for": kind, "name": source.name, "problem": "detect", "model": model,
        "classes": found.classes, "thresholds": found.thresholds,
        "input": {"name": "images", "dtype": dtype, "layout": "NCHW", "colour": "RGB", "range": [0, 255],
                  "shape": shape},
        "outputs": {"boxes": {"dtype": "float32", "shape": [1, found.candidates, 4],
                              "form": "x0, y0, x1, y1 in pixels of the input"},
                    "scores": {"dtype": "float32", "shape": [1, found.candidates, len(found.classes)],
                               "range": [0, 1]}},
        "preprocess": letterbox_told(found), "postprocess": suppression_told(found),
        "runtime": found.runtime, "precision": found.precision, "device": found.device, "opset": found.opset,
        "providers": [found.provider], "needs": NEEDS,
        "provenance": {"line": found.line, **source.provenance, "made_by": f"visionmill {own_version()}"},
        "measured": dict(source.measured), "data_licence": source.licence,
    }


def letterbox_told(found: Exported) -> dict[str, Any]:
    """How a picture becomes the input: `tasks.runtime.letterbox` as data."""
    return {"upright": "turned as its EXIF orientation says", "height": found.height, "width": found.width,
            "scale": "min(height / picture height, width / picture width)",
            "size": "picture size times scale, rounded half to even, at least 1, at most the input",
            "resample": "bilinear", "antialias": True, "position": "top left", "fill": FILL}


def suppression_told(found: Exported) -> dict[str, Any]:
    """How raw candidates become detections: `tasks.runtime.postprocess` as data."""
    rule = found.suppression
    return {"threshold": "score > the class's threshold", "top_k": rule.top_k, "scale": "boxes / scale of preprocess",
            "clip": "to the picture", "suppression": "none" if rule.iou is None else "greedy, within each class",
            "iou": rule.iou, "max_detections": rule.max_detections}


def cascade_told(classifier: Named, asked: Cascading) -> dict[str, Any]:
    """A classifier behind the detector: `tasks.runtime.cascade` as data."""
    return {"model": CLASSIFIER, "classes": classifier.classes, "only": asked.only, "margin": asked.margin,
            "input": {"name": "images", "dtype": "uint8", "shape": [1, 3, classifier.height, classifier.width]},
            "preprocess": {"height": classifier.height, "width": classifier.width, "fill": FILL},
            "providers": [classifier.provider]}


def own_version() -> str:
    """Version of this package, `unknown` where it is not installed."""
    try:
        return version("visionmill")
    except PackageNotFoundError:
        return "unknown"


def finish(folder: Path, told: Mapping[str, Any], found: Exported, source: Source) -> None:
    """Write labels, example, card, `bundle.json` and checksums beside what is there already."""
    write_atomic(folder / "labels.txt", "".join(f"{name}\n" for name in found.classes))
    write_atomic(folder / "predict.py", EXAMPLE.read_text(encoding="utf-8"))
    write_atomic(folder / "processing.py", gather("tasks.bundle.processing_alone", "read", "letterbox", "choose"))
    if told.get("tiles") or told.get("cascade"):
        write_atomic(folder / "extras.py", gather("tasks.bundle.extras_alone", "Extras"))
    write_card(folder / "README.md", told, source)
    files = {name: {"sha256": digest_file(folder / name), "bytes": (folder / name).stat().st_size}
             for name in names_in(folder)}
    write_json(folder / TOLD, {**told, "files": files})
    lines = [f"{digest_file(folder / name)}  {name}\n" for name in names_in(folder)]
    write_atomic(folder / CHECKSUMS, "".join(lines))


def names_in(folder: Path) -> list[str]:
    """Relative names of all files of a bundle but the list of checksums, sorted."""
    found = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in found if name != CHECKSUMS)


def check_names(classes: list[str], file: Path) -> None:
    """Refuse class names that no list of one a line can hold.

    Raises:
        DataError: a name has a line break, or is empty.
    """
    bad = [name for name in classes if not name.strip() or len(name.splitlines()) != 1]
    if bad:
        raise DataError(f"a class name that does not fit on one line: {bad[0]!r}", where=file,
                        mend="rename the class: visionmill data … relabel, then train again")
