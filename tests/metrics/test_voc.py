"""evaluate_voc against published values, a plain loop written from the devkit's rules, and cases computed by hand."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import ParamsError
from tasks.data.table import Dataset
from tasks.metrics.voc import Limits, evaluate_voc, integrated, sampled


def iou_of(a: dict, b: dict) -> float:
    width = min(a["x"] + a["w"], b["x"] + b["w"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["h"], b["y"] + b["h"]) - max(a["y"], b["y"])
    shared = max(width, 0) * max(height, 0)
    return shared / (a["w"] * a["h"] + b["w"] * b["h"] - shared)


def plain(dataset: Dataset, detections: pa.Table, mode: str, least: float) -> dict[str, float | None]:
    """VOCevaldet.m, one detection at a time: no array, nothing shared with what is tested. No crowds."""
    scores: dict[str, float | None] = {}
    for label, name in enumerate(dataset.meta.classes):
        objects = defaultdict(list)
        for row in dataset.annotations.to_pylist():
            if row["class_id"] == label:
                objects[row["image_id"]].append({**row, "taken": False})
        total = sum(not one["difficult"] for several in objects.values() for one in several)
        true = false = 0
        points = []
        for row in sorted(detections.to_pylist(), key=lambda row: -row["score"]):
            if row["class_id"] != label:
                continue
            best, most = None, 0.0
            for one in objects[row["image_id"]]:
                if iou_of(one, row) > most:
                    best, most = one, iou_of(one, row)
            if best is not None and most >= least and best["difficult"]:
                continue
            if best is not None and most >= least and not best["taken"]:
                best["taken"], true = True, true + 1
            else:
                false += 1
            points.append((true, true / (true + false)))
        scores[name] = area(points, total, mode) if total else None
    return scores


def area(points: list[tuple[int, float]], total: int, mode: str) -> float:
    def best(recall: float) -> float:
        return max((precision for true, precision in points if true / total >= recall), default=0.0)

    if mode == "sample":
        return sum(best(recall) for recall in np.linspace(0, 1, 11)) / 11
    return sum(best(hit / total) for hit in range(1, total + 1)) / total


@pytest.fixture(scope="session")
def one_class(mirror, make_dataset, make_table) -> tuple[Dataset, pa.Table]:
    """The seven pictures on which the published values below were computed; inclusive pixels, so sizes grow by 1."""
    folder = mirror / "datasets/voc100_formats/tests/test_case_1"
    files = sorted((folder / "gts").glob("*.txt"))
    truth, found = [], []
    for image, file in enumerate(files):
        for _, x, y, w, h in map(str.split, file.read_text().splitlines()):
            truth.append((image, 0, float(x), float(y), float(w) + 1, float(h) + 1))
        for _, score, x, y, w, h in map(str.split, (folder / "dets" / file.name).read_text().splitlines()):
            found.append((image, 0, float(x), float(y), float(w) + 1, float(h) + 1, float(score)))
    return make_dataset(["object"], len(files), truth), make_table(found)


@pytest.fixture(scope="session")
def map_golden(mirror, make_dataset, make_table) -> tuple[Dataset, pa.Table]:
    """85 pictures as left, top, right, bottom in inclusive pixels; the classes of both sides."""
    folder = mirror / "datasets/map_golden/input"
    files = sorted((folder / "ground-truth").glob("*.txt"))
    rows = {side: [line.split() for path in sorted((folder / side).glob("*.txt")) for line in lines(path, files)]
            for side in ("ground-truth", "detection-results")}
    classes = sorted({row[1] for both in rows.values() for row in both})

    def box(row: list[str]) -> tuple[float, ...]:
        left, top, right, bottom = map(float, row[-4:])
        return left, top, right - left + 1, bottom - top + 1

    truth = [(int(row[0]), classes.index(row[1]), *box(row)) for row in rows["ground-truth"]]
    found = [(int(row[0]), classes.index(row[1]), *box(row), float(row[2])) for row in rows["detection-results"]]
    return make_dataset(classes, len(files), truth), make_table(found)


def lines(path: Path, files: list[Path]) -> list[str]:
    place = [file.name for file in files].index(path.name)
    return [f"{place} {line}" for line in path.read_text().splitlines() if line.strip()]


PUBLISHED = [
    ("sample", 0.1, 0.3333333333), ("sample", 0.3, 0.2683982683), ("sample", 0.5, 0.0303030303), ("sample", 0.75, 0.0),
    ("integrate", 0.1, 0.3371980676), ("integrate", 0.3, 0.2456866804), ("integrate", 0.5, 0.0222222222),
    ("integrate", 0.75, 0.0),
]


@pytest.mark.parametrize(("mode", "iou", "expected"), PUBLISHED)
def test_published_values(one_class, mode, iou, expected) -> None:
    """From the tests of Padilla's toolkit (voc100_formats/tests/test_eval_pascal.py)."""
    ours = evaluate_voc(*one_class, mode=mode, iou=iou)
    assert ours["mAP"] == ours["per_class"]["object"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mode", ["sample", "integrate"])
def test_map_golden_agrees_with_the_plain_loop(map_golden, mode) -> None:
    dataset, found = map_golden
    expected = plain(dataset, found, mode, 0.5)
    ours = evaluate_voc(dataset, found, mode=mode)
    assert ours["per_class"] == pytest.approx(expected)
    present = [value for value in expected.values() if value is not None]
    assert 0 < len(present) < len(expected), "some classes occur among the detections alone"
    assert ours["mAP"] == pytest.approx(sum(present) / len(present))


def test_map_golden_value(map_golden) -> None:
    """The repository of these files states no number. This one is from a separate script, run once, that follows its
    main.py word by word: text files in, inclusive pixels, IoU >= 0.5, area under the curve, mean over 30 classes."""
    assert evaluate_voc(*map_golden, mode="integrate")["mAP"] == pytest.approx(0.31047718500906324, abs=1e-9)


@pytest.mark.parametrize("mode", ["sample", "integrate"])
@pytest.mark.parametrize("least", [0.3, 0.5, 0.75])
def test_real_detections_agree_with_the_plain_loop(voc100, mode, least) -> None:
    assert evaluate_voc(*voc100, mode=mode, iou=least)["per_class"] == pytest.approx(plain(*voc100, mode, least))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), mode=st.sampled_from(["sample", "integrate"]), least=st.floats(0.1, 0.9))
def test_random_cases_agree_with_the_plain_loop(make_random, seed, mode, least) -> None:
    dataset, found = make_random(seed, crowd=0.0)
    difficult = pa.array(np.random.default_rng(seed).random(dataset.annotations.num_rows) < 0.2)
    place = dataset.annotations.schema.get_field_index("difficult")
    dataset = Dataset(dataset.images, dataset.annotations.set_column(place, "difficult", difficult), dataset.meta)
    ours = evaluate_voc(dataset, found, mode=mode, iou=least)
    assert ours["per_class"] == pytest.approx(plain(dataset, found, mode, least))


@pytest.mark.parametrize(("true", "total", "at_11_points", "under_the_curve"), [
    ([], 3, 0.0, 0.0),
    ([True], 1, 1.0, 1.0),
    ([False], 1, 0.0, 0.0),
    ([False, True], 1, 0.5, 0.5),
    ([True], 2, 6 / 11, 0.5),
    ([True, False, True], 2, (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
    ([True] * 5, 10, 6 / 11, 0.5),
    ([True] * 9, 15, 6 / 11, 0.6),  # recall 0.6 is below numpy's 0.6000000000000001
])
def test_areas_computed_by_hand(true, total, at_11_points, under_the_curve) -> None:
    hits = np.array(true, bool)
    assert (sampled(hits, total), integrated(hits, total)) == pytest.approx((at_11_points, under_the_curve))


def test_class_without_ground_truth_is_none_and_not_averaged(make_dataset, make_table) -> None:
    """TLT gives such a class 0 and averages it: 0.5 for this perfect detector."""
    dataset = make_dataset(["there", "absent"], 1, [(0, 0, 10, 10, 20, 20)])
    found = make_table([(0, 0, 10, 10, 20, 20, 0.9), (0, 1, 50, 50, 20, 20, 0.9)])
    for mode in ("sample", "integrate"):
        assert evaluate_voc(dataset, found, mode=mode) == {"mAP": 1, "per_class": {"there": 1, "absent": None}}


def test_nothing_to_measure_and_nothing_found(make_dataset, make_table) -> None:
    empty = make_dataset(["a"], 1, [])
    assert evaluate_voc(empty, make_table([(0, 0, 1, 1, 2, 2, 0.5)]), mode="sample") == {
        "mAP": None, "per_class": {"a": None}}
    dataset = make_dataset(["a"], 1, [(0, 0, 10, 10, 20, 20)])
    assert evaluate_voc(dataset, make_table([]), mode="integrate") == {"mAP": 0, "per_class": {"a": 0}}


@pytest.mark.parametrize("flag", ["difficult", "crowd"])
def test_difficult_objects_and_crowds_are_neither_missed_nor_found(flag, make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 10, 10, 20, 20), (0, 0, 50, 50, 20, 20, flag)])
    twice_on_it = [(0, 0, 50, 50, 20, 20, 0.9), (0, 0, 50, 50, 20, 19, 0.8)]
    found = make_table([*twice_on_it, (0, 0, 10, 10, 20, 20, 0.5)])
    assert evaluate_voc(dataset, found, mode="integrate")["mAP"] == 1


def test_second_detection_of_an_object_is_false(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 10, 10, 20, 20), (0, 0, 50, 50, 20, 20)])
    found = make_table([(0, 0, 10, 10, 20, 20, 0.9), (0, 0, 10, 10, 20, 20, 0.8), (0, 0, 50, 50, 20, 20, 0.7)])
    assert evaluate_voc(dataset, found, mode="integrate")["mAP"] == pytest.approx((1 + 2 / 3) / 2)


def test_iou_threshold_of_each_class(make_dataset, make_table) -> None:
    """Both detections overlap by 0.6; a class that is not named has 0.5."""
    dataset = make_dataset(["a", "b"], 1, [(0, 0, 0, 0, 10, 10), (0, 1, 50, 50, 10, 10)])
    found = make_table([(0, 0, 0, 0, 10, 6, 0.9), (0, 1, 50, 50, 10, 6, 0.9)])
    ours = evaluate_voc(dataset, found, mode="sample", iou={"b": 0.7})
    assert ours == {"mAP": 0.5, "per_class": {"a": 1, "b": 0}}


def test_boxes_outside_the_limits_are_left_out_on_both_sides(make_dataset, make_table) -> None:
    dataset = make_dataset(["a", "b"], 1, [(0, 0, 0, 0, 10, 10), (0, 0, 50, 50, 40, 40), (0, 1, 0, 0, 3, 3)])
    found = make_table([(0, 0, 200, 200, 9, 40, 0.9), (0, 0, 50, 50, 40, 40, 0.5)])
    limits = {"a": Limits(min_width=11, max_height=40), "b": {"min_height": 4}}
    ours = evaluate_voc(dataset, found, mode="integrate", limits=limits)
    assert ours == {"mAP": 1, "per_class": {"a": 1, "b": None}}


@pytest.mark.parametrize(("wrong", "message"), [
    ({"iou": {"platelet": 0.5}}, "did you mean 'platelets'"),
    ({"limits": {"platelet": Limits()}}, "did you mean 'platelets'"),
    ({"limits": {"platelets": {"min_hight": 3}}}, "did you mean 'min_height'"),
    ({"iou": 0.0}, "above 0 and at most 1"),
    ({"iou": {"platelets": 1.5}}, "above 0 and at most 1"),
    ({"mode": "area"}, "'sample' or 'integrate'"),
])
def test_wrong_settings_are_refused(wrong, message, make_dataset, make_table) -> None:
    dataset = make_dataset(["platelets"], 1, [])
    with pytest.raises(ParamsError, match=message):
        evaluate_voc(dataset, make_table([]), **{"mode": "sample", **wrong})
