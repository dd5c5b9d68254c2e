"""Small folders of real pictures for tests: crops of a photograph that scikit-learn carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48
Corners = tuple[str, float, float, float, float]


@cache
def photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")


def save_picture(path: Path, number: int = 0, orientation: int = 1) -> Path:
    """Another crop for each number, `WIDTH` x `HEIGHT` as stored."""
    top, left = 7 * number % 350, 11 * number % 550
    picture = Image.fromarray(photograph()[top:top + HEIGHT, left:left + WIDTH])
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)
    return path


def xml(name: str, boxes: Sequence[Corners] = (), size: tuple[Any, Any] = (WIDTH, HEIGHT)) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
        "</bndbox></object>" for label, a, b, c, d in boxes)
    return (f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
            f"<depth>3</depth></size>{objects}</annotation>")


def make_voc(root: Path, pictures: Mapping[str, Sequence[Corners]],
             splits: Mapping[str, Sequence[str]] | None = None) -> Path:
    """A Pascal VOC folder; pictures are named `<stem>.jpg`."""
    for number, (stem, boxes) in enumerate(pictures.items()):
        save_picture(root / "JPEGImages" / f"{stem}.jpg", number)
        put(root / "Annotations" / f"{stem}.xml", xml(f"{stem}.jpg", boxes))
    for split, stems in (splits or {}).items():
        put(root / "ImageSets" / "Main" / f"{split}.txt", "\n".join(stems) + "\n")
    return root


def cells(count: int = 6) -> dict[str, list[Corners]]:
    """Pictures p0, p1, …: each with a cat, each third with a dog too."""
    return {f"p{i}": [("cat", 2, 3, 20, 30), *([("dog", 10, 5, 40, 45)] if i % 3 == 0 else [])] for i in range(count)}


def coco(images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]],
         names: Sequence[str] = ("cat", "dog")) -> dict[str, Any]:
    return {"images": list(images), "annotations": list(annotations),
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(names)]}


def image(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT} | more


def box(number: int, of: int, category: int = 1, bbox: Any = (2, 3, 18, 27), **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": of, "category_id": category, "bbox": list(bbox), "iscrowd": 0} | more


def make_coco(root: Path, content: Mapping[str, Any], file: str = "annotations.json", folder: str = "images") -> Path:
    """A COCO folder: the JSON file, and a picture for each of its images."""
    for row in content["images"]:
        save_picture(root / folder / row["file_name"], row["id"])
    put(root / file, json.dumps(content))
    return root


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
