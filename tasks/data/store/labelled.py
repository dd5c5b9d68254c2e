"""Labels that a model or people made of a version's pictures become a version of their own.

Such a version is no operation on tables: its recipe says who made the labels from which parents, and `replay` refuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.ops import Making
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.store.recipes import facts as dated
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, conform, full_disk_is_told, read_dataset, write_meta
from tasks.data.table import write_table as write

NUMBERED = ("annotation_id", "row")


def publish_labels(store: Store, parent: Version, *, out: str, owner: str, said: Mapping[str, Any],
                   annotations: pa.Table, parents: Sequence[Version] = (), keep: np.ndarray | None = None,
                   pictures: Mapping[int, Mapping[str, Any]] | None = None, classes: Sequence[str] | None = None,
                   facts: Mapping[str, Any] | None = None) -> tuple[Version, bool]:
    """The version of `parent`'s pictures that has these labels, and whether it is new.

    The latest version of `out` is it where its tables are the same and it has this recipe.

    Args:
        said: who made the labels and how, for the recipe: plain JSON, `by` at least.
        annotations: columns of `ANNOTATIONS`; image_ids are those of `parent`. Columns that are not there and may be
            null are; `area` is w · h; `iscrowd`, `difficult` are false; `annotation_id` and `row` are made.
        parents: further versions that the labels come from.
        keep: image_ids of the pictures that stay, all when None; labels of others are refused.
        pictures: image_id → what is added to that picture's `attributes`, key by key.
        classes: the names of class ids; the parent's when None.
        facts: what is noted beside the version and never compared.

    Raises:
        DataError: labels on pictures that are not there or of classes that do not exist, a picture that is not of
            `parent`, nothing left, or a full disk. UserError: the name is somebody else's.
    """
    told = read_dataset(parent.folder)
    meta = told.meta if classes is None else told.meta.model_copy(update={"classes": list(classes)})
    made = Dataset(*_rows(told.images, annotations, keep, pictures or {}, len(meta.classes), parent), meta)
    recipe = {"labels": dict(said), "parents": [{"ref": one.ref, "digest": one.digest} for one in (parent, *parents)]}
    with store.locked(), full_disk_is_told(store.root):
        making = store.begin(out, owner)
        _write(making, made)
        latest = store.latest(out)
        if latest and latest.here and latest.meta.recipe == recipe and latest.digest == table_digest(making.folder):
            return latest, False
        return store.publish(making, recipe, owner, dated() | dict(facts or {})), True


def _write(making: Making, made: Dataset) -> None:
    write(making.folder / "images.parquet", [made.images], IMAGES)
    write(making.folder / "annotations.parquet", [made.annotations], ANNOTATIONS)
    write_meta(making.folder, made.meta)


def _rows(images: pa.Table, annotations: pa.Table, keep: np.ndarray | None,
          pictures: Mapping[int, Mapping[str, Any]], classes: int, parent: Version) -> tuple[pa.Table, pa.Table]:
    ids = images["image_id"].to_numpy()
    wanted = ids if keep is None else np.unique(np.asarray(keep, np.int64))
    owner = annotations["image_id"].to_numpy() if annotations.num_rows else np.zeros(0, np.int64)
    for what, given, known in (("pictures to keep", wanted, ids), ("described pictures", np.array([*pictures], int),
                                                                  wanted), ("labels", owner, wanted)):
        strange = np.setdiff1d(given, known)
        if len(strange):
            raise DataError(f"{what}: picture {strange[0]} is not among the {len(known):,} of {parent.ref}",
                            where=parent.folder, mend="take image_ids of that version")
    if not len(wanted):
        raise DataError("no picture is left", where=parent.ref, mend="choose less strictly")
    chosen = images.filter(pa.array(np.isin(ids, wanted)))
    chosen = chosen.set_column(0, IMAGES.field("image_id"), pa.array(np.arange(chosen.num_rows)))
    if pictures:
        at = np.searchsorted(wanted, np.array(sorted(pictures)))
        added = dict(zip(at.tolist(), (pictures[key] for key in sorted(pictures)), strict=True))
        texts = [_merged(text, added.get(row)) for row, text in enumerate(chosen["attributes"].to_pylist())]
        chosen = chosen.set_column(chosen.schema.get_field_index("attributes"), IMAGES.field("attributes"),
                                   pa.array(texts, pa.string()))
    return conform(chosen, IMAGES), _labels(annotations, np.searchsorted(wanted, owner), classes)


def _merged(text: str | None, added: Mapping[str, Any] | None) -> str | None:
    if not added:
        return text
    return json.dumps((json.loads(text) if text else {}) | dict(added), sort_keys=True, ensure_ascii=False)


def _labels(annotations: pa.Table, image: np.ndarray, classes: int) -> pa.Table:
    count = annotations.num_rows
    label = annotations["class_id"].to_numpy() if count else np.zeros(0, np.int32)
    if count and (label.min() < 0 or label.max() >= classes):
        raise DataError(f"a label of class {label.max() if label.max() >= classes else label.min()}, and there are "
                        f"{classes}", where="labels", mend="map the classes first")
    order = np.argsort(image, kind="stable")
    table = annotations.drop_columns([name for name in (*NUMBERED, "image_id") if name in annotations.column_names])
    table = table.take(pa.array(order)).append_column("image_id", pa.array(image[order], pa.int64()))
    numbers = np.arange(count)
    made = {"annotation_id": pa.array(numbers), "row": pa.array(numbers.astype(str), pa.string())}
    if "area" not in table.column_names:
        made["area"] = pa.array(table["w"].to_numpy().astype(float) * table["h"].to_numpy().astype(float))
    made |= {name: pa.array(np.zeros(count, bool)) for name in ("iscrowd", "difficult")
             if name not in table.column_names}
    for name, column in made.items():
        table = table.append_column(name, column)
    return conform(table, ANNOTATIONS)


def attributes_of(version: Version, key: str) -> dict[int, Any]:
    """image_id → what stands under `key` in the pictures' attributes; pictures without it are left out."""
    table = pq.read_table(version.folder / "images.parquet", columns=["image_id", "attributes"])
    told = zip(table["image_id"].to_pylist(), table["attributes"].to_pylist(), strict=True)
    found = {image: json.loads(text).get(key) for image, text in told if text}
    return {image: value for image, value in found.items() if value is not None}
