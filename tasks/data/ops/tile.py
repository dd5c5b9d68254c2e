"""Large pictures cut into overlapping tiles; boxes, masks and keypoints are cut with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from tasks.base.params import Params as Section
from tasks.data.affine import Window
from tasks.data.ops import Making, Parent
from tasks.data.ops._cutting import Grid, Piece, pieces
from tasks.data.ops._describing import derived
from tasks.data.ops._labels import ignored_in
from tasks.data.ops._making import Done, only, remake
from tasks.data.ops._pictures import NOTHING, new_image, new_name, read_beside, read_pixels, save
from tasks.data.rows import Row

# labels of other problems are not boxes
BOXED = ("detect", "segment")
COUNTED = ("pictures", "cut", "tiles", "empty_left_out", "labels", "whole", "parts", "lost")


class Params(Section):
    """Parameters of `data tile`."""

    size: int = Field(default=512, ge=16, le=16384, description="side of a tile, pixels")
    width: int = Field(default=0, ge=0, le=16384, description="of a tile, where it is not --size")
    height: int = Field(default=0, ge=0, le=16384, description="of a tile, where it is not --size")
    overlap: float = Field(default=0.2, ge=0, le=0.9, description="share of a side that neighbours have in common: "
                           "objects that are no larger are whole in one of them")
    min_visible: float = Field(default=0.3, ge=0, le=1, description="a label stays in a tile with this share of it")
    keep_empty: float = Field(default=1.0, ge=0, le=1, description="share of the tiles without a label that stay")
    edge: Literal["shift", "pad"] = Field(default="shift", description="the last tiles are shifted back into the "
                                          "picture, or padded")
    fill: int = Field(default=114, ge=0, le=255, description="grey level of what is padded")

    def grid(self) -> Grid:
        return Grid(self.width or self.size, self.height or self.size, self.overlap, self.edge == "pad")


@dataclass(frozen=True)
class Job:
    """What is the same for all pictures of one operation."""

    params: Params
    grid: Grid
    parent: Parent
    making: Making
    boxed: bool


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Cut the pictures that are larger than a tile; the others stay as they are, in their place.

    Tiles are PNG files. They inherit the split, tags and picture labels, and are a group, so that no split tears them
    apart. `tile.json` counts, and names the labels that are in no tile.

    Raises:
        DataError: several parents, a picture or a mask that cannot be read or is not of its picture's size.
    """
    parent = only(parents, "tile")
    meta = derived(making, parents)
    job = Job(params, params.grid(), parent, making, meta.problem in BOXED)
    found = remake(parent, making, meta, partial(_cut, job), "tile", COUNTED)
    print(f"{found['cut']} of {found['pictures']} pictures cut into {found['tiles']} tiles; of {found['labels']} "
          f"labels {found['whole']} are whole in one, {found['parts']} in parts only, {found['lost']} in none")


def _cut(job: Job, row: Row) -> Done:
    image = row.image
    if job.grid.fits(image["width"], image["height"]):
        return Done([row], Counter(pictures=1))
    windows = job.grid.windows(image["width"], image["height"])
    done = Done([], Counter(pictures=1, cut=1, labels=len(row.boxes)))
    inside: list[list[dict[str, Any]]] = [[] for _ in windows]
    for label in row.boxes:
        found = list(pieces(label, windows, image["width"], image["height"], job.params.min_visible))
        for piece in found:
            inside[piece.window].append(piece.row)
        _count(label, found, done)
    kept = [number for number, window in enumerate(windows) if inside[number] or _stays(job, image, window)]
    done.counts.update(tiles=len(kept), empty_left_out=len(windows) - len(kept))
    images = _tiles(job, image, [windows[number] for number in kept])
    done.rows = [Row(tile, inside[number]) for number, tile in zip(kept, images, strict=True)]
    return done


def _count(label: dict[str, Any], found: list[Piece], done: Done) -> None:
    if not found:
        done.named.append(label["row"])
    done.counts["lost" if not found else "whole" if any(piece.whole for piece in found) else "parts"] += 1


def _stays(job: Job, image: dict[str, Any], window: Window) -> bool:
    """Whether a tile without labels does: a number from 0 to 1 out of its content and place decides."""
    if not job.boxed:
        return True
    drawn = hashlib.sha256(f"{image['digest']}:{window[0]}:{window[1]}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / (1 << 64) < job.params.keep_empty


def _tiles(job: Job, image: dict[str, Any], windows: Sequence[Window]) -> list[dict[str, Any]]:
    pixels = read_pixels(job.parent, image)
    beside = read_beside(job.parent, image)
    tiles = []
    for window in windows:
        mark = f"{window[0]:05.0f}_{window[1]:05.0f}"
        name = new_name(image["file"], mark)
        save(_crop(pixels, window, job.params.fill), job.making, name)
        more: dict[str, Any] = {"ignored": ignored_in(image["ignored"], window)}
        if "mask" in beside:
            part = _crop(beside["mask"], window, NOTHING)
            more["mask"] = save(part, job.making, new_name(image["file"], f"{mark}_mask"))
        if "reference" in beside:
            # by its own name: several pictures may have one reference, which may be a picture of the table too
            part = _crop(beside["reference"], window, job.params.fill)
            more["reference"] = save(part, job.making, new_name(image["reference"], mark))
        origin = {"tile": {"of": image["file"], "x": window[0], "y": window[1]}}
        tiles.append(new_image(image, job.making, name, origin, **more))
    return tiles


def _crop(picture: Image.Image, window: Window, fill: int) -> Image.Image:
    left, top, right, bottom = map(int, window)
    if right <= picture.width and bottom <= picture.height:
        return picture.crop((left, top, right, bottom))
    tile = Image.new(picture.mode, (right - left, bottom - top), (fill,) * len(picture.getbands()))
    tile.paste(picture.crop((left, top, min(right, picture.width), min(bottom, picture.height))), (0, 0))
    return tile
