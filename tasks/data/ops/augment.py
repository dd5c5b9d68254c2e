"""New pictures by random spatial and colour operations, another draw for each; labels are carried along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from PIL import Image, ImageFilter
from pydantic import Field

from tasks.base.errors import DataError, ParamsError
from tasks.base.params import Params as Section
from tasks.data import sql
from tasks.data.affine import IDENTITY, Affine, inverse
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived
from tasks.data.ops._drawing import COLOUR, SPATIAL, Draw, draw
from tasks.data.ops._making import Done, only, remake
from tasks.data.ops._mapping import Carrying, carry, carry_region, mirrored_order
from tasks.data.ops._pictures import JPEGS, NOTHING, group_of, new_image, new_name, read_beside, read_pixels, save
from tasks.data.rows import Row

# how `splits` names the pictures that have none yet
NO_SPLIT = "none"
COUNTED = ("pictures", "copies", "repeated", "labels", "left", "empty_masks")
SHARE = "largest share of the picture's {}, either way"
FACTOR = "d draws factors from 1 / (1 + d) to 1 + d"


def _upto(limit: float, description: str) -> Any:
    return Field(default=0.0, ge=0, le=limit, description=description)


class Params(Section):
    """Parameters of `data augment`; every value is drawn anew for each picture."""

    copies: int = Field(default=1, ge=1, le=100, description="new pictures of each")
    keep_original: bool = Field(default=True, description="the pictures that are copied stay, too")
    seed: int = 0
    splits: list[str] = Field(default=["train"], min_length=1, description="those whose pictures are copied, none for "
                              "pictures without a split; all others stay as they are")
    rotate: float = _upto(180, "largest angle, degrees, either way")
    shear_x: float = _upto(0.9, "largest shift of a row for each pixel from the centre")
    shear_y: float = _upto(0.9, "largest shift of a column for each pixel from the centre")
    translate_x: float = _upto(1, SHARE.format("width"))
    translate_y: float = _upto(1, SHARE.format("height"))
    scale: float = _upto(1, FACTOR)
    flip_horizontal: float = _upto(1, "probability")
    flip_vertical: float = _upto(1, "probability")
    hue: float = _upto(180, "largest angle, degrees, either way")
    saturation: float = _upto(1, FACTOR)
    contrast: float = _upto(1, FACTOR)
    brightness: float = _upto(1, FACTOR)
    blur: float = _upto(50, "largest standard deviation, pixels")
    fill: int = Field(default=114, ge=0, le=255, description="grey level of what comes in at the edges")
    min_visible: float = Field(default=0.3, ge=0, le=1, description="a label stays with this share of it")
    tighten: bool = Field(default=True, description="a box with a mask becomes the extent of the mask after the map, "
                          "not of the box's four corners")

    def limits(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in Draw.__dataclass_fields__}


@dataclass(frozen=True)
class Job:
    """What is the same for all pictures of one operation."""

    params: Params
    parent: Parent
    making: Making
    swaps: dict[int, list[int]]


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Add augmented copies of the pictures of some splits.

    A copy of a JPEG file is a JPEG file of quality 95, of any other a PNG file. It has the size, split, tags, picture
    labels and group of its original, and the drawn values in its attributes. `augment.json` counts.

    Raises:
        ParamsError: no operation has a value.
        DataError: several parents, no picture in `splits`, a picture or a mask that cannot be read, keypoints without
            names in a mirror.
    """
    parent = only(parents, "augment")
    if not any(params.limits().values()):
        raise ParamsError("nothing to do: every operation is 0", mend="give one, such as --rotate 10")
    _refuse_empty(params, parent)
    meta = derived(making, parents)
    names = {meta.classes.index(name): points.get("names", ()) for name, points in meta.keypoints.items()
             if name in meta.classes}
    job = Job(params, parent, making, {number: mirrored_order(those) for number, those in names.items()})
    found = remake(parent, making, meta, partial(_copies, job), "augment", COUNTED)
    print(f"{found['copies']} copies of {found['pictures']} pictures; of {found['labels']} labels {found['left']} left "
          f"the picture, {found['empty_masks']} have a mask with nothing in it and kept their box")


def _refuse_empty(params: Params, parent: Parent) -> None:
    with sql.tables(it=parent.folder) as connection:
        counted = connection.execute("SELECT split, count(*) FROM it_images GROUP BY 1 ORDER BY 1").fetchall()
    splits = {split or NO_SPLIT: count for split, count in counted}
    if not any(name in splits for name in params.splits):
        there = ", ".join(f"{count} in {name}" for name, count in splits.items()) or "no pictures"
        raise DataError(f"no picture is in {' or '.join(params.splits)}; there are {there}", where=parent.ref,
                        mend=f"--splits {NO_SPLIT} takes those without a split: a copy never leaves its original's")


def _copies(job: Job, row: Row) -> Done:
    params, image = job.params, row.image
    if (image["split"] or NO_SPLIT) not in params.splits:
        return Done([row])
    wanted: dict[Draw, int] = {}
    for copy in range(params.copies):
        drawn = draw(params.limits(), params.seed, image["digest"], copy)
        if drawn.changes():
            wanted.setdefault(drawn, copy)
    counts = Counter(pictures=1, copies=len(wanted), repeated=params.copies - len(wanted))
    kept = [Row(image | {"group": group_of(image)}, row.boxes)] if params.keep_original or not wanted else []
    if not wanted:
        return Done(kept, counts)
    pixels = read_pixels(job.parent, image)
    beside = read_beside(job.parent, image)
    made = [_copy(job, row, drawn, copy, pixels, beside, counts) for drawn, copy in wanted.items()]
    return Done([*kept, *made], counts)


def _copy(job: Job, row: Row, drawn: Draw, copy: int, pixels: Image.Image, beside: dict[str, Image.Image],
          counts: Counter[str]) -> Row:
    image, params = row.image, job.params
    size = image["width"], image["height"]
    affine = drawn.affine(*size) if any(name in SPATIAL for name in drawn.changes()) else IDENTITY
    how = Carrying(affine, *size, params.min_visible, params.tighten, job.swaps)
    carried = [carry(box, how, counts) for box in row.boxes] if affine != IDENTITY else row.boxes
    labels = [box for box in carried if box]
    counts.update(labels=len(row.boxes), left=len(row.boxes) - len(labels))
    more: dict[str, Any] = {}
    if affine != IDENTITY and image["ignored"]:
        more["ignored"] = [list(kept) for region in image["ignored"] if (kept := carry_region(region, how))] or None
    name = new_name(image["file"], f"c{copy}", _suffix(image["file"]))
    save(_mapped(_coloured(pixels, drawn), affine, params.fill), job.making, name)
    if "mask" in beside:
        mask = _mapped(beside["mask"], affine, NOTHING, Image.Resampling.NEAREST)
        more["mask"] = save(mask, job.making, new_name(image["file"], f"c{copy}_mask"))
    if "reference" in beside:
        golden = _mapped(_coloured(beside["reference"], drawn), affine, params.fill)
        suffix = _suffix(image["reference"])
        more["reference"] = save(golden, job.making, new_name(image["file"], f"c{copy}_reference", suffix))
    origin = {"augment": {"of": image["file"], "copy": copy} | drawn.changes()}
    return Row(new_image(image, job.making, name, origin, **more), labels)


def _mapped(picture: Image.Image, affine: Affine, fill: int,
            how: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
    if affine == IDENTITY:
        return picture
    return picture.transform(picture.size, Image.Transform.AFFINE, inverse(affine), how,
                             fillcolor=(fill,) * len(picture.getbands()))


def _coloured(picture: Image.Image, drawn: Draw) -> Image.Image:
    """The picture in other colours; a grey one stays grey where only contrast and brightness change."""
    changed = drawn.changes()
    if any(name in changed for name in COLOUR):
        grey = picture.mode == "L"
        picture = picture.convert("RGB").convert("RGB", drawn.colour())
        picture = picture.getchannel(0) if grey else picture
    return picture.filter(ImageFilter.GaussianBlur(drawn.blur)) if drawn.blur else picture


def _suffix(file: str) -> str:
    return ".jpg" if PurePosixPath(file).suffix.lower() in JPEGS else ".png"
