"""evaluate_coco against pycocotools, the published golden case, and cases computed by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.base.errors import DataError
from tasks.data.table import Dataset, to_coco
from tasks.metrics.coco import evaluate_coco, quick_ap

KEYS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


def reference(dataset: Dataset, detections: pa.Table) -> tuple[dict[str, float | None], list[float | None]]:
    """What pycocotools says: the summary, and each class's AP."""
    truth, found = COCO(), COCO()
    truth.dataset = to_coco(dataset)
    rows = detections.to_pylist()
    found.dataset = {**truth.dataset, "annotations": [
        {"id": n + 1, "image_id": r["image_id"], "category_id": r["class_id"] + 1, "score": r["score"], "iscrowd": 0,
         "bbox": [r["x"], r["y"], r["w"], r["h"]], "area": r["w"] * r["h"]} for n, r in enumerate(rows)]}
    truth.createIndex()
    found.createIndex()
    judge = COCOeval(truth, found, "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    numbers = dict(zip(KEYS, judge.stats[:6].tolist(), strict=True)) | {"AR_100": float(judge.stats[8])}
    each = [judge.eval["precision"][:, :, k, 0, 2] for k in range(len(dataset.meta.classes))]
    means = [float(p[p > -1].mean()) if (p > -1).any() else None for p in each]
    return {key: None if value == -1 else value for key, value in numbers.items()}, means


def assert_confirmed(dataset: Dataset, detections: pa.Table) -> None:
    ours = evaluate_coco(dataset, detections)
    numbers, classes = reference(dataset, detections)
    assert {key: ours[key] for key in numbers} == pytest.approx(numbers, abs=1e-4)
    assert [one["AP"] for one in ours["per_class"].values()] == pytest.approx(classes, abs=1e-4)
    assert quick_ap(dataset, detections) == (ours["AP"], ours["AP50"])


def test_golden_case_has_the_numbers_of_the_official_implementation(coco_golden) -> None:
    ours = evaluate_coco(*coco_golden)
    official = {"AP": 0.503647, "AP50": 0.696973, "AP75": 0.571667, "AP_small": 0.593252, "AP_medium": 0.557991,
                "AP_large": 0.489363, "AR_100": 0.595353}
    assert {key: ours[key] for key in official} == pytest.approx(official, abs=1e-5)
    assert ours["images"] == 100


@pytest.mark.parametrize("case", ["coco_golden", "voc100"])
def test_pycocotools_confirms_real_detections(case, request) -> None:
    assert_confirmed(*request.getfixturevalue(case))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), crowd=st.sampled_from([0.0, 0.2, 1.0]), classes=st.integers(1, 5))
def test_pycocotools_confirms_random_cases(make_random, seed, crowd, classes) -> None:
    assert_confirmed(*make_random(seed, crowd=crowd, classes=classes))


def test_class_without_ground_truth_is_not_measured_and_not_averaged(make_dataset, make_table) -> None:
    dataset = make_dataset(["there", "absent"], 2, [(0, 0, 10, 10, 20, 20)])
    ours = evaluate_coco(dataset, make_table([(0, 0, 10, 10, 20, 20, 0.9), (1, 1, 5, 5, 9, 9, 0.8)]))
    assert ours["AP"] == ours["AP50"] == ours["AP_small"] == 1
    assert ours["AP_medium"] is ours["AP_large"] is None
    assert ours["per_class"]["absent"] == {"AP": None, "AP50": None, "ground_truth": 0, "detections": 1}
    assert ours["per_class"]["there"] == {"AP": 1, "AP50": 1, "ground_truth": 1, "detections": 1}


def test_hand_computed(make_dataset, make_table) -> None:
    """Two objects; found first an IoU of 0.8, then a stray, then exactly: at 0.5 … 0.8 precision 1 up to recall 0.5,
    2/3 above it; at 0.85 … 0.95 only the third counts, precision 1/3 up to 0.5. 51 of 101 points are 0.5 or below."""
    dataset = make_dataset(["a"], 1, [(0, 0, 0, 0, 100, 100), (0, 0, 300, 300, 100, 100)])
    found = make_table([(0, 0, 0, 0, 100, 80.01, 0.9), (0, 0, 500, 0, 50, 50, 0.8), (0, 0, 300, 300, 100, 100, 0.7)])
    ours = evaluate_coco(dataset, found)
    low, high = (51 + 50 * 2 / 3) / 101, 51 / 3 / 101
    assert ours["AP50"] == pytest.approx(low)
    assert ours["AP"] == pytest.approx((7 * low + 3 * high) / 10)
    assert ours["AR_100"] == pytest.approx((7 * 1 + 3 * 0.5) / 10)


def test_no_detections_at_all_is_zero(make_dataset, make_table) -> None:
    ours = evaluate_coco(make_dataset(["a"], 2, [(0, 0, 10, 10, 20, 20)]), make_table([]))
    assert ours["AP"] == ours["AP50"] == ours["AR_100"] == 0
    assert ours["per_class"]["a"] == {"AP": 0, "AP50": 0, "ground_truth": 1, "detections": 0}


@pytest.mark.parametrize("rows", [[], [(0, 0, 10, 10, 20, 20, "crowd")]])
def test_no_ground_truth_is_not_measured(rows, make_dataset, make_table) -> None:
    dataset, found = make_dataset(["a"], 2, rows), make_table([(0, 0, 1, 1, 5, 5, 0.5)])
    ours = evaluate_coco(dataset, found)
    assert ours["AP"] is ours["per_class"]["a"]["AP"] is None
    assert quick_ap(dataset, found) == (None, None)


def test_detections_in_a_crowd_do_not_count(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 0, 0, 20, 20), (0, 0, 100, 100, 200, 200, "crowd")])
    found = make_table([(0, 0, 110, 110, 20, 20, 0.9), (0, 0, 150, 150, 9, 9, 0.9), (0, 0, 0, 0, 20, 20, 0.5)])
    assert quick_ap(dataset, found) == (1, 1)


def test_it_prints_nothing(make_random, capfd) -> None:
    evaluate_coco(*make_random(1))
    assert capfd.readouterr() == ("", "")


def test_tables_are_left_as_they_were(make_random) -> None:
    dataset, found = make_random(2)
    before = found.to_pylist(), dataset.annotations.to_pylist()
    evaluate_coco(dataset, found)
    assert (found.to_pylist(), dataset.annotations.to_pylist()) == before


def test_lower_scores_only_add_up(make_random) -> None:
    """Detections added below all others cannot lower AP."""
    dataset, found = make_random(3)
    order = np.argsort(-found["score"].to_numpy(), kind="stable")
    tops = [quick_ap(dataset, found.take(order[:count]))[0] for count in (0, 10, 20, 40, len(order))]
    assert tops == sorted(tops)


@pytest.mark.parametrize(("row", "message"), [
    ((7, 0, 1, 1, 5, 5, 0.5), "not in the dataset: image 7"),
    ((0, 3, 1, 1, 5, 5, 0.5), "class 3"),
    ((0, -1, 1, 1, 5, 5, 0.5), "class -1"),
    ((0, 0, 1, float("nan"), 5, 5, 0.5), "not finite"),
    ((0, 0, 1, 1, -5, 5, 0.5), "negative size"),
    ((0, 0, 1, 1, 5, 5, float("inf")), "score inf"),
])
def test_wrong_detections_are_refused(row, message, make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 10, 10, 20, 20)])
    with pytest.raises(DataError, match=message) as refused:
        evaluate_coco(dataset, make_table([(0, 0, 1, 1, 5, 5, 0.5), row]))
    assert "row 1" in str(refused.value)
