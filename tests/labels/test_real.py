"""The formulas on a real detector's boxes on 100 pictures of COCO."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.labels.calibration import calibrate, right_boxes, unreviewed
from tasks.labels.columns import boxes_of
from tasks.labels.curves import calibration_error
from tasks.labels.difficulty import SHOWN, missed_rates, rate, rate_pictures
from tasks.labels.errors import label_errors
from tasks.labels.merging import Voice, merge


def on(table: pa.Table, images: np.ndarray) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(images)))


def test_half_the_pictures_calibrate_the_other_half(coco_real) -> None:
    dataset, found = coco_real
    errors, priors, expected, came = [], [], [], []
    for seed in range(3):
        images = np.random.default_rng(seed).permutation(dataset.images["image_id"].to_numpy())
        reviewed, held = images[:50], np.sort(images[50:])
        learnt = calibrate(found, dataset.annotations, reviewed)
        theirs, labels = on(found, held), on(dataset.annotations, held)
        outcome = right_boxes(boxes_of(theirs), boxes_of(labels))
        counts = outcome >= 0
        for kept, calibration in ((errors, learnt), (priors, unreviewed())):
            kept.append(calibration_error(calibration.probability(theirs)[counts], outcome[counts] == 1))
        rated = rate_pictures(held, [rate(theirs, learnt)], missed_rates(found, dataset.annotations, reviewed))
        shown = theirs.filter(pa.array(learnt.probability(theirs) >= SHOWN))
        objects = labels.filter(pc.invert(labels["iscrowd"]))
        right = int((right_boxes(boxes_of(shown), boxes_of(objects)) == 1).sum())
        expected.append(sum(rated["corrections"].to_pylist()))
        came.append(shown.num_rows + objects.num_rows - 2 * right)
    # some 0.03 of it is chance: 350 boxes in ten bins
    assert np.mean(errors) <= 0.05 < np.mean(priors)
    assert sum(expected) == pytest.approx(sum(came), rel=0.15)


def test_objects_taken_away_are_found_overlooked(coco_real) -> None:
    dataset, found = coco_real
    sure = found.filter(pc.greater(found["score"], 0.97))
    outcome = right_boxes(boxes_of(sure), boxes_of(dataset.annotations))
    pictures = np.unique(sure["image_id"].to_numpy()[outcome == 1])[:10]
    clean = label_errors(dataset.images, dataset.annotations, found)
    touched = pc.is_in(dataset.annotations["image_id"], value_set=pa.array(pictures))
    less = dataset.annotations.filter(pc.invert(touched))
    spoilt = label_errors(dataset.images, less, found)
    before, after = ({row["image_id"]: row["overlooked"] for row in side.pictures.to_pylist()}
                     for side in (clean, spoilt))
    assert len(pictures) >= 5 and all(after[i] <= 0.05 < before[i] + 0.05 for i in pictures.tolist())
    assert np.mean([before[i] for i in pictures.tolist()]) > 0.5


def test_two_copies_of_a_model_agree_with_one(coco_real) -> None:
    dataset, found = coco_real
    images = dataset.images["image_id"].to_numpy()
    few = found.filter(pc.greater(found["score"], 0.5))
    one, two = (merge([Voice(name, few, images) for name in names], dataset.meta.classes).boxes
                for names in (["a"], ["a", "b"]))
    assert two.num_rows == one.num_rows and set(two["voices"].to_pylist()) == {2}
    for name in ("x", "y", "w", "h", "score"):
        np.testing.assert_allclose(two[name].to_numpy(), one[name].to_numpy(), rtol=1e-6)
