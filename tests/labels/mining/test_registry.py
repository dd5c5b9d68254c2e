"""All strategies through the one door: what is left out, what is drawn, what is said, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.labels.mining.pool import Failures, Known, Pool, parquet_batches, table_batches
from tasks.labels.mining.registry import SCHEMA, STRATEGIES, mine, strategy

CLASSES = ["cell", "platelet", "other"]
COUNT = 120


def made(seed: int = 0, count: int = COUNT) -> tuple[Pool, Known]:
    rng = np.random.default_rng(seed)
    boxes = 3 * count
    image = np.sort(rng.integers(0, count, boxes)) * 2
    found = pa.table({"image_id": image, "class_id": rng.integers(0, 3, boxes).astype(np.int32),
                      **{name: rng.random(boxes) for name in ("x", "y", "w", "h", "score", "flip", "margin")}})
    pool = Pool(np.arange(count) * 2, CLASSES, table_batches(found, 50),
                rng.normal(size=(count, 8)).astype(np.float16), None,
                {"aldd": rng.random((count, 3)), "consistency": rng.random(count)})
    words = [f"picture {i} (missed: cell)" for i in range(6)]
    failed = Failures(rng.normal(size=(6, 8)), np.linspace(1, 0.1, 6), words)
    return pool, Known(vectors=rng.normal(size=(7, 8)), counts=np.array([50, 3, 0]), failures=failed)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_gives_what_is_asked_with_reasons_and_the_same_again(name) -> None:
    pool, known = made()
    first = mine(pool, name, 20, known, {"epsilon": 0.1, "seed": 3})
    assert first.table.schema == SCHEMA and first.table.num_rows == 20
    ids = first.table["image_id"].to_pylist()
    assert len(set(ids)) == 20 and set(ids) <= set(pool.image_id.tolist())
    assert first.table["rank"].to_pylist() == list(range(20))
    assert all(len(reason) > 10 for reason in first.table["reason"].to_pylist())
    drawn = first.table["random"].to_pylist()
    assert drawn == ([True] * 20 if name == "random" else [False] * 18 + [True] * 2)
    assert first.table["score"].null_count == sum(drawn)
    assert mine(pool, name, 20, known, {"epsilon": 0.1, "seed": 3}).table.equals(first.table)
    assert first.params["seed"] == 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_takes_all_of_a_pool_that_is_smaller_than_the_budget(name) -> None:
    pool, known = made(count=9)
    mined = mine(pool, name, 50, known)
    assert sorted(mined.table["image_id"].to_pylist()) == pool.image_id.tolist()
    assert "the budget of 50 is larger than what is left of the pool: all 9 are taken" in mined.notes


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_leaves_out_past_rounds_and_near_duplicates(name) -> None:
    pool, known = made()
    near = np.arange(COUNT)
    near[[10, 11, 12]] = 10   # three alike: one at most
    near[[20, 21]] = 20       # alike to a past one: none
    near[30] = 500            # alike to a labelled picture elsewhere
    pool = replace(pool, near=near)
    known = replace(known, image_id=pool.image_id[[20, 40]], near=np.array([500]))
    mined = mine(pool, name, COUNT, known)
    places = np.array(mined.table["image_id"].to_pylist()) // 2
    assert len(places) == COUNT - 2 - 4
    assert not set(places) & {20, 21, 40, 30, 11, 12} and 10 in places
    assert mined.notes[:2] == ["2 pictures are labelled or were picked in past rounds",
                               "4 pictures are near-duplicates of others or of what is known"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_refuses_an_empty_pool(name) -> None:
    pool = Pool(np.zeros(0, np.int64), CLASSES, list, np.zeros((0, 8)), None,
                {"aldd": np.zeros((0, 3)), "consistency": np.zeros(0)})
    with pytest.raises(DataError, match="the pool has no pictures"):
        mine(pool, name, 5, made()[1])


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_pool_of_near_duplicates_gives_one_or_says_why_none(name) -> None:
    pool, known = made()
    pool = replace(pool, near=np.zeros(COUNT, np.int64))
    assert mine(pool, name, 5, known).table.num_rows == 1
    with pytest.raises(DataError, match="nothing is left of the 120 pictures of the pool"):
        mine(pool, name, 5, replace(known, near=np.array([0])))


def test_a_pool_of_equal_vectors_gives_one_and_says_so() -> None:
    pool, _ = made()
    pool = replace(pool, vectors=np.ones((COUNT, 8), np.float32))
    mined = mine(pool, "coverage", 10, Known(), {"epsilon": 0})
    assert mined.table.num_rows == 1 and "9 fewer than asked" in mined.notes[0]


@pytest.mark.parametrize(("name", "lacking"), [
    ("entropy", "no model has looked"), ("margin", "no model has looked"), ("cald", "no model has looked"),
    ("mixed", "no model has looked"), ("flip", "no model has looked")])
def test_without_predictions(name, lacking) -> None:
    pool, known = made()
    with pytest.raises(UserError, match=lacking) as told:
        mine(replace(pool, boxes=None), name, 5, known)
    assert "visionmill label auto" in str(told.value)


def test_what_else_may_lack() -> None:
    pool, known = made()
    bare = replace(pool, vectors=None, columns={})
    for name, words in (("coverage", "vectors"), ("aldd", "`aldd`"), ("cald", "`consistency`"), ("mixed", "vectors")):
        with pytest.raises(UserError, match=words):
            mine(bare, name, 5, known)
    with pytest.raises(UserError, match="no failures"):
        mine(pool, "failures", 5, replace(known, failures=None))
    with pytest.raises(UserError, match="`flip`"):
        rows = pa.concat_tables(pool.boxes()).drop_columns(["flip"])
        mine(replace(pool, boxes=table_batches(rows)), "flip", 5, known)
    assert mine(bare, "random", 5, known).table.num_rows == 5
    nobody = Failures(np.zeros((0, 8)), np.zeros(0), [])
    with pytest.raises(DataError, match="nothing wrong"):
        mine(pool, "failures", 5, replace(known, failures=nobody))


@pytest.mark.parametrize("name", ["entropy", "margin", "flip", "mixed", "cald"])
def test_a_model_that_found_nothing(name, table) -> None:
    pool, known = made()
    nothing = table([], flip=pa.array([], pa.float64()))
    mined = mine(replace(pool, boxes=table_batches(nothing)), name, 10, known, {"epsilon": 0})
    assert mined.table.num_rows == 10
    assert all("nothing was found in it" in reason for reason in mined.table["reason"].to_pylist())


def test_wrong_names_and_numbers() -> None:
    pool, known = made()
    with pytest.raises(ParamsError, match="did you mean 'entropy'"):
        strategy("entropie")
    with pytest.raises(ParamsError, match="budget: at least 1"):
        mine(pool, "random", 0, known)
    with pytest.raises(ParamsError, match="did you mean 'most'"):
        mine(pool, "entropy", 5, known, {"moost": 3})
    with pytest.raises(ParamsError, match="did you mean 'cell'"):
        mine(pool, "aldd", 5, known, {"weights": {"sell": 2}})
    with pytest.raises(ParamsError, match="'cell'"):
        mine(pool, "mixed", 5, known, {"quality": {"cell": 2}})
    with pytest.raises(DataError, match="do not ascend"):
        Pool(np.array([2, 1]), CLASSES)
    with pytest.raises(DataError, match="3 rows of vectors"):
        Pool(np.arange(2), CLASSES, vectors=np.zeros((3, 2)))
    with pytest.raises(DataError, match="not in the order"):
        rows = pa.concat_tables(pool.boxes())
        mine(replace(pool, boxes=lambda: [rows.slice(50), rows.slice(0, 50)]), "entropy", 5, known)


@pytest.mark.parametrize(("row", "words"), [((0, 7, 0, 0, 1, 1, 0.5), "a detection of class 7, and the pool has 3"),
                                            ((0, 1, 0, 0, 1, 1, float("nan")), "whose score is no number")])
def test_rubbish_among_the_predictions(table, row, words) -> None:
    pool, known = made()
    for name in ("entropy", "mixed"):
        with pytest.raises(DataError, match=words):
            mine(replace(pool, boxes=table_batches(table([row]))), name, 5, known)


def test_reasons_name_the_boxes(table) -> None:
    found = table([(0, 0, 0, 0, 1, 1, 0.5), (0, 1, 0, 0, 1, 1, 0.9), (1, 1, 0, 0, 1, 1, 0.99)], flip=[0.5, 0.5, 1.0])
    pool = Pool(np.arange(3), CLASSES, table_batches(found), np.eye(3))
    said = {name: mine(pool, name, 3, Known(), {"epsilon": 0}).table["reason"].to_pylist()
            for name in ("entropy", "margin", "flip", "mixed")}
    assert said["entropy"][0] == "2 boxes open, 1.47 bits in all: cell at 0.50, platelet at 0.90"
    assert said["entropy"][2] == "nothing was found in it"
    assert said["margin"][0].endswith("cell at 0.50 (margin 0.00), platelet at 0.90 (margin 0.80)")
    assert "platelet at 0.90 (agreement 0.50), cell at 0.50 (agreement 0.50)" in said["flip"][0]
    assert any("weighted bits open (cell at 0.50" in reason for reason in said["mixed"])


def test_the_rare_class_that_the_labels_lack_goes_first() -> None:
    pool, known = made()
    mined = mine(pool, "cald", 10, known, {"epsilon": 0, "shortlist": 4, "empties": 0})
    assert "first other" in mined.table["reason"][0].as_py()


def test_files_are_read_in_parts_and_give_the_same(tmp_path) -> None:
    pool, known = made()
    pq.write_table(pa.concat_tables(pool.boxes()), tmp_path / "found.parquet", row_group_size=31)
    np.save(tmp_path / "vectors.npy", pool.vectors)
    mapped = replace(pool, boxes=parquet_batches(tmp_path / "found.parquet", 13),
                     vectors=np.load(tmp_path / "vectors.npy", mmap_mode="r"))
    for name in STRATEGIES:
        assert mine(mapped, name, 20, known).table.equals(mine(pool, name, 20, known).table)


def test_the_share_at_random_differs_by_seed_and_the_rest_does_not() -> None:
    pool, known = made()
    one, two = (mine(pool, "entropy", 20, known, {"epsilon": 0.5, "seed": seed}).table for seed in (1, 2))
    assert one["image_id"][:10].to_pylist() == two["image_id"][:10].to_pylist()
    assert one["image_id"][10:].to_pylist() != two["image_id"][10:].to_pylist()
    assert mine(pool, "entropy", 8, known, {"epsilon": 1}).table["random"].to_pylist() == [True] * 8
