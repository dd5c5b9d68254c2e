"""Intervals against a reference that really draws pictures and evaluates them, and how often they hold the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.table import Dataset
from tasks.metrics import bootstrap
from tasks.metrics.bootstrap import change, interval, paired, resample, resample_all
from tasks.metrics.coco import evaluate_coco, quick_ap
from tasks.metrics.slices import AREAS


def apart(found: pa.Table, seed: int) -> pa.Table:
    """The detections with scores of which no two are equal: a draw repeats pictures, and ties would be broken anew."""
    random = np.random.default_rng(seed)
    scores = (random.permutation(found.num_rows) + 1) / (found.num_rows + 1)
    return found.set_column(found.schema.get_field_index("score"), "score", pa.array(scores, pa.float32()))


def drawn(dataset: Dataset, found: pa.Table, times: np.ndarray) -> tuple[Dataset, pa.Table]:
    """The dataset in which each picture is there so many times, as pictures of their own, and its detections."""
    sides: list[list[dict[str, Any]]] = [[], [], []]
    copies = [(old, new) for new, old in enumerate(np.repeat(np.arange(len(times)), times))]
    for side, table in zip(sides, (dataset.images, dataset.annotations, found), strict=True):
        rows = table.to_pylist()
        for old, new in copies:
            side += [{**row, "image_id": new} for row in rows if row["image_id"] == old]
    images, boxes, detections = (pa.Table.from_pylist(rows, schema=table.schema) for rows, table in
                                 zip(sides, (dataset.images, dataset.annotations, found), strict=True))
    return Dataset(images, boxes, dataset.meta), detections


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), crowd=st.sampled_from([0.0, 0.2, 1.0]), classes=st.integers(1, 5))
def test_the_value_is_quick_ap_with_equal_scores_crowds_and_classes_without_truth(make_random, seed, crowd,
                                                                                 classes) -> None:
    dataset, found = make_random(seed, crowd=crowd, classes=classes)
    samples = resample(dataset, found, draws=1)
    assert [samples[name].value for name in ("AP", "AP50")] == pytest.approx(quick_ap(dataset, found), abs=1e-9)


@pytest.mark.parametrize("case", ["coco_golden", "voc100"])
def test_the_value_is_quick_ap_on_real_detections(case, request) -> None:
    dataset, found = request.getfixturevalue(case)
    samples = resample(dataset, found, draws=3)
    assert [samples[name].value for name in ("AP", "AP50")] == pytest.approx(quick_ap(dataset, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_every_draw_is_what_evaluating_those_pictures_gives(make_random, seed) -> None:
    dataset, found = make_random(seed + 30, images=8, classes=3)
    found = apart(found, seed)
    samples = resample(dataset, found, draws=12, seed=seed)
    times = bootstrap._times(8, 12, seed)[:, 1:].astype(int)
    assert times.sum(axis=0).tolist() == [8] * 12
    expected = [quick_ap(*drawn(dataset, found, times[:, draw])) for draw in range(12)]
    for place, name in enumerate(("AP", "AP50")):
        wanted = np.array([np.nan if one[place] is None else one[place] for one in expected])
        np.testing.assert_allclose(samples[name].draws, wanted, atol=1e-9)


def test_many_pictures_with_more_than_a_hundred_detections_each(make_dataset, make_table) -> None:
    rows = [(i, 0, 10 * k, 0, 8, 8) for i in range(3) for k in range(20)]
    strays = [(i, 0, 10 * (k % 20), 30 + k, 8, 8, 0.9 - 0.001 * k) for i in range(3) for k in range(95)]
    late = [(i, 0, 10 * k, 0, 8, 8, 0.5 - 0.01 * k) for i in range(3) for k in range(20)]
    dataset, found = make_dataset(["a"], 3, rows), make_table([*late, *strays])
    assert resample(dataset, found, draws=2)["AP50"].value == pytest.approx(quick_ap(dataset, found)[1], abs=1e-9)


def test_recall_points_that_are_no_exact_hundredths(make_dataset, make_table) -> None:
    """7 of 20 objects are a recall of 0.35, which the point 35 × 0.01 = 0.35000000000000003 is not reached by."""
    dataset = make_dataset(["a"], 1, [(0, 0, 20 * k, 0, 10, 10) for k in range(20)])
    for count in range(1, 21):
        found = make_table([(0, 0, 20 * k, 0, 10, 10, 0.9 - 0.01 * k) for k in range(count)])
        assert interval(dataset, found, "AP50", draws=1).value == pytest.approx(quick_ap(dataset, found)[1], abs=1e-12)


def test_the_interval_surrounds_the_value_and_narrows_with_pictures() -> None:
    widths = []
    for images in (30, 480):
        dataset, found = _population(images, 5)
        low, high = interval(dataset, found, "AP50", draws=300)[1:]
        assert low < quick_ap(dataset, found)[1] < high
        widths.append(high - low)
    assert widths[1] < 0.4 * widths[0]  # 4 times less, as sixteen times the pictures say


def test_no_difference_is_exactly_none_and_a_real_one_does_not_hold_zero() -> None:
    dataset, found = _population(120, 1)
    worse = found.filter(pa.array(np.random.default_rng(0).random(found.num_rows) < 0.7))
    assert paired(dataset, found, found, draws=50) == (0, 0, 0)
    fell = paired(dataset, found, worse, "AP50", draws=300)
    assert fell.low < fell.value < fell.high < 0
    alone = [interval(dataset, table, "AP50", draws=300) for table in (found, worse)]
    assert fell.high - fell.low < sum(one.high - one.low for one in alone)
    assert paired(dataset, worse, found, "AP50", draws=300).value == pytest.approx(-fell.value)


def test_equal_seeds_give_equal_intervals_and_others_do_not(make_random) -> None:
    dataset, found = make_random(7)
    assert interval(dataset, found, seed=3, draws=60) == interval(dataset, found, seed=3, draws=60)
    assert interval(dataset, found, seed=3, draws=60) != interval(dataset, found, seed=4, draws=60)


def test_an_interval_of_95_percent_holds_the_truth_about_that_often() -> None:
    """80 experiments of 60 pictures; the truth is what 3,000 pictures of the same kind give."""
    truth = quick_ap(*_population(3000, 99))[1]
    held = 0
    for seed in range(80):
        _, low, high = interval(*_population(60, seed), "AP50", draws=200, seed=seed)
        held += low <= truth <= high
    assert 0.86 <= held / 80 <= 1  # three standard errors below 95 %, and the percentile interval is a little narrow


def test_nothing_to_measure_is_none(make_dataset, make_table) -> None:
    found = make_table([(0, 0, 1, 1, 5, 5, 0.5)])
    for rows in ([], [(0, 0, 10, 10, 20, 20, "crowd")]):
        dataset = make_dataset(["a"], 1, rows)
        assert interval(dataset, found, draws=5) == paired(dataset, found, found, draws=5) == (None, None, None)
    empty = make_dataset(["a"], 0, [])
    assert interval(empty, make_table([]), draws=5) == (None, None, None)


def test_no_detections_are_zero(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 2, [(0, 0, 10, 10, 20, 20), (1, 0, 10, 10, 20, 20)])
    assert interval(dataset, make_table([]), draws=5) == (0, 0, 0)


def test_draws_without_ground_truth_are_left_out(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 2, [(0, 0, 10, 10, 20, 20)])  # every fourth draw takes the other picture twice
    sample = resample(dataset, make_table([(0, 0, 10, 10, 20, 20, 0.9)]), draws=80)["AP50"]
    assert np.isnan(sample.draws).any()
    assert change(sample, sample) == (0, 0, 0)


@pytest.mark.parametrize(("row", "message"), [
    ((9, 0, 1, 1, 5, 5, 0.5), "not in the dataset"),
    ((0, 4, 1, 1, 5, 5, 0.5), "has no name among the 1 classes"),
    ((0, 0, 1, 1, 5, 5, np.nan), "not a finite number"),
])
def test_detections_that_do_not_belong_to_the_data_are_refused(row, message, make_dataset, make_table) -> None:
    with pytest.raises(DataError, match=message):
        interval(make_dataset(["a"], 1, [(0, 0, 10, 10, 20, 20)]), make_table([row]), draws=5)


def _population(images: int, seed: int) -> tuple[Dataset, pa.Table]:
    """Pictures with one to four objects, found three times of four, and false alarms; drawn from one distribution."""
    from tests.metrics.conftest import dataset_of, table_of

    random = np.random.default_rng(seed)
    rows, found = [], []
    for image in range(images):
        hard = random.random() < 0.4  # a picture's objects are missed together
        for place in range(random.integers(1, 5)):
            box = (40 * place, 0, 30, 30)
            rows.append((image, 0, *box))
            if random.random() < (0.5 if hard else 0.9):
                found.append((image, 0, *box, random.beta(4, 2)))
        if random.random() < 0.5:
            found.append((image, 0, 300, 300, 30, 30, random.beta(2, 4)))
    return dataset_of(["a"], images, rows), table_of(found)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 5))
def test_sizes_of_boxes_are_cocos(make_random, seed, classes) -> None:
    dataset, found = make_random(seed, crowd=0.0, classes=classes)
    found = apart(found, seed)
    expected = evaluate_coco(dataset, found)
    for name, area in AREAS.items():
        value = resample_all(dataset, found, ("AP",), draws=1, area=area).overall["AP"].value
        assert value == pytest.approx(expected[f"AP_{name}"], abs=1e-9), name


@pytest.mark.parametrize("case", ["coco_golden", "voc100"])
def test_sizes_of_boxes_are_cocos_on_real_detections(case, request) -> None:
    dataset, found = request.getfixturevalue(case)
    expected = evaluate_coco(dataset, found)
    for name, area in AREAS.items():
        value = resample_all(dataset, found, ("AP",), draws=1, area=area).overall["AP"].value
        assert value == pytest.approx(expected[f"AP_{name}"], abs=1e-9), name


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_classes_are_those_of_the_whole_evaluation_and_their_mean_is_the_total(make_random, seed) -> None:
    dataset, found = make_random(seed)
    expected = evaluate_coco(dataset, found)["per_class"]
    drawn = resample_all(dataset, found, draws=5, seed=seed)
    for one, told in zip(drawn.classes, expected.values(), strict=True):
        assert [one[name].value for name in ("AP", "AP50")] == pytest.approx([told["AP"], told["AP50"]], abs=1e-9)
    rows = np.stack([one["AP"].draws for one in drawn.classes])
    there = ~np.isnan(rows).all(axis=0)
    np.testing.assert_allclose(np.nanmean(rows[:, there], axis=0), drawn.overall["AP"].draws[there], atol=1e-12)
