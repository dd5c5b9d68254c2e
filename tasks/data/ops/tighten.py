"""Boxes drawn around their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.base.params import Params as Section
from tasks.data import sql
from tasks.data.affine import Box
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived
from tasks.data.ops._labels import area_after, box_of
from tasks.data.ops._making import LISTED, only
from tasks.data.shapes import shape_of

SIDES = ("x", "y", "w", "h", "area")
READ = [*SIDES, "polygons", "rle", "row"]


class Params(Section):
    """Parameters of `data tighten`."""

    tolerance: float = Field(default=0.01, ge=0, description="pixels; a box whose edges are all this near to its "
                             "mask's stays as it is")


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Let each box that has a mask be the mask's extent, from the first pixel to the far edge of the last.

    A mask with nothing in it leaves its box alone: `tighten.json` counts and names them.

    Raises:
        DataError: several parents, or a damaged mask.
    """
    parent = only(parents, "tighten")
    report: dict[str, Any] = {"masks": 0, "changed": 0, "empty_masks": 0, "named": []}
    with sql.tables(it=parent.folder) as connection:
        images = sql.stream(connection, "SELECT * FROM it_images ORDER BY image_id")
        labels = sql.stream(connection, "SELECT * FROM it_annotations ORDER BY annotation_id")
        tight = (_tightened(batch, params.tolerance, report) for batch in labels)
        # the report is written after the rows, and full by then
        sql.write_version(making.folder, images, tight, derived(making, parents), {"tighten.json": report})
    print(f"{report['changed']} of {report['masks']} boxes with a mask changed; {report['empty_masks']} have a mask "
          "with nothing in it and kept their box")


def _tightened(batch: pa.RecordBatch, tolerance: float, report: dict[str, Any]) -> pa.Table:
    table = pa.Table.from_batches([batch])
    with_mask = np.flatnonzero(pc.or_(pc.is_valid(table["polygons"]), pc.is_valid(table["rle"])))
    columns = {name: table[name].to_numpy().copy() for name in SIDES}
    for place, row in zip(with_mask, table.select(READ).take(pa.array(with_mask)).to_pylist(), strict=True):
        for name, value in zip(SIDES, _tight(row, tolerance, report), strict=True):
            columns[name][place] = value
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def _tight(row: Mapping[str, Any], tolerance: float, report: dict[str, Any]) -> tuple[float, ...]:
    """The sides and the area of a box with a mask, and what is to be said of it."""
    report["masks"] += 1
    rle = row["rle"] or {"w": 0, "h": 0}
    shape = shape_of(row, rle["w"], rle["h"])
    found, box = shape.extent if shape else None, box_of(row)
    if found is None:
        report["empty_masks"] += 1
        report["named"] += [row["row"]] if len(report["named"]) < LISTED else []
    elif not _near(found, box, tolerance):
        report["changed"] += 1
        return *found, area_after(row, found)
    return *box, row["area"]


def _near(one: Box, other: Box, tolerance: float) -> bool:
    (a, b, c, d), (e, f, g, h) = one, other
    return all(abs(x - y) <= tolerance for x, y in ((a, e), (b, f), (a + c, e + g), (b + d, f + h)))
