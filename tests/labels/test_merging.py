"""Who is right where several speak."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError, ParamsError
from tasks.labels.merging import CONFLICTS, MERGED, Settings, Voice, merge

CLASSES = ["cell", "platelet"]


def rows(table: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in table.select(["image_id", "class_id", "x", "source"]).to_pylist()]


def test_nobody_says_nothing(table) -> None:
    for method in ("owner", "fusion", "consensus"):
        merged = merge([], CLASSES, Settings(method=method))
        assert merged.boxes.equals(MERGED.empty_table()) and merged.conflicts.equals(CONFLICTS.empty_table())
        assert merge([Voice("a", table([]), np.array([1]))], CLASSES, Settings(method=method)).boxes.num_rows == 0


def test_people_beat_models_and_an_empty_picture_is_an_answer(table) -> None:
    model = Voice("m", table([(0, 0, 0, 0, 9, 9, 0.9), (1, 0, 5, 0, 9, 9, 0.9), (2, 1, 7, 0, 9, 9, 0.9)]), np.arange(3))
    ann = Voice("ann", table([(0, 1, 1, 0, 9, 9)]), np.array([0, 1]), "person", 10.0)
    merged = merge([ann, model], CLASSES)
    assert rows(merged.boxes) == [(0, 1, 1.0, "ann"), (2, 1, 7.0, "m")]
    assert merged.boxes["reviewed_by"].to_pylist() == ["ann", None]
    assert merged.boxes["score"].to_pylist() == [None, pytest.approx(0.9)]
    assert merged.conflicts.num_rows == 0


@pytest.mark.parametrize("order", [1, -1])
def test_later_review_beats_earlier_whatever_the_order(table, order) -> None:
    ann = Voice("ann", table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10)]), np.array([0]), "person", 10.0)
    bob = Voice("bob", table([(0, 0, 0, 0, 10, 9)]), np.array([0]), "person", 20.0)
    merged = merge([ann, bob][::order], CLASSES)
    assert rows(merged.boxes) == [(0, 0, 0.0, "bob")]
    [conflict] = merged.conflicts.to_pylist()
    assert (conflict["kind"], conflict["voice"], conflict["x"]) == ("people", "ann", 50)
    assert conflict["reason"] == "bob has no box of this class here and reviewed later than ann"


def test_two_people_at_one_time_are_told(table) -> None:
    pair = [Voice(name, table([(0, 0, x, 0, 10, 10)]), np.array([0]), "person")
            for name, x in (("ann", 0), ("bob", 50))]
    merged = merge(pair, CLASSES)
    assert rows(merged.boxes) == [(0, 0, 50.0, "bob")]
    assert "at the same time: somebody must decide" in merged.conflicts["reason"][0].as_py()


def test_a_person_who_was_asked_for_one_class_leaves_the_other_to_models(table) -> None:
    ann = Voice("ann", table([(0, 0, 0, 0, 9, 9), (0, 1, 90, 0, 9, 9)]), np.array([0]), "person", 1.0, frozenset({0}))
    model = Voice("m", table([(0, 0, 30, 0, 9, 9, 0.9), (0, 1, 60, 0, 9, 9, 0.9)]), np.array([0]))
    merged = merge([ann, model], CLASSES)
    assert rows(merged.boxes) == [(0, 0, 0.0, "ann"), (0, 1, 60.0, "m")]
    assert merged.conflicts["kind"].to_pylist() == ["not asked"]


def test_owner_by_class(table) -> None:
    a = Voice("a", table([(0, 0, 0, 0, 9, 9, 0.9), (0, 1, 30, 0, 9, 9, 0.9)]), np.array([0]))
    b = Voice("b", table([(0, 0, 1, 0, 9, 9, 0.9), (0, 0, 60, 0, 9, 9, 0.9), (0, 1, 90, 0, 9, 9, 0.9)]), np.array([0]))
    settings = Settings(method="owner", owners={"cell": "a", "platelet": "b"})
    merged = merge([a, b], CLASSES, settings)
    assert rows(merged.boxes) == [(0, 0, 0.0, "a"), (0, 1, 90.0, "b")]
    assert sorted(merged.conflicts["x"].to_pylist()) == [30, 60]
    assert set(merged.conflicts["reason"].to_pylist()) == {f"{n}, which owns the class, does not see it" for n in "ab"}
    with pytest.raises(ParamsError, match="no owner for platelet"):
        merge([a, b], CLASSES, Settings(method="owner", owners={"cell": "a"}))
    with pytest.raises(ParamsError, match="no 'sell'"):
        merge([a, b], CLASSES, Settings(method="owner", owners={"sell": "a"}))


def test_fusion_by_hand(table) -> None:
    a = Voice("a", table([(0, 0, 0, 0, 10, 10, 0.9)]), np.array([0]))
    b = Voice("b", table([(0, 0, 0, 0, 10, 8, 0.6), (0, 0, 50, 0, 10, 10, 0.4)]), np.array([0]))
    merged = merge([a, b], CLASSES)
    assert merged.boxes["h"].to_pylist() == pytest.approx([(9 + 4.8) / 1.5, 10])
    assert merged.boxes["score"].to_pylist() == pytest.approx([0.75, 0.2])
    assert merged.boxes["voices"].to_pylist() == [2, 1] and merged.boxes["source"].to_pylist() == ["a", "b"]


def test_consensus_counts_those_that_have_looked(table) -> None:
    three = [Voice("a", table([(0, 0, 0, 0, 10, 10, 0.9), (1, 0, 0, 0, 10, 10, 0.9)]), np.array([0, 1])),
             Voice("b", table([(0, 0, 0, 0, 10, 9, 0.3)]), np.array([0])), Voice("c", table([]), np.array([0]))]
    merged = merge(three, CLASSES, Settings(method="consensus"))
    assert merged.boxes["image_id"].to_pylist() == [0, 1]
    assert merged.boxes["score"].to_pylist() == pytest.approx([0.6, 0.9])
    all_of_them = merge(three, CLASSES, Settings(method="consensus", agree=3))
    assert all_of_them.boxes["image_id"].to_pylist() == [1]
    assert all_of_them.conflicts["reason"].to_pylist() == ["2 of 3 that looked see it, 3 must"]
    with pytest.raises(ParamsError, match="4 of 3"):
        merge(three, CLASSES, Settings(method="consensus", agree=4))


def test_two_classes_in_one_place(table) -> None:
    a = Voice("a", table([(0, 0, 0, 0, 10, 10, 0.9)]), np.array([0]))
    b = Voice("b", table([(0, 1, 0, 0, 10, 9, 0.5)]), np.array([0]))
    merged = merge([a, b], CLASSES)
    assert rows(merged.boxes) == [(0, 0, 0.0, "a")]
    assert merged.conflicts["kind"].to_pylist() == ["class"]
    assert "class 0 of a is in the same place, with 1 voices and score 0.45" in merged.conflicts["reason"][0].as_py()
    assert merge([a, b], CLASSES, Settings(one_class=False)).boxes.num_rows == 2


@pytest.mark.parametrize("method", ["fusion", "consensus"])
def test_parts_join_without_a_seam(table, monkeypatch, method) -> None:
    rng = np.random.default_rng(0)
    voices = [Voice(name, table([(int(i), int(k), 12 * float(x), 0, 10, 10, float(s)) for i, k, x, s in zip(
        rng.integers(0, 9, 60), rng.integers(0, 2, 60), rng.integers(0, 5, 60), rng.random(60), strict=True)]),
        np.arange(9)) for name in "abc"]
    ann = Voice("ann", table([(4, 0, 0, 0, 9, 9)]), np.array([4, 5]), "person", 1.0)
    whole = merge([*voices, ann], CLASSES, Settings(method=method))
    monkeypatch.setattr("tasks.labels.merging.CHUNK", 2)
    parts = merge([*voices, ann], CLASSES, Settings(method=method))
    assert parts.boxes.equals(whole.boxes)
    assert sorted(parts.conflicts.to_pylist(), key=str) == sorted(whole.conflicts.to_pylist(), key=str)


def test_bad_voices(table) -> None:
    with pytest.raises(DataError, match="class 5 is none of 2"):
        merge([Voice("a", table([(0, 5, 0, 0, 1, 1, 0.9)]), np.array([0]))], CLASSES)
    with pytest.raises(DataError, match="a box on picture 3"):
        merge([Voice("a", table([(3, 0, 0, 0, 1, 1, 0.9)]), np.array([0]))], CLASSES)
    with pytest.raises(DataError, match="63 voices"):
        merge([Voice(str(n), table([]), np.array([0])) for n in range(63)], CLASSES)
