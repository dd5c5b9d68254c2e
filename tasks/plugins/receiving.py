"""The input folder of an executor, read: the other side of `folders`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree as SafeXml
import numpy as np
import pyarrow as pa
from defusedxml.common import DefusedXmlException

from tasks.base.errors import DataError
from tasks.data.pictures import measure
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, conform
from tasks.plugins.contract import Env, load_yaml, moved, read_env

MEND = "write the folder as YMIR's protocol says"


@dataclass(frozen=True)
class Given:
    """An input folder.

    Attributes:
        folder, made: where the folders are here; env.yaml may call them /in and /out.
        env, config: what its two files say.
        classes: names in the order of class ids.
    """

    folder: Path
    made: Path
    env: Env
    config: dict[str, Any]
    classes: list[str]

    def here(self, text: str) -> Path:
        """A path below the input folder."""
        return moved(text, self.env.input.root_dir, self.folder)

    def out(self, text: str) -> Path:
        """A path below the output folder."""
        return moved(text, self.env.output.root_dir, self.made)

    def models(self, key: str) -> list[Path]:
        """The weights that config.yaml names."""
        told = self.config.get(key) or []
        return [self.here(str(text)) for text in (told if isinstance(told, list) else [told])]


def read_given(folder: Path, made: Path) -> Given:
    """What stands in env.yaml and config.yaml.

    Raises:
        DataError: one is missing or damaged, a path leads out of the folders, or no class is named.
    """
    folder, made = folder.resolve(), made.resolve()
    env = read_env(folder)
    config = load_yaml(moved(env.input.config_file, env.input.root_dir, folder))
    classes = config.get("class_names")
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) and name for name in classes):
        raise DataError("class_names is no list of names", where=folder / "config.yaml", mend=MEND)
    if len(set(classes)) != len(classes):
        raise DataError("class_names names a class twice", where=folder / "config.yaml", mend=MEND)
    return Given(folder, made, env, config, classes)


def candidates(given: Given) -> list[tuple[str, Path]]:
    """The pictures to look at: as the index file calls them, and where they are here."""
    return [(cells[0], given.here(cells[0])) for cells in _rows(given, given.env.input.candidate_index_file, 1)]


def labelled(given: Given) -> Dataset:
    """The pictures to learn from as the dataset that a training reads; files are relative to the input folder.

    Raises:
        DataError: an index, a picture or an annotation is missing or damaged, or a class is unknown.
    """
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    coco: dict[Path, dict[str, list[Any]]] = {}
    for split, index in (("train", given.env.input.training_index_file), ("val", given.env.input.val_index_file)):
        for picture, annotation in _rows(given, index, 2):
            path, labels = given.here(picture), given.here(annotation)
            if not path.is_file():
                raise DataError("there is no such picture", where=path, mend=MEND)
            found = measure(path)
            image = {"image_id": len(images), "file": path.relative_to(given.folder).as_posix(), "split": split,
                     **found._asdict()}
            images.append(image)
            for label, x, y, w, h in _boxes(given, labels, path.name, coco):
                boxes.append({"annotation_id": len(boxes), "image_id": image["image_id"], "class_id": label, "x": x,
                              "y": y, "w": w, "h": h, "area": w * h, "iscrowd": False, "difficult": False,
                              "source": "import", "row": labels.name})
    tables = pa.Table.from_pylist(images, IMAGES), pa.Table.from_pylist(boxes, ANNOTATIONS)
    return Dataset(conform(tables[0], IMAGES), conform(tables[1], ANNOTATIONS),
                   Meta(name="given", classes=given.classes))


def _rows(given: Given, index: str, cells: int) -> Iterator[list[str]]:
    path = given.here(index)
    if not path.is_file():
        raise DataError("there is no index file", where=path, mend=MEND)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = line.split("\t")
        if len(row) < cells:
            raise DataError(f"{len(row)} columns, expected {cells}", where=f"{path}:{number}", mend=MEND)
        yield row[:cells]


def _boxes(given: Given, path: Path, picture: str, coco: dict[Path, dict[str, list[Any]]]) -> Iterator[tuple[
        int, float, float, float, float]]:
    if not path.is_file():
        raise DataError("there is no such annotation", where=path, mend=MEND)
    try:
        if path.suffix == ".json":
            if path not in coco:
                coco[path] = _coco(path, given.classes)
            found = coco[path].get(picture, [])
        else:
            found = list(_voc(path, given.classes) if path.suffix == ".xml" else _ark(path, len(given.classes)))
    except (ValueError, KeyError, TypeError, AttributeError, ParseError, DefusedXmlException, RecursionError) as error:
        raise DataError(f"not a list of boxes: {type(error).__name__}: {error}", where=path, mend=MEND) from None
    for label, x, y, w, h in found:
        if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
            raise DataError(f"not a box: {x}, {y}, {w}, {h}", where=path, mend=MEND)
        yield label, x, y, w, h


def _ark(path: Path, classes: int) -> Iterator[tuple[int, float, float, float, float]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            label, left, top, right, bottom = (float(cell) for cell in line.split(",")[:5])
            if not 0 <= label < classes:
                raise ValueError(f"class {label:g} of {classes}")
            yield int(label), left, top, right - left + 1, bottom - top + 1


def _voc(path: Path, classes: list[str]) -> Iterator[tuple[int, float, float, float, float]]:
    for item in SafeXml.parse(path, forbid_dtd=True).getroot().iter("object"):
        label = classes.index((item.findtext("name") or "").strip())
        left, top, right, bottom = (float(item.findtext(f"bndbox/{key}") or "nan")
                                    for key in ("xmin", "ymin", "xmax", "ymax"))
        yield label, left, top, right - left + 1, bottom - top + 1


def _coco(path: Path, classes: list[str]) -> dict[str, list[Any]]:
    told = json.loads(path.read_bytes())
    names = {entry["id"]: str(entry["file_name"]).rpartition("/")[2] for entry in told["images"]}
    labels = {entry["id"]: classes.index(entry["name"]) for entry in told["categories"] if entry["name"] in classes}
    found: dict[str, list[Any]] = {name: [] for name in names.values()}
    for entry in told["annotations"]:
        found[names[entry["image_id"]]].append((labels[entry["category_id"]], *map(float, entry["bbox"])))
    return found
