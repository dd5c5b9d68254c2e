"""Writing XML that CVAT imports: "CVAT for images 1.1". What CVAT exports is read by `tasks.data.formats`.

See https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from tasks.base.files import write_json
from tasks.data.exporting import Export
from tasks.data.runs import decode
from tasks.data.table import read_meta

FILE, LABELS = "annotations.xml", "labels.json"
UNSAID = ("track", "truncation", "attributes", "uncertainty", "difficulty")


def write(folder: Path, pictures: Path, out: Path, name: str) -> Counter[str]:
    """Write the dataset `folder` as `annotations.xml`, the pictures as `images/…`, and `labels.json`, which CVAT's
    form for a new task takes as it is; returns what was lost."""
    out.mkdir(parents=True)
    made = Export(folder, pictures, out, read_meta(folder))
    with (out / FILE).open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.writelines(_meta(name, made.meta.classes))
        for row in made.rows():
            image = row.image
            made.place(image, f"images/{image['file']}")
            file.write(f'  <image id="{image["image_id"]}" name={quoteattr(image["file"])} '
                       f'width="{image["width"]}" height="{image["height"]}">\n')
            for box in row.boxes:
                file.writelines(f"    {shape}\n" for shape in _shapes(box, made))
            file.write("  </image>\n")
        file.write("</annotations>\n")
    write_json(out / LABELS, [{"name": label, "attributes": []} for label in made.meta.classes])
    return made.losses


def _meta(name: str, classes: list[str]) -> Iterator[str]:
    from xml.sax.saxutils import escape

    yield f"  <meta>\n    <task>\n      <name>{escape(name)}</name>\n      <labels>\n"
    for label in classes:
        yield f"        <label><name>{escape(label)}</name><attributes></attributes></label>\n"
    yield "      </labels>\n    </task>\n  </meta>\n"


def _shapes(box: dict[str, Any], made: Export) -> Iterator[str]:
    source = "auto" if str(box["source"]).startswith("model:") else "manual"
    head = f"label={quoteattr(made.meta.classes[box['class_id']])} source=\"{source}\" occluded=\"{_hidden(box)}\""
    if box["keypoints"]:
        made.lose("keypoints")
    if box["iscrowd"]:
        made.lose("crowds: CVAT has single objects")
    if box["score"] is not None:
        made.lose("scores of boxes")
    for name in UNSAID:
        if box[name] is not None:
            made.lose(f"annotations.{name}")
    if box["polygons"]:
        if len(box["polygons"]) > 1:
            made.lose("masks of several polygons: each becomes an object")
        for polygon in box["polygons"]:
            yield f'<polygon {head} points="{_points(polygon)}" z_order="0"></polygon>'
    elif box["rle"]:
        yield f"<mask {head} {_mask(box['rle'])} z_order=\"0\"></mask>"
    else:
        left, top, right, bottom = box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]
        yield (f'<box {head} xtl="{left:.2f}" ytl="{top:.2f}" xbr="{right:.2f}" ybr="{bottom:.2f}" '
               'z_order="0"></box>')


def _hidden(box: dict[str, Any]) -> int:
    return int(bool(box["occlusion"]))


def _points(polygon: list[float]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))


def _mask(rle: dict[str, Any]) -> str:
    """A mask as runs along the rows of its window, the first of them background."""
    pixels = decode(rle, "mask")
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return 'rle="1" left="0" top="0" width="1" height="1"'
    top, left = int(rows[0]), int(columns[0])
    window = pixels[top:rows[-1] + 1, left:columns[-1] + 1]
    flat = np.concatenate([[False], window.ravel()])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), window.size)
    runs = np.diff(ends, prepend=0)
    told = ", ".join(map(str, runs.tolist()))
    return f'rle="{told}" left="{left}" top="{top}" width="{window.shape[1]}" height="{window.shape[0]}"'
