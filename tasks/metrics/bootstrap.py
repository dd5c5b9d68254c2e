"""How sure an AP is: a paired bootstrap over pictures, matched once and counted again for every draw.

A draw takes as many pictures as there are, with replacement (Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13: percentile interval). A picture's detections do not depend on which other pictures were drawn, so
matching is done once; a draw only says how often each picture counts. Two artefacts are compared on the same draws:
what makes a picture hard for both then cancels out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.metrics.detections import Boxes, detected_boxes, truth_boxes
from tasks.metrics.matching import Pairs, claim, overlaps

if TYPE_CHECKING:
    from tasks.data.table import Dataset

Measure = Literal["AP", "AP50"]
IOUS = np.linspace(0.5, 0.95, 10)
POINTS = 101  # recall points of the interpolated precision
# recall points that lie above their hundredth as a float64: recall of exactly that hundredth does not reach them
ABOVE = np.append(np.linspace(0, 1, POINTS) > np.arange(POINTS) / 100, False)
MOST = 100  # detections of a picture and class that count
BLOCK = 128  # draws at a time: what one class needs for them stays in the cache


class Interval(NamedTuple):
    """A measured value and its 95 % interval; each None where there is no ground truth to measure it on."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sample:
    """One measure of one artefact: its value, and the same on each draw, float64 [draws], NaN without ground truth."""

    value: float | None
    draws: np.ndarray


@dataclass(frozen=True)
class Resampled:
    """Samples of all classes together, and of each class by its id."""

    overall: dict[Measure, Sample]
    classes: list[dict[Measure, Sample]]


@dataclass(frozen=True)
class _Scene:
    """Ground truth and detections, in the order of `_most`; `aside` marks objects that are neither missed nor found,
    `outside` detections that count only when they are true."""

    truth: Boxes
    found: Boxes
    aside: np.ndarray
    outside: np.ndarray


@dataclass(frozen=True)
class _Curve:
    """True detections of one class at one IoU, highest score first: their pictures [n], and for each how many
    detections of each picture came since the one before it, itself included: sparse [n, pictures]."""

    images: np.ndarray
    since: Any


def interval(dataset: Dataset, detections: pa.Table, measure: Measure = "AP", draws: int = 1000,
             seed: int = 0) -> Interval:
    """A measure of the detections with its 95 % interval over pictures.

    Raises:
        DataError: as `tasks.metrics.coco.evaluate_coco`.
    """
    return spread(resample(dataset, detections, (measure,), draws, seed)[measure])


def paired(dataset: Dataset, a: pa.Table, b: pa.Table, measure: Measure = "AP", draws: int = 1000,
           seed: int = 0) -> Interval:
    """The difference b − a of a measure with its 95 % interval, both on the same draws of pictures."""
    one, two = (resample(dataset, table, (measure,), draws, seed)[measure] for table in (a, b))
    return change(one, two)


def spread(sample: Sample) -> Interval:
    """Value and percentile interval of a sample."""
    return _interval(sample.value, sample.draws)


def change(a: Sample, b: Sample) -> Interval:
    """b − a of two samples that were drawn with the same seed on the same pictures."""
    value = b.value - a.value if a.value is not None and b.value is not None else None
    return _interval(value, b.draws - a.draws)


def resample(dataset: Dataset, detections: pa.Table, measures: Sequence[Measure] = ("AP", "AP50"), draws: int = 1000,
             seed: int = 0) -> dict[Measure, Sample]:
    """`resample_all` of all classes together."""
    return resample_all(dataset, detections, measures, draws, seed).overall


def resample_all(dataset: Dataset, detections: pa.Table, measures: Sequence[Measure] = ("AP", "AP50"),
                 draws: int = 1000, seed: int = 0, area: tuple[float, float] | None = None) -> Resampled:
    """Each measure on the pictures as they are (as `quick_ap` has it) and on draws of them.

    Args:
        dataset: pictures and ground truth; crowd boxes are neither missed nor found.
        detections: table of detections on them; at most 100 of a picture and class count.
        measures: AP is the mean over IoU 0.50 … 0.95, AP50 is at 0.50 and ten times cheaper.
        draws: how many.
        seed: fixes which pictures each draw takes.
        area: only objects of so many square pixels count, as in COCO's AP_small: others are neither missed nor found.

    Raises:
        DataError: a detection of an unknown picture or class, or one that is not finite.
    """
    images = np.sort(dataset.images["image_id"].to_numpy())
    truth, found = truth_boxes(dataset), _most(detected_boxes(dataset, detections))
    classes = len(dataset.meta.classes)
    aside = truth.crowd | _outside(truth.area, area)
    whole = truth.take(~aside)
    positives = _sparse(whole.label, np.searchsorted(images, whole.image), (classes, len(images)))
    ious = IOUS if "AP" in measures else IOUS[:1]
    curves = _curves(images, _Scene(truth, found, aside, _outside(found.area, area)), classes, ious)
    times = _times(len(images), draws, seed)
    blocks = [times[:, start : start + BLOCK] for start in range(0, times.shape[1], BLOCK)]
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        parts = pool.map(lambda block: _precisions(curves, positives, block), blocks)
    by_class = np.concatenate(list(parts), axis=2)  # [AP and AP50, class, 1 + draws]
    rows = dict(zip(("AP", "AP50"), by_class, strict=True))
    return Resampled({name: _sample(_mean(rows[name])) for name in measures},
                     [{name: _sample(rows[name][place]) for name in measures} for place in range(classes)])


def _times(images: int, draws: int, seed: int) -> np.ndarray:
    """How often each picture counts, float64 [pictures, 1 + draws]; the first column is the pictures as they are."""
    random = np.random.default_rng(seed)
    times = np.ones((images, 1 + draws))
    for draw in range(draws if images else 0):
        times[:, 1 + draw] = np.bincount(random.integers(0, images, images), minlength=images)
    return times


def _most(found: Boxes) -> Boxes:
    """The detections that count, by class, in each highest score first; equal ones go by picture, then as they came."""
    order = np.lexsort((-found.score, found.image, found.label))
    label, image = found.label[order], found.image[order]
    new = np.append(True, (label[1:] != label[:-1]) | (image[1:] != image[:-1]))[: len(order)]
    first = np.flatnonzero(new)
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    few = found.take(np.sort(order[place < MOST]))
    return few.take(np.lexsort((few.image, -few.score, few.label)))


def _outside(areas: np.ndarray, area: tuple[float, float] | None) -> np.ndarray:
    return np.zeros(len(areas), bool) if area is None else (areas < area[0]) | (areas > area[1])


def _curves(images: np.ndarray, scene: _Scene, classes: int, ious: np.ndarray) -> list[list[_Curve]]:
    """[IoU][class]."""
    found = scene.found
    pairs = overlaps(scene.truth, found, float(ious[0]))
    places = np.searchsorted(images, found.image)
    cuts = np.searchsorted(found.label, np.arange(classes + 1))
    curves = []
    for iou in ious:
        true, counts = _outcomes(scene, pairs.take(pairs.iou >= min(iou, 1 - 1e-10)))
        curves.append([_curve(places[a:b][counts[a:b]], true[a:b][counts[a:b]], len(images))
                       for a, b in zip(cuts[:-1], cuts[1:], strict=True)])
    return curves


def _outcomes(scene: _Scene, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Which detections are true, and which count at all: those that found only what lies aside do not."""
    size = len(scene.found)
    # within a class the rows are ranked already, and classes never compete
    rank, truths = np.arange(size), len(scene.truth)
    true, counts = np.zeros(size, bool), np.ones(size, bool)
    true[claim(pairs.take(~scene.aside[pairs.truth]), rank, truths).found] = True
    crowd = scene.truth.crowd[pairs.truth]
    counts[pairs.found[crowd]] = False
    # an object of another size is found once, a crowd by all that lie in it
    spare = scene.aside[pairs.truth] & ~crowd & ~true[pairs.found] & counts[pairs.found]
    if spare.any():
        counts[claim(pairs.take(spare), rank, truths).found] = False
    return true, (counts & ~scene.outside) | true


def _curve(places: np.ndarray, true: np.ndarray, images: int) -> _Curve:
    before = np.cumsum(true) - true  # true detections before each one
    kept = before < true.sum()  # what comes after the last true one changes no precision
    return _Curve(places[true], _sparse(before[kept], places[kept], (int(true.sum()), images)))


def _sparse(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()


def _precisions(curves: list[list[_Curve]], positives: Any, times: np.ndarray) -> np.ndarray:
    """AP (mean over all IoUs) and AP50 of each class, [2, class, draws]; NaN where there is no ground truth of it."""
    times = np.ascontiguousarray(times)
    objects = positives @ times
    found = np.zeros((2, *objects.shape))
    for place, classes in enumerate(curves):
        for label, (curve, wanted) in enumerate(zip(classes, objects, strict=True)):
            if len(curve.images):
                one = _precision(curve, wanted, times)
                found[0, label] += one
                if place == 0:
                    found[1, label] = one
    found[0] /= len(curves)
    found[:, objects <= 0] = np.nan
    return found


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean of [class, draws] over the classes that are there; NaN where none is."""
    there = ~np.isnan(rows)
    total, count = np.where(there, rows, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(rows.shape[1], np.nan), where=count > 0)


def _sample(row: np.ndarray) -> Sample:
    return Sample(_known(row[0]), row[1:])


def _precision(curve: _Curve, wanted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Interpolated precision of one class, mean over the recall points, float64 [draws]; 0 without ground truth.

    Between two true detections recall stands still, so the precision at each true one says everything.
    """
    true = np.cumsum(times[curve.images], axis=0)
    seen = np.cumsum(curve.since @ times, axis=0)
    np.maximum(seen, 1, out=seen)
    best = np.maximum.accumulate(np.divide(true, seen, out=seen)[::-1], axis=0)[::-1]
    reached = _reached(true, np.maximum(wanted, 1))
    # each recall point takes the best precision from the true detection on that reaches it
    return (np.einsum("ij,ij->j", best[1:], np.diff(reached, axis=0)) + best[0] * reached[0]) / POINTS


def _reached(true: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How many of the recall points 0, 0.01 … 1 a recall of true / wanted reaches, as float64; overwrites `true`."""
    np.multiply(true, 100, out=true)
    np.divide(true, wanted, out=true)
    whole = np.floor(true)
    exact = whole == true
    nothing = true == 0
    np.add(whole, 1, out=whole)
    if exact.any():
        whole[exact] -= ABOVE[true[exact].astype(np.int64)]
    whole[nothing] = 0
    return whole


def _interval(value: float | None, draws: np.ndarray) -> Interval:
    known = draws[~np.isnan(draws)]
    if value is None or not len(known):
        return Interval(value, None, None)
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
