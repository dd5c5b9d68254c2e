"""Labels that are probably wrong: overlooked, badly located and swapped boxes, by predictions of a model that has not
seen them.

ObjectLab: Tkachenko, Thyagarajan and Mueller 2023, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object
Detection Data" (arXiv 2309.00832), with the constants and the order of operations of cleanlab 2.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.params import Params
from tasks.labels.columns import BLOCK, boxes_of, iou_of, together
from tasks.metrics.detections import Boxes

KINDS = ("overlooked", "badly located", "swapped")
OVERLOOKED, BADLY, SWAPPED = range(3)
TINY = 1e-100

BOXES = pa.schema([
    ("image_id", pa.int64()), ("kind", pa.string()),
    # 0..1, low: probably an error
    ("quality", pa.float64()),
    # of the label; null for an overlooked object
    ("annotation_id", pa.int64()), ("class_id", pa.int32()), *((name, pa.float64()) for name in "xywh"),
    # the class, the score and the overlap of the prediction that speaks against the label
    ("says", pa.int32()), ("score", pa.float32()), ("iou", pa.float64()),
])
PICTURES = pa.schema([("image_id", pa.int64()), ("quality", pa.float64()),
                      *((kind.replace(" ", "_"), pa.float64()) for kind in KINDS)])


class Settings(Params):
    """ObjectLab's constants.

    Attributes:
        alpha: share of the IoU in the similarity.
        reach: how fast the similarity falls with the distance of two centres.
        high, low: probability from which a prediction speaks against labels, or for a place. These are meant for
            calibrated probabilities: take the column `probability` of `difficulty.rate` as the score.
        temperature: of the soft minimum over the boxes of a picture.
        conflicting: overlap from which labels of two classes contradict each other.
        distance: `pixels`, as cleanlab has it, which depends on the size of the pictures; or `relative`: of pictures
            brought to 640 pixels on the longer side.
    """

    alpha: float = Field(default=0.9, ge=0, le=1)
    reach: float = Field(default=0.1, ge=0)
    high: float = Field(default=0.95, ge=0, le=1)
    low: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=0.1, gt=0)
    conflicting: float = Field(default=0.95, gt=0, le=1)
    distance: Literal["pixels", "relative"] = "pixels"


@dataclass(frozen=True)
class Found:
    """Boxes in the form of `BOXES` and pictures in that of `PICTURES`, worst first."""

    boxes: pa.Table
    pictures: pa.Table


@dataclass(frozen=True)
class _Pairs:
    """Labels and predictions of one picture, all with all, some million at a time."""

    label: np.ndarray
    found: np.ndarray
    iou: np.ndarray
    similarity: np.ndarray


def label_errors(images: pa.Table, labels: pa.Table, predictions: pa.Table, settings: Settings | None = None) -> Found:
    """How good each label is, 0..1, and where one is lacking.

    similarity = α · IoU + (1 − α) · e^(−0.1 · distance of the centres); s_min is the least of all that are not 0.
    overlooked, of each prediction with p ≥ high that touches no label: the largest similarity to a label of its class,
        or s_min (1 − p) without one; predictions that are none have no score.
    badly located, of each label: the largest similarity to a prediction of its class with p > low that touches it; 1
        without one.
    swapped, of each label: max(s_min, 1 − the largest similarity to a prediction of another class with p > high), 1
        without one; s_min where a label of another class has an IoU ≥ 0.95 with it.
    Of a picture and kind: Σ softmax(−q / 0.1) · q over its boxes, 1 without one; of the picture: the geometric mean of
    the three.

    Args:
        images: image_id, and width and height for `relative`.
        labels: the annotations; predictions: out of fold (`out_of_fold`), score is the probability.

    Raises:
        DataError: a label or a prediction on a picture that is not in `images`.
    """
    settings = settings or Settings()
    truth, found = boxes_of(labels, "labels"), boxes_of(predictions, "predictions")
    stray = np.setdiff1d(np.concatenate([truth.image, found.image]), images["image_id"].to_numpy())
    if len(stray):
        raise DataError(f"boxes on picture {stray[0]}, which is not among the pictures",
                        where=f"the first of {len(stray)}",
                        mend="give the pictures of the labels and of the predictions")
    keep = np.flatnonzero(~truth.crowd)
    truth = truth.take(keep)
    scale = _scale(images, settings)
    least = min([1.0, *(float(pairs.similarity[pairs.similarity > 0].min(initial=1.0)) for pairs in
                        _pairs(truth, found, scale, settings))])
    parts = _scored(truth, found, scale, settings, least)
    number = labels["annotation_id"].to_numpy()[keep] if "annotation_id" in labels.column_names else keep
    boxes = [_table(kind, truth, found, number, *part) for kind, part in enumerate(parts)]
    whole = pa.concat_tables(boxes)
    order = np.lexsort((whole["image_id"].to_numpy(), whole["quality"].to_numpy()))
    qualities = [_pooled(images["image_id"].to_numpy(), table, settings.temperature) for table in boxes]
    return Found(whole.take(pa.array(order)), _pictures(images["image_id"].to_numpy(), qualities))


def out_of_fold(images: np.ndarray, fold: np.ndarray, parts: Mapping[int, pa.Table]) -> pa.Table:
    """The predictions of k models joined, each for the pictures that it was not trained on.

    Args:
        images: image_ids; fold: of each, from `fold_of`.
        parts: fold → what the model that was trained without it says of its pictures.

    Raises:
        DataError: a fold without predictions, or predictions on a picture of another fold.
    """
    for number in np.unique(fold).tolist():
        if number not in parts:
            raise DataError(f"no predictions for fold {number}", where=f"folds {sorted(parts)}",
                            mend="predict each fold with the model that was trained without it")
        stray = np.setdiff1d(parts[number]["image_id"].to_numpy(), images[fold == number])
        if len(stray):
            raise DataError(f"fold {number}: predictions on picture {stray[0]}, which is not of it: its model has been "
                            "trained on it", where=f"the first of {len(stray)}", mend="predict its own pictures alone")
    tables: Sequence[pa.Table] = [parts[number] for number in np.unique(fold).tolist()]
    return pa.concat_tables(tables) if tables else pa.table({})


def fold_of(folder: Path, k: int = 5, seed: int = 0, near: np.ndarray | None = None) -> np.ndarray:
    """The fold of each picture of a dataset folder, by image_id; near-duplicates and groups stay together."""
    from tasks.data.splitting import folds, read_pictures

    return folds(read_pictures(folder, near=near), k, seed)


def _scale(images: pa.Table, settings: Settings) -> tuple[np.ndarray, np.ndarray] | None:
    if settings.distance == "pixels":
        return None
    ids = images["image_id"].to_numpy()
    order = np.argsort(ids)
    longer = np.maximum(images["width"].to_numpy(), images["height"].to_numpy())
    return ids[order], 640 / np.maximum(longer[order], 1)


def _pairs(truth: Boxes, found: Boxes, scale: tuple[np.ndarray, np.ndarray] | None,
           settings: Settings) -> Iterator[_Pairs]:
    for theirs, ours in together(truth.image, found.image, BLOCK):
        a, b = truth.xywh[theirs], found.xywh[ours]
        iou = iou_of(a, b)
        apart = np.linalg.norm(a[:, :2] + a[:, 2:] / 2 - b[:, :2] - b[:, 2:] / 2, axis=1)
        if scale is not None:
            apart *= scale[1][np.searchsorted(scale[0], truth.image[theirs])]
        near = settings.alpha * iou + (1 - settings.alpha) * np.exp(-settings.reach * apart)
        yield _Pairs(theirs, ours, iou, near)


def _scored(truth: Boxes, found: Boxes, scale: tuple[np.ndarray, np.ndarray] | None, settings: Settings,
            least: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """For each kind: rows, quality, the prediction that speaks against it (−1: none) and their overlap."""
    touched = np.zeros(len(found), bool)
    best = {OVERLOOKED: _Best(len(found)), BADLY: _Best(len(truth)), SWAPPED: _Best(len(truth))}
    for pairs in _pairs(truth, found, scale, settings):
        np.logical_or.at(touched, pairs.found, pairs.iou > 0)
        same, p = truth.label[pairs.label] == found.label[pairs.found], found.score[pairs.found]
        best[OVERLOOKED].take(pairs, pairs.found, pairs.label, same)
        best[BADLY].take(pairs, pairs.label, pairs.found, same & (p > settings.low) & (pairs.iou > 0))
        best[SWAPPED].take(pairs, pairs.label, pairs.found, ~same & (p > settings.high))
    sure = np.flatnonzero((found.score >= settings.high) & ~touched)
    near = best[OVERLOOKED].value[sure]
    overlooked = np.where(near > -1, near, least * (1 - found.score[sure]))
    badly = np.where(best[BADLY].value > -1, best[BADLY].value, 1.0)
    swapped = np.where(best[SWAPPED].value > -1, np.maximum(least, 1 - best[SWAPPED].value), 1.0)
    swapped[_contradicted(truth, settings.conflicting)] = least
    every = np.arange(len(truth))
    return [(sure, overlooked, sure, np.zeros(len(sure))), (every, badly, best[BADLY].by, best[BADLY].iou),
            (every, swapped, best[SWAPPED].by, best[SWAPPED].iou)]


class _Best:
    """The largest similarity of each row so far, with what and at which overlap; −1 where there is none."""

    def __init__(self, rows: int) -> None:
        self.value, self.iou = np.full(rows, -1.0), np.zeros(rows)
        self.by = np.full(rows, -1)

    def take(self, pairs: _Pairs, rows: np.ndarray, by: np.ndarray, counts: np.ndarray) -> None:
        some = np.flatnonzero(counts)
        some = some[np.lexsort((by[some], -pairs.similarity[some], rows[some]))]
        first = some[np.unique(rows[some], return_index=True)[1]]
        better = first[pairs.similarity[first] > self.value[rows[first]]]
        at = rows[better]
        self.value[at], self.by[at], self.iou[at] = pairs.similarity[better], by[better], pairs.iou[better]


def _contradicted(truth: Boxes, least: float) -> np.ndarray:
    """Labels in whose place there is one of another class: bool [n]."""
    found = np.zeros(len(truth), bool)
    for a, b in together(truth.image, truth.image):
        other = truth.label[a] != truth.label[b]
        a, b = a[other], b[other]
        found[a[iou_of(truth.xywh[a], truth.xywh[b]) >= least]] = True
    return found


def _table(kind: int, truth: Boxes, found: Boxes, number: np.ndarray, rows: np.ndarray, quality: np.ndarray,
           by: np.ndarray, iou: np.ndarray) -> pa.Table:
    source, none = found if kind == OVERLOOKED else truth, by < 0
    ids = pa.nulls(len(rows), pa.int64()) if kind == OVERLOOKED else pa.array(number[rows], pa.int64())
    against = np.where(none, 0, by)
    says = np.zeros(0, np.int64) if not len(rows) else _of(found.label, against)
    score = np.zeros(0) if not len(rows) else _of(found.score, against)
    name = pa.repeat(pa.scalar(KINDS[kind], pa.string()), len(rows))
    return pa.table([
        pa.array(source.image[rows], pa.int64()), name, pa.array(quality), ids,
        pa.array(source.label[rows].astype(np.int32)), *(pa.array(side) for side in source.xywh[rows].T),
        pa.array(says.astype(np.int32), mask=none), pa.array(score.astype(np.float32), mask=none),
        pa.array(iou, mask=none)], schema=BOXES)


def _of(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return column[rows] if len(column) else np.zeros(len(rows), column.dtype)


def _pooled(images: np.ndarray, table: pa.Table, temperature: float) -> np.ndarray:
    """The soft minimum of each picture's boxes, 1 without one; float64 [pictures]."""
    quality = table["quality"].to_numpy()
    order = np.argsort(images, kind="stable")
    place = order[np.searchsorted(images[order], table["image_id"].to_numpy())] if len(quality) else np.zeros(0, int)
    weight = np.exp(-quality / temperature)
    total = np.bincount(place, weights=weight, minlength=len(images))
    mean = np.bincount(place, weights=weight * quality, minlength=len(images))
    return np.divide(mean, total, out=np.ones(len(images)), where=total > 0)


def _pictures(images: np.ndarray, qualities: list[np.ndarray]) -> pa.Table:
    whole = np.exp(np.mean([np.log(TINY + quality) for quality in qualities], axis=0)) if len(images) else np.zeros(0)
    order = np.lexsort((images, whole))
    return pa.table([pa.array(column[order]) for column in (images, whole, *qualities)], schema=PICTURES)
