"""The input folder of an executor: pictures by their content, labels in three forms, index files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np

from tasks.base.files import write_atomic
from tasks.data.linking import clone_or_copy
from tasks.data.pictures import Location, Member, open_bytes, read_picture
from tasks.plugins.contract import COCO, Env, write_yaml
from tasks.plugins.preset import Plugin, files_in

NAME = 40  # hexadecimal digits of a picture's content, as many as SHA-1 has
# what every reader of pictures knows
PLAIN = frozenset({".jpg", ".jpeg", ".png", ".bmp"})


@dataclass(frozen=True)
class Sample:
    """One picture for an executor.

    Attributes:
        key: its content, 40 hexadecimal digits: its name.
        source: where its bytes are, or its pixels uint8 [H, W, 3].
        width, height: pixels as displayed.
        turned: whether its file says that it is to be turned; it is then written as displayed.
        boxes: float [n, 4] xyxy in pixels; labels: class ids, int [n].
    """

    key: str
    source: Location | np.ndarray
    width: int
    height: int
    turned: bool = False
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def of_pixels(picture: np.ndarray) -> Sample:
    """A picture in memory, uint8 [H, W, 3] RGB."""
    digest = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
    return Sample(digest[:NAME], picture, picture.shape[1], picture.shape[0])


def of_rows(images: Any, raw: Path, boxes: dict[int, tuple[np.ndarray, np.ndarray]]) -> list[Sample]:
    """The pictures of a table in its order, with the boxes of their image_ids (`tasks.data.table.boxes_of`)."""
    from tasks.data.pictures import locate

    columns = images.select(["image_id", "digest", "width", "height", "orientation"]).to_pylist()
    nothing = np.zeros((0, 4)), np.zeros(0, np.int64)
    return [Sample(row["digest"][:NAME], place, row["width"], row["height"], row["orientation"] != 1,
                   *boxes.get(row["image_id"], nothing))
            for row, place in zip(columns, locate(raw, images), strict=True)]


class InFolder:
    """Fills an input folder; the executor will see it as `inside`."""

    def __init__(self, folder: Path, inside: PurePosixPath, form: str, classes: Sequence[str]) -> None:
        self.folder, self.inside, self.form, self.classes = folder, inside, form, list(classes)
        self._coco: dict[str, Any] = {"images": [], "annotations": [], "categories": [
            {"id": number, "name": name} for number, name in enumerate(classes)]}
        self._placed: dict[str, PurePosixPath] = {}
        self._described: set[str] = set()
        for name in ("assets", "annotations", "models"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def index(self, name: str, samples: Iterable[Sample], labelled: bool) -> dict[str, str]:
        """Write an index file, and what it names; pictures of one content once. Returns its lines by their keys."""
        lines: dict[str, str] = {}
        for sample in samples:
            if sample.key in lines:
                continue
            cells = [self._asset(sample)] + ([self._annotation(sample)] if labelled else [])
            lines[sample.key] = "\t".join(str(self.inside / cell) for cell in cells)
        write_atomic(self.folder / name, "".join(f"{line}\n" for line in lines.values()))
        if labelled and self.form == "coco":
            write_atomic(self.folder / "annotations" / COCO, json.dumps(self._coco))
        return lines

    def models(self, given: Sequence[Path]) -> list[str]:
        """Place weights; their paths as the executor sees them."""
        seen = []
        for path in given:
            for file in files_in(path):
                name = PurePosixPath("models", path.name, *file.relative_to(path).parts if path.is_dir() else ())
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                clone_or_copy(file, self.folder / name)
                seen.append(str(self.inside / name))
        return seen

    def settings(self, env: Env, config: dict[str, Any]) -> None:
        """Write env.yaml and config.yaml; the last thing that is done."""
        write_yaml(self.folder / "config.yaml", config)
        write_yaml(self.folder / "env.yaml", env.model_dump())

    def _asset(self, sample: Sample) -> PurePosixPath:
        if sample.key not in self._placed:
            suffix, whole = _as_file(sample)
            name = PurePosixPath("assets", sample.key[-2:], f"{sample.key}{suffix}")
            target = self.folder / name
            target.parent.mkdir(exist_ok=True)
            if whole and isinstance(sample.source, Path):
                clone_or_copy(sample.source.resolve(), target)
                target.chmod(0o644)
            elif whole and isinstance(sample.source, Member):
                with open_bytes(sample.source) as file:
                    write_atomic(target, file.read())
            else:
                _save(sample, target)
            self._placed[sample.key] = name
        return self._placed[sample.key]

    def _annotation(self, sample: Sample) -> PurePosixPath:
        if self.form == "coco":
            if sample.key not in self._described:
                self._add_coco(sample)
            self._described.add(sample.key)
            return PurePosixPath("annotations", COCO)
        name = PurePosixPath("annotations", sample.key[-2:], f"{sample.key}.{'txt' if self.form == 'ark' else 'xml'}")
        (self.folder / name).parent.mkdir(exist_ok=True)
        if self.form == "ark":
            rows = (f"{label}, {', '.join(map(str, corners))}, -1.0, 0.0\n" for label, corners in corners_of(sample))
            write_atomic(self.folder / name, "".join(rows))
        else:
            _voc(sample, self._placed[sample.key].name, self.classes).write(self.folder / name, encoding="utf-8")
        return name

    def _add_coco(self, sample: Sample) -> None:
        number = len(self._coco["images"])
        self._coco["images"].append({"id": number, "file_name": self._placed[sample.key].name,
                                     "width": sample.width, "height": sample.height})
        for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            self._coco["annotations"].append({
                "id": len(self._coco["annotations"]) + 1, "image_id": number, "category_id": label, "iscrowd": 0,
                "bbox": [x, y, w, h], "area": w * h, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]})


def corners_of(sample: Sample) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Class and whole-numbered corners of each box, the last pixel included, as YMIR counts."""
    sides = np.clip(sample.boxes, 0, [sample.width, sample.height] * 2)
    first = np.floor(sides[:, :2] + 0.5)
    last = np.maximum(np.floor(sides[:, 2:] + 0.5) - 1, first)
    whole = np.concatenate([first, last], axis=1).astype(int).tolist()
    return [(int(label), (a, b, c, d)) for label, (a, b, c, d) in zip(sample.labels, whole, strict=True)]


def config_of(plugin: Plugin, kinds: set[Any], classes: Sequence[str], task: str, models: Sequence[str]) -> dict[str,
                                                                                                              Any]:
    """`config.yaml`: the template, and what is said for every executor."""
    gpus = [part for part in plugin.gpus.split(",") if part]
    key = "pretrained_model_params" if "train" in kinds else "model_params_path"
    return plugin.config(kinds) | {
        "task_id": task, "class_names": list(classes), "gpu_id": ",".join(map(str, range(len(gpus)))),
        "gpu_count": len(gpus), "shm_size": f"{16 * max(1, len(gpus))}G", "export_format": f"{plugin.annotations}:raw",
        "run_infer": int("infer" in kinds), "run_mining": int("mine" in kinds), "object_type": 2, key: list(models)}


def _as_file(sample: Sample) -> tuple[str, bool]:
    """The suffix of a picture's file, and whether its bytes can stay as they are."""
    if isinstance(sample.source, np.ndarray) or sample.turned:
        return ".png", False
    suffix = PurePosixPath(sample.source.name).suffix.lower()
    return (suffix, True) if suffix in PLAIN else (".png", False)


def _save(sample: Sample, target: Path) -> None:
    from PIL import Image

    pixels = sample.source if isinstance(sample.source, np.ndarray) else read_picture(sample.source)
    Image.fromarray(pixels).save(target, compress_level=1)


def _voc(sample: Sample, name: str, classes: Sequence[str]) -> ElementTree[Element]:
    root = Element("annotation")
    SubElement(root, "filename").text = name
    size = SubElement(root, "size")
    for key, value in (("width", sample.width), ("height", sample.height), ("depth", 3)):
        SubElement(size, key).text = str(value)
    for label, corners in corners_of(sample):
        item = SubElement(root, "object")
        SubElement(item, "name").text = classes[label]
        SubElement(item, "difficult").text = "0"
        box = SubElement(item, "bndbox")
        for key, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, key).text = str(corner)
    return ElementTree(root)
