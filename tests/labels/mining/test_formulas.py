"""Each strategy's number against a case that is counted by hand or by a plain loop."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.labels.mining.aldd import scores
from tasks.labels.mining.cald import balanced, consistency
from tasks.labels.mining.coverage import k_centres
from tasks.labels.mining.failures import failures_of, neighbours
from tasks.labels.mining.mixed import class_weights
from tasks.labels.mining.pool import Pool, table_batches, whole_pictures
from tasks.labels.mining.uncertain import by_entropy, by_flip, by_margin, sums
from tasks.metrics.mistakes import Mistake


def bits(p: float) -> float:
    return -p * np.log2(p) - (1 - p) * np.log2(1 - p)


def nats(p: float) -> float:
    return bits(p) * np.log(2)


def pool_of(table: pa.Table, images: int, classes: int = 2, rows: int = 1 << 18) -> Pool:
    return Pool(np.arange(images), [f"class {k}" for k in range(classes)], table_batches(table, rows))


def test_entropy_by_hand_capped_and_weighted(table) -> None:
    found = table([(0, 0, 0, 0, 1, 1, 0.5), (0, 0, 0, 0, 1, 1, 0.5), (0, 0, 0, 0, 1, 1, 0.9), (0, 1, 0, 0, 1, 1, 0.2),
                   (2, 1, 0, 0, 1, 1, 0.04), (2, 1, 0, 0, 1, 1, 1.0)])
    pool = pool_of(found, 3)
    assert sums(pool, by_entropy, 2, 0.05) == pytest.approx([1 + 1 + bits(0.2), 0, 0])
    assert sums(pool, by_entropy, 9, 0.05) == pytest.approx([1 + 1 + bits(0.9) + bits(0.2), 0, 0])
    assert sums(pool, by_entropy, 2, 0.0, np.array([1, 3.0])) == pytest.approx([2 + 3 * bits(0.2), 0, 3 * bits(0.04)])


def test_margin_by_hand(table) -> None:
    found = table([(0, 0, 0, 0, 1, 1, 0.6), (0, 0, 0, 0, 1, 1, 0.9)])
    assert by_margin(found) == pytest.approx([0.8, 0.2])
    told = found.append_column("margin", pa.array([0.1, None]))
    assert by_margin(told) == pytest.approx([0.9, 0.2])
    # two classes at 0.2 each are most likely nothing: 0.8 against 0.2
    assert by_margin(table([(0, 0, 0, 0, 1, 1, 0.2)], margin=[0.0])) == pytest.approx([0.4])
    assert by_margin(table([(0, 0, 0, 0, 1, 1, 0.9)], margin=[0.05])) == pytest.approx([0.95])


def test_a_calibrated_probability_goes_before_the_score(table) -> None:
    found = table([(0, 0, 0, 0, 1, 1, 0.5), (0, 0, 0, 0, 1, 1, 0.5)], probability=[0.9, 0.01])
    assert by_entropy(found)[0] == pytest.approx(bits(0.9))
    assert sums(pool_of(found, 1), by_entropy, 5, 0.05) == pytest.approx([bits(0.9)])


def test_flip_by_hand(table) -> None:
    found = table([(0, 0, 0, 0, 1, 1, 0.8), (0, 0, 0, 0, 1, 1, 0.1)], flip=[0.25, 0.0])
    assert by_flip(found) == pytest.approx([0.6, 0.1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), rows=st.sampled_from([1, 2, 7, 100]), most=st.integers(1, 3))
def test_sums_do_not_depend_on_how_batches_are_cut(seed, rows, most) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 40))
    found = pa.table({"image_id": np.sort(rng.integers(0, 6, count)), "class_id": rng.integers(0, 2, count),
                      "score": rng.random(count)})
    slow = np.zeros(5)
    for i in range(5):
        for k in range(2):
            inside = [bits(s) for j, c, s in zip(*found.to_pydict().values(), strict=True)
                      if (j, c) == (i, k) and s > 0.05]
            slow[i] += sum(sorted(inside, reverse=True)[:most])
    assert sums(pool_of(found, 5, rows=rows), by_entropy, most, 0.05) == pytest.approx(slow)
    parts = list(whole_pictures(pool_of(found, 5, rows=rows)))
    assert sum(table.num_rows for _, table in parts) == count
    seen = [image for _, table in parts for image in set(table["image_id"].to_pylist())]
    assert len(seen) == len(set(seen))


def test_aldd_is_nothing_where_all_agree_and_by_hand_where_not() -> None:
    assert scores(np.full((3, 2, 20, 20), 0.5)) == pytest.approx([0, 0], abs=1e-9)
    assert scores(np.zeros((1, 2, 0, 0))).tolist() == [0, 0]
    heat = np.zeros((1, 1, 1, 4))
    heat[0, 0, 0] = [0, 1, 1, 0]
    # windows of 3: means ½, ⅔, ⅔, ½; entropies of 0 and 1 are 0; cells of 2 places
    assert scores(heat, window=3, cell=2) == pytest.approx([nats(1 / 2)])
    assert scores(heat, window=3, cell=1) == pytest.approx([(2 * nats(1 / 2) + 2 * nats(2 / 3)) / 4])


@pytest.mark.parametrize(("height", "width"), [(5, 7), (9, 9), (40, 33)])
def test_aldd_against_plain_loops(height, width) -> None:
    heat = np.random.default_rng(height).random((2, 3, height, width))
    slow = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            part = heat[:, :, max(y - 4, 0):y + 5, max(x - 4, 0):x + 5]
            slow[:, y, x] = (nats(part.mean((2, 3))) - nats(part).mean((2, 3))).sum(0)
    cells = [slow[:, y:y + 32, x:x + 32].max((1, 2)) for y in range(0, height, 32) for x in range(0, width, 32)]
    assert scores(heat) == pytest.approx(np.mean(cells, axis=0))


def test_cald_by_hand(table) -> None:
    reference = table([(1, 0, 0, 0, 10, 10, 0.9), (1, 1, 50, 0, 10, 10, 0.8), (2, 0, 0, 0, 10, 10, 0.9),
                       (4, 0, 0, 0, 10, 10, 0.5)])
    same = reference
    other = table([(1, 0, 0, 0, 10, 5, 0.6), (1, 1, 50, 0, 10, 10, 0.8), (4, 0, 90, 0, 10, 10, 0.5)])
    c = consistency(np.array([1, 2, 3, 4]), reference, [same, other])
    js = 0.5 * (0.9 * np.log(0.9 / 0.75) + 0.1 * np.log(0.1 / 0.25) + 0.6 * np.log(0.6 / 0.75)
                + 0.4 * np.log(0.4 / 0.25))
    m = 0.5 + 0.5 * (0.9 + 0.6) * (1 - js)
    unchanged = [min(abs(1.9 - 1.3), abs(1.8 - 1.3)), 0.6, 0.0, 0.2]
    changed = [min(abs(m - 1.3), 0.5), 0.0, 0.0, 1.3]
    assert c == pytest.approx((np.array(unchanged) + changed) / 2)
    assert consistency(np.array([], np.int64), table([]), [table([])]).shape == (0,)


def test_cald_takes_whole_distributions_where_they_are(table) -> None:
    lists = pa.array([[0.5, 0.5]], pa.list_(pa.float64()))
    one = table([(0, 0, 0, 0, 10, 10, 0.5)]).append_column("probabilities", lists)
    two = table([(0, 0, 0, 0, 10, 10, 0.5)]).append_column("probabilities", pa.array([[2.0, 0.0]]))
    js = 0.5 * (0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25) + np.log(1 / 0.75))
    assert consistency(np.array([0]), one, [two]) == pytest.approx([abs(1 + 0.5 * (1 - js) - 1.3)])


def test_classes_are_balanced_by_hand() -> None:
    # labels, with one of each added: 9 and 1; the picture with class 1 alone is least like them. Then they are 9 and 2:
    # JS is 0.0676 to the picture with class 0 alone, 0.0580 to the mixed one
    rows, unlike = balanced(np.array([[1.0, 0], [0, 1.0], [1.0, 1.0]]), np.array([8.0, 0]), 2)
    p, q = np.array([0.9, 0.1]), np.array([0.0, 1.0])
    middle = (p + q) / 2
    assert rows.tolist() == [1, 0] and unlike[1] == pytest.approx(0.0676, abs=1e-4)
    assert unlike[0] == pytest.approx(0.5 * ((p * np.log(p / middle)).sum() + np.log(1 / middle[1])), abs=1e-6)


def test_class_weights_by_hand() -> None:
    assert class_weights(np.array([1.0, 0.0, 0.5])) == pytest.approx(
        [1, 1.2, 1 + 0.06 * np.log((np.exp(1 / 0.3) - 1) * 0.5 + 1)])


def slow_centres(vectors, free, known, count) -> tuple[list[int], list[float]]:
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    theirs = known / np.linalg.norm(known, axis=1, keepdims=True)
    near = 1 - (rows[free] @ theirs.T).max(axis=1)
    picked, far = [], []
    for _ in range(count):
        at = int(near.argmax())
        picked.append(int(free[at]))
        far.append(float(near[at]))
        near = np.minimum(near, 1 - rows[free] @ rows[free[at]])
        near[at] = -1
    return picked, far


@pytest.mark.parametrize("width", [2, 8, 64])
@pytest.mark.parametrize("block", [1, 3, 4096])
def test_lazy_farthest_first_is_the_plain_one(width, block, monkeypatch) -> None:
    monkeypatch.setattr("tasks.labels.mining.coverage.LEAST_BLOCK", block)
    monkeypatch.setattr("tasks.labels.mining.coverage.CHUNK", 17)
    rng = np.random.default_rng(width)
    vectors, known = rng.normal(size=(200, width)), rng.normal(size=(5, width))
    free = np.sort(rng.permutation(200)[:150])
    places, distance = k_centres(vectors, free, known, 40, rng)
    picked, far = slow_centres(vectors, free, known, 40)
    assert distance == pytest.approx(far, abs=1e-5)
    assert places.tolist() == picked


def test_centres_by_hand_start_in_the_middle_and_end_at_copies() -> None:
    angle = np.array([0.0, 0.1, 0.2, 0.3, 0.3])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float16)
    places, distance = k_centres(vectors, np.arange(5), None, 5, np.random.default_rng(0))
    assert places[0] == 2 and set(places[:2].tolist()) == {2, 0} and len(places) == 4
    assert distance[0] == 3 and distance[1] == pytest.approx(1 - np.cos(0.2), abs=1e-3)
    assert len(k_centres(vectors, np.arange(5), vectors, 3, np.random.default_rng(0))[0]) == 0


def test_pictures_that_show_nothing_are_alike() -> None:
    rng = np.random.default_rng(0)
    assert k_centres(np.zeros((4, 3)), np.arange(4), None, 2, rng)[0].tolist() == [0]
    # 1 − cosine to a vector of zeros is 1 for all: each black frame of a night would go before what differs by 0.8
    angle = np.array([0, 0.4, 0.8, 1.2])
    seen = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    places, distance = k_centres(np.concatenate([np.zeros((5, 2)), seen]), np.arange(9), seen[:1], 4, rng)
    assert places.tolist() == [0, 8, 6, 7] and distance == pytest.approx(
        [1, 1 - np.cos(1.2), 1 - np.cos(0.4), 1 - np.cos(0.4)], abs=1e-5)
    # and none of them where such a picture is known
    assert k_centres(np.zeros((4, 3)), np.arange(4), np.zeros((1, 3)), 2, rng)[0].tolist() == []


def test_nearest_neighbours_against_all_cosines(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    vectors, failed = rng.normal(size=(90, 6)), rng.normal(size=(4, 6))
    free = np.arange(0, 90, 2)
    rows, theirs = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, failed))
    slow = np.sort(theirs @ rows[free].T, axis=1)[:, ::-1][:, :5]
    for chunk in (3, 7, 1000):
        monkeypatch.setattr("tasks.labels.mining.failures.CHUNK", chunk)
        places, cosine = neighbours(vectors, free, failed, 5)
        assert cosine == pytest.approx(slow, abs=1e-6)
        assert np.isin(places, free).all()
        assert np.einsum("fd,fcd->fc", theirs, rows[places]) == pytest.approx(slow, abs=1e-6)


def test_failures_are_worst_first_and_in_words() -> None:
    def mistake(image: int, severity: float, kind) -> Mistake:
        return Mistake(kind, image, severity, "cell", None, None, None, None, None)

    failed = failures_of([mistake(3, 0.2, "missed"), mistake(7, 0.5, "missed"), mistake(3, 0.4, "wrong class")],
                         np.array([7, 3]), np.eye(2))
    assert failed.severity == pytest.approx([0.6, 0.5]) and failed.vectors.tolist() == [[0, 1], [1, 0]]
    assert failed.words == ["picture 3 (missed: cell, wrong class: cell)", "picture 7 (missed: cell)"]
    assert failures_of([], np.array([7]), np.eye(2)[:1]).words == []
