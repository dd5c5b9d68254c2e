"""Pictures that people have looked at, and what a model had said of the very same pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset
from tasks.labelling.checking.elsewhere import MODEL, boxes_of_model
from tasks.labels.calibration import right_boxes
from tasks.labels.columns import boxes_of

BOX = ("class_id", "x", "y", "w", "h")
DEEP = 20  # parents of parents that are followed
NEEDED = ("image_id", *BOX, "iscrowd", "difficult")


@dataclass(frozen=True)
class Reviewed:
    """What people say.

    Attributes:
        labels: digest of each reviewed picture → its labels, rows with `NEEDED` (image_id means nothing here).
        picked: how many of the pictures were chosen because they are hard, and not at random.
        refs: the versions that they are from.
    """

    labels: dict[str, list[dict[str, Any]]]
    picked: int
    refs: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """A model's boxes on reviewed pictures, and which of them are right.

    Attributes:
        found: image_id (numbers of the reviewed pictures), class_id, x, y, w, h, score, attributes.
        right: bool [n]: IoU ≥ 0.5 with a person's box of its class, one to one.
        pictures: how many; objects: that people see in them, as (image_id, whether a box is on it).
    """

    found: pa.Table
    right: np.ndarray
    pictures: int
    objects: tuple[np.ndarray, np.ndarray]


def reviewed_in(version: Version, classes: Sequence[str], named: bool = False) -> Reviewed:
    """The pictures of a version that people have looked at: those with `attributes.review`, or with a box that has
    `reviewed_by`, and without a model's box that nobody has looked at.

    Args:
        classes: names that class ids are to be of; further classes of the version get numbers after them.
        named: a person has named this version: where no model and no reviewer is in it, all of it is people's work.

    Raises:
        UserError: the version lacks one of the classes.
    """
    told = read_dataset(version.folder)
    number = {name: at for at, name in enumerate(classes)}
    if missing := [name for name in classes if name not in told.meta.classes]:
        raise UserError(f"the classes differ: {version.ref} has no {', '.join(missing)}; it has "
                        f"{', '.join(told.meta.classes)}", where=version.ref,
                        mend="visionmill data relabel NAME --map OLD=NEW --out OTHER")
    renumber = [number.setdefault(name, len(number)) for name in told.meta.classes]
    seen, picked = _looked_at(told)
    if not seen and named and not any(one.startswith(MODEL) for one in told.annotations["source"].to_pylist()):
        seen = set(told.images["image_id"].to_pylist())
    digest = dict(zip(told.images["image_id"].to_pylist(), told.images["digest"].to_pylist(), strict=True))
    labels: dict[str, list[dict[str, Any]]] = {digest[image]: [] for image in sorted(seen)}
    for row in told.annotations.select(list(NEEDED)).to_pylist():
        if row["image_id"] in seen:
            labels[digest[row["image_id"]]].append(row | {"class_id": renumber[row["class_id"]]})
    return Reviewed(labels, len(picked & seen), (version.ref,))


def find_reviewed(store: Store, told: Dataset, skip: Sequence[str] = ()) -> Reviewed:
    """All reviewed pictures of a store that are among these; of a picture's reviews the latest.

    Args:
        skip: names of datasets that are not looked at.
    """
    here, classes = set(told.images["digest"].to_pylist()), told.meta.classes
    latest = [version for name in store.names() if name not in skip and (version := store.latest(name))]
    labels: dict[str, list[dict[str, Any]]] = {}
    picked, refs = 0, []
    for version in sorted((one for one in latest if one.here), key=lambda one: str(one.facts.get("created", ""))):
        if not set(classes) <= set(version.meta.classes) or not _has_reviews(version):
            continue
        found = reviewed_in(version, classes)
        mine = {digest: rows for digest, rows in found.labels.items() if digest in here}
        if mine:
            # the same pictures come again in what was merged of them
            picked = max(picked, found.picked)
            labels |= mine
            refs.append(version.ref)
    return Reviewed(labels, picked, tuple(refs))


def compare(told: Dataset, reviewed: Reviewed, model: str, more: Sequence[Dataset] = ()) -> Compared:
    """A model's boxes on the reviewed pictures, from `told` or else from one of `more`, matched with people's."""
    boxes: dict[str, list[dict[str, Any]]] = {}
    for dataset in (told, *more):
        names = [told.meta.classes.index(name) if name in told.meta.classes else -1 for name in dataset.meta.classes]
        fresh = {image: digest for image, digest in zip(dataset.images["image_id"].to_pylist(), dataset.images["digest"]
                                                        .to_pylist(), strict=True)
                 if digest in reviewed.labels and digest not in boxes}
        boxes |= {digest: [] for digest in fresh.values()}
        for row in _of(dataset, model, fresh):
            boxes[fresh[row["image_id"]]].append(row | {"class_id": names[row["class_id"]]})
    order = sorted(boxes)
    found = _table([row | {"image_id": at} for at, digest in enumerate(order) for row in boxes[digest]],
                   ("image_id", *BOX, "score", "attributes"))
    truth = _table([row | {"image_id": at} for at, digest in enumerate(order) for row in reviewed.labels[digest]],
                   NEEDED)
    outcome = right_boxes(boxes_of(found, "pre-labels"), boxes_of(truth, "reviewed labels"))
    found, outcome = found.filter(pa.array(outcome >= 0)), outcome[outcome >= 0]
    return Compared(found, outcome == 1, len(order), _objects(found, outcome == 1, truth))


def ancestors(store: Store, version: Version) -> Iterator[Version]:
    """What a version was made of, as far as it is here, the nearest first."""
    waiting, seen = [version], {version.ref}
    while waiting and len(seen) <= DEEP:
        for parent in waiting.pop(0).meta.recipe.get("parents", []):
            ref = str(parent.get("ref", ""))
            name, _, number = ref.partition("@")
            known = next((one for one in store.of(name) if str(one.number) == number), None) if name else None
            if known is not None and known.here and ref not in seen:
                seen.add(ref)
                waiting.append(known)
                yield known


def labelled_by(store: Store, refs: Sequence[str], model: str) -> list[Dataset]:
    """What the reviewed versions were made of, where it has boxes of that model: its pre-labels as they were."""
    found = []
    for ref in refs:
        for parent in ancestors(store, store.find(ref)):
            told = read_dataset(parent.folder)
            if MODEL + model in set(told.annotations["source"].to_pylist()):
                found.append(told)
    return found


def _has_reviews(version: Version) -> bool:
    """Cheap to ask: one column of each table."""
    who = pq.read_table(version.folder / "annotations.parquet", columns=["reviewed_by"])["reviewed_by"]
    if who.null_count < len(who):
        return True
    said = pq.read_table(version.folder / "images.parquet", columns=["attributes"])["attributes"]
    return bool(pc.any(pc.match_substring(said, '"review"')).as_py())


def _looked_at(told: Dataset) -> tuple[set[int], set[int]]:
    """image_ids of the reviewed pictures, and of those that mining has picked for their scores."""
    seen: set[int] = set()
    picked: set[int] = set()
    for image, text in zip(told.images["image_id"].to_pylist(), told.images["attributes"].to_pylist(), strict=True):
        said: Mapping[str, Any] = json.loads(text) if text else {}
        seen |= {image} if said.get("review") else set()
        mined = said.get("mined") or {}
        if mined and not mined.get("random") and mined.get("strategy") != "random":
            picked.add(image)
    rows = zip(*(told.annotations[name].to_pylist() for name in ("image_id", "source", "reviewed_by")), strict=True)
    open_: set[int] = set()
    for image, source, who in rows:
        if who is not None:
            seen.add(image)
        elif source.startswith(MODEL):
            open_.add(image)
    return seen - open_, picked


def _of(dataset: Dataset, model: str, images: Mapping[int, str]) -> list[dict[str, Any]]:
    if MODEL + model not in set(dataset.annotations["source"].to_pylist()):
        return []
    rows = boxes_of_model(dataset, dataset.meta.name, model)[0]
    rows = rows.filter(pa.array(np.isin(rows["image_id"].to_numpy(), np.array([*images], np.int64))))
    return rows.select(["image_id", *BOX, "score", "attributes"]).to_pylist()


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pa.Table:
    kinds = {"image_id": pa.int64(), "class_id": pa.int32(), "iscrowd": pa.bool_(), "difficult": pa.bool_(),
             "attributes": pa.string()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.float64())) for name in names})


def _objects(found: pa.Table, right: np.ndarray, truth: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The picture of each object, and of each picture how many objects have no box: both by picture number."""
    owners = truth.filter(pa.array(~truth["iscrowd"].to_numpy().astype(bool)))["image_id"].to_numpy()
    many = int(max(owners.max(initial=-1), found["image_id"].to_numpy().max(initial=-1))) + 1
    objects = np.bincount(owners, minlength=many)
    having = np.bincount(found["image_id"].to_numpy()[right], minlength=many)
    return objects, np.maximum(objects - having, 0)
