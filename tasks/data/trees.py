"""The dataset `trees`: crowns of trees in four aerial pictures that the wheel of DeepForest carries, cut into tiles.

The wheel (MIT) has seven pictures. Four of them have an annotation file of their own with all their crowns, 951
together: two of Yellowstone (2,299 x 2,472 pixels with 574 crowns, 1,249 x 1,035 with 279), one of the Ordway-Swisher
station in Florida (400 x 400, 61) and one of Soaproot Saddle in California (400 x 400, 37). Of the others one repeats
Florida, one has no annotation and one shows birds. `Tree`, `Alive` and `Dead` become the one class `tree`: only
California tells the latter two apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree as SafeXml
from defusedxml.common import DefusedXmlException
from PIL import Image

from tasks.base.errors import DataError
from tasks.base.files import write_atomic
from tasks.data.ops._cutting import Grid, pieces
from tasks.data.ops._pictures import PNG
from tasks.data.pictures import read_picture
from tasks.data.table import ANNOTATIONS, SPLITS

# a picture is in one split as a whole: no crown and no place is in two. The test picture is of 13 km from the training
# picture; the two of other places, each no larger than a tile, judge the epochs
SOURCES = {
    "2019_YELL_2_528000_4978000_image_crop2": "train",
    "OSBS_029": "val",
    "SOAP_061": "val",
    "2019_YELL_2_541000_4977000_image_crop": "test",
}
CLASS = "tree"
# the largest crown has 108 pixels: nearly all are whole in one tile
GRID = Grid(400, 400, 0.25)
MIN_VISIBLE = 0.3
CORNERS = ("xmin", "ymin", "xmax", "ymax")
UNLABELLED = dict.fromkeys(ANNOTATIONS.names) | {"iscrowd": False}


@dataclass(frozen=True)
class Tile:
    """One tile: the picture that it is of, its pixels, and its boxes x, y, w, h."""

    source: str
    name: str
    pixels: Image.Image
    boxes: list[list[float]]


def arrange(source: Path, folder: Path) -> None:
    """Write the tiles of `<name>.png` and `<name>.xml` in `source` as COCO JSON, the same bytes each time:
    `{train,val,test}/*.png`, `annotations/instances_*.json`, `LICENSE`.

    Tiles of one picture are of one `group`. A crown stays in a tile where 30 % of it is to be seen.

    Raises:
        DataError: a file is missing, damaged or not Pascal VOC.
    """
    for split in SPLITS:
        (folder / split).mkdir()
        tiles = []
        for tile in (tile for name, wanted in SOURCES.items() if wanted == split for tile in _tiles(source, name)):
            tile.pixels.save(folder / split / tile.name, **PNG)
            tiles.append(tile)
        write_atomic(folder / "annotations" / f"instances_{split}.json", json.dumps(_coco(tiles), indent=1) + "\n")
    write_atomic(folder / "LICENSE", _bytes(source / "LICENSE"))


def _tiles(source: Path, name: str) -> Iterator[Tile]:
    picture = Image.fromarray(read_picture(source / f"{name}.png"))
    windows = GRID.windows(*picture.size)
    inside: list[list[list[float]]] = [[] for _ in windows]
    for row in _labels(source / f"{name}.xml"):
        for piece in pieces(row, windows, *picture.size, MIN_VISIBLE):
            inside[piece.window].append([piece.row[side] for side in "xywh"])
    for (left, top, right, bottom), boxes in zip(windows, inside, strict=True):
        pixels = picture.crop((int(left), int(top), int(right), int(bottom)))
        yield Tile(name, f"{name}_{left:04.0f}_{top:04.0f}.png", pixels, boxes)


def _labels(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of the annotation table; corners are read as they stand, as in DeepForest's own tables."""
    try:
        boxes = list(SafeXml.fromstring(_bytes(path)).iter("bndbox"))
        for number, box in enumerate(boxes):
            left, top, right, bottom = (float(box.findtext(corner) or "nan") for corner in CORNERS)
            w, h = right - left, bottom - top
            yield UNLABELLED | {"x": left, "y": top, "w": w, "h": h, "area": w * h, "row": f"{path.name}#{number}"}
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise DataError(f"not Pascal VOC: {error}", where=path.name) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no {path.name}", where=path.parent) from None


def _coco(tiles: list[Tile]) -> dict[str, Any]:
    rows = [(number, box) for number, tile in enumerate(tiles) for box in tile.boxes]
    return {
        "images": [{"id": number, "file_name": tile.name, "width": tile.pixels.width, "height": tile.pixels.height,
                    "group": tile.source} for number, tile in enumerate(tiles)],
        "annotations": [{"id": k + 1, "image_id": number, "category_id": 1, "bbox": box, "area": box[2] * box[3],
                         "iscrowd": 0} for k, (number, box) in enumerate(rows)],
        "categories": [{"id": 1, "name": CLASS}],
    }
