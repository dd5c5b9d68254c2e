"""One ground truth in eight forms gives one and the same table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks import ingest
from tasks.data.table import read_dataset

FORMS = {
    "voc": ("voc", "pascalvoc_format"),
    "imagenet": ("voc", "imagenet_format/Annotations"),
    "coco": ("coco", "coco_format_v1/instances_default.json"),
    "coco, another tool's": ("coco", "coco_format_v2/instances_v2.json"),
    "yolo": ("yolo", "yolo_format"),
    "cvat": ("others:cvat", "cvat_format"),
    "labelme": ("others:labelme", "labelme_format"),
    "openimages": ("others:openimages", "openimages_format"),
    "tfrecord": ("others:tfrecord", "tfrecord_format"),
}
# YOLO has six decimals of the picture's side
PIXELS = {"yolo": 0.002, "tfrecord": 0.001, "openimages": 0.001}


def table(raw: Path, form: str, out: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    format, place = FORMS[form]
    ingest.run(ingest.Params(format=format, annotations=[f"database/gts/{place}"]), raw=raw, out=out)
    dataset = read_dataset(out)
    files = dataset.images["file"].to_pylist()
    found: dict[str, list[tuple[str, np.ndarray]]] = {Path(file).name: [] for file in files}
    for row in dataset.annotations.to_pylist():
        box = np.array([row[name] for name in ("x", "y", "w", "h")])
        found[Path(files[row["image_id"]]).name].append((dataset.meta.classes[row["class_id"]], box))
    return {name: sorted(boxes, key=lambda one: (one[0], np.round(one[1], 1).tolist()))
            for name, boxes in found.items() if boxes}


@pytest.fixture(scope="module")
def truth(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[tuple[str, np.ndarray]]]]:
    yield table(mirror / "datasets/voc100_formats", "voc", tmp_path_factory.mktemp("voc") / "out")


@pytest.mark.parametrize("form", [form for form in FORMS if form != "voc"])
def test_eight_forms_are_one_table(form: str, mirror: Path, tmp_path: Path,
                                   truth: dict[str, list[tuple[str, np.ndarray]]]) -> None:
    found = table(mirror / "datasets/voc100_formats", form, tmp_path / "out")
    assert found.keys() == truth.keys()
    for name, boxes in truth.items():
        assert [label for label, _ in found[name]] == [label for label, _ in boxes], name
        for (_, one), (_, other) in zip(found[name], boxes, strict=True):
            assert np.abs(one - other).max() <= PIXELS.get(form, 0), (name, one, other)
