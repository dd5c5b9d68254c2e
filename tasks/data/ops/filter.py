"""Pictures and labels that an expression keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.base.params import Params as Section
from tasks.data.expression import Condition, parse
from tasks.data.ops import Making, Parent
from tasks.data.ops._arrays import distinct
from tasks.data.ops._describing import derived, only_parent
from tasks.data.ops._hashing import name_classes
from tasks.data.ops._taking import Taking, fill, ids_below, kept
from tasks.data.sql import TABLES, tables

# boxes, labels of whole pictures, and pictures without either
ROWS = """
    SELECT * FROM it_annotations
    UNION ALL BY NAME SELECT image_id, unnest(labels) AS class_id FROM it_images
    UNION ALL BY NAME SELECT image_id FROM it_images
        WHERE COALESCE(len(labels), 0) = 0 AND image_id NOT IN (SELECT image_id FROM it_annotations)
"""

EXAMPLES = """  visionmill data filter cells "class in ('RBC', 'WBC') and area > 1024" --out large"""


class Params(Section):
    """Parameters of `filter`."""

    expression: str = Field(description="such as: class in ('car', 'bus') and area > 1024 and not difficult")
    what: Literal["labels", "pictures"] = Field(
        default="labels", description="what is kept: labels that match and their pictures, or pictures with a label "
        "that matches, with all their labels")
    keep_empty: bool = Field(default=False, description="keep pictures that lose all labels")


@dataclass(frozen=True)
class Found:
    """What matches: bool [pictures], bool [annotations], and the picture labels as `Taking.said`."""

    pictures: np.ndarray
    annotations: np.ndarray
    said: np.ndarray


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the version with what matches.

    A picture without any label stays where the expression is true of the picture alone: `width > 640`, `not difficult`.

    Raises:
        ParamsError: the expression cannot be read.
        DataError: more than one parent, or no picture is left.
    """
    parent = only_parent(parents, making)
    meta = derived(making, parents)
    found = _matching(parent, parse(params.expression, meta.classes), meta.classes)
    pictures = np.ones_like(found.pictures) if params.keep_empty and params.what == "labels" else found.pictures
    everything = params.what == "pictures"
    fill(making.folder, [Taking(parent.folder, kept(pictures), np.arange(len(meta.classes)),
                                labels=None if everything else found.annotations,
                                said=None if everything else found.said)], meta)
    print(f"{int(pictures.sum()):,} of {len(pictures):,} pictures stay; {int(found.annotations.sum()):,} of "
          f"{len(found.annotations):,} boxes match")


def _matching(parent: Parent, condition: Condition, classes: Sequence[str]) -> Found:
    with tables(it=parent.folder) as connection:
        counts = [connection.sql(f"SELECT count(*) FROM it_{table}").fetchall()[0][0] for table in TABLES]
        pictures, annotations = (np.zeros(count, bool) for count in counts)
        name_classes(connection, "it", classes)
        rows = connection.sql(
            "SELECT label.image_id, COALESCE(label.annotation_id, -1) AS box, COALESCE(label.class_id, -1) AS class_id"
            f" FROM ({ROWS}) label JOIN it_images picture USING (image_id) LEFT JOIN it_names name USING (class_id)"
            f" WHERE {condition.sql}", params=condition.values)
        said = [np.zeros(0, np.int64)]
        for batch in rows.to_arrow_reader(1 << 16):
            owner, box, label = (ids_below(batch[name].to_numpy(), count, parent.folder, -1) for name, count in
                                 (("image_id", counts[0]), ("box", counts[1]), ("class_id", len(classes))))
            pictures[owner] = True
            annotations[box[box >= 0]] = True
            whole = (box < 0) & (label >= 0)
            said.append(owner[whole] * len(classes) + label[whole])
    return Found(pictures, annotations, distinct(np.concatenate(said)))
