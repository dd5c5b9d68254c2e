from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tasks import ingest, split, validate
from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree
from tasks.base.params import check
from tasks.data.table import Dataset, read_dataset
from tests.data.folders import cells, make_voc, put


def line(raw: Path, **options: object) -> Dataset:
    data, out = raw.parent / "data", raw.parent / "split"
    ingest.run(ingest.Params(), raw=raw, out=data)
    split.run(split.Params.model_validate(options), data=data, out=out)
    return read_dataset(out)


def by_file(dataset: Dataset) -> dict[str, str]:
    names = [Path(file).stem for file in dataset.images["file"].to_pylist()]
    return dict(zip(names, dataset.images["split"].to_pylist(), strict=True))


def listed(splits: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
    return {name: [f"p{i}" for i in numbers] for name, numbers in splits.items()}


def test_given_splits_are_kept(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(8), listed({"train": range(5), "val": [5, 6], "test": [7]}))
    assert Counter(by_file(line(raw)).values()) == {"train": 5, "val": 2, "test": 1}
    assert Counter(by_file(line(raw, given="ignore")).values()) == {"train": 6, "val": 1, "test": 1}


@pytest.mark.parametrize(("given", "missing"), [
    ({"train": range(24), "test": range(24, 30)}, "val"), ({"train": range(24), "val": range(24, 30)}, "test")])
def test_a_missing_split_is_cut_from_train(tmp_path: Path, given: dict[str, range], missing: str) -> None:
    splits = by_file(line(make_voc(tmp_path / "raw", cells(30), listed(given))))
    kept = next(name for name in given if name != "train")
    assert [i for i in range(30) if splits[f"p{i}"] == kept] == list(given[kept])
    cut = [i for i in range(30) if splits[f"p{i}"] == missing]
    assert len(cut) == 4 and set(cut) <= set(given["train"])
    assert any(i % 3 == 0 for i in cut) and any(i % 3 for i in cut), "both classes are in it"


def test_names_and_order_do_not_matter(tmp_path: Path) -> None:
    first = line(make_voc(tmp_path / "a/raw", cells(20)))
    renamed = {f"q{99 - i}": boxes for i, boxes in enumerate(cells(20).values())}
    second = line(make_voc(tmp_path / "b/raw", renamed))
    assert dict(zip(first.images["digest"].to_pylist(), first.images["split"].to_pylist(), strict=True)) == dict(
        zip(second.images["digest"].to_pylist(), second.images["split"].to_pylist(), strict=True))


def test_equal_pictures_are_never_torn_apart(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(30))
    for copy in range(20, 30):
        put(raw / f"JPEGImages/p{copy}.jpg", (raw / f"JPEGImages/p{copy - 20}.jpg").read_bytes())
    splits = by_file(line(raw))
    assert all(splits[f"p{i}"] == splits[f"p{i - 20}"] for i in range(20, 30))
    assert set(splits.values()) == {"train", "val", "test"}


def test_an_unlisted_picture_joins_its_equal_or_train(tmp_path: Path) -> None:
    raw = make_voc(tmp_path / "raw", cells(8), listed({"train": [0, 1, 2], "val": [3], "test": [4, 5]}))
    put(raw / "JPEGImages/p6.jpg", (raw / "JPEGImages/p4.jpg").read_bytes())
    splits = by_file(line(raw))
    assert (splits["p6"], splits["p7"]) == ("test", "train")


def test_too_few_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split (val|test) has no picture: 2 pictures"):
        line(make_voc(tmp_path / "raw", cells(2)))
    assert not (tmp_path / "split").exists()


def test_given_without_train(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no training pictures[\s\S]*given: ignore"):
        line(make_voc(tmp_path / "raw", cells(4), listed({"val": [0, 1], "test": [2, 3]})))


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(ParamsError, match=r"train \+ val \+ test must be 1, they are 1\.1"):
        check(split.Params, {"train": 0.8}, "params.yaml: split")


def test_bccd_keeps_its_given_split(mirror: Path, tmp_path: Path) -> None:
    raw = mirror / "datasets/bccd"
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    validate.run(validate.Params(), raw=raw, data=tmp_path / "data", out=tmp_path / "valid")
    for out in ("a", "b"):
        split.run(split.Params(), data=tmp_path / "valid", out=tmp_path / out)
    assert digest_tree(tmp_path / "a") == digest_tree(tmp_path / "b")
    dataset = read_dataset(tmp_path / "a")
    wanted = {name: set((raw / f"ImageSets/Main/{name}.txt").read_text().split()) for name in ("train", "val", "test")}
    found = {name: {Path(f).stem for f in dataset.subset(name).images["file"].to_pylist()} for name in wanted}
    assert found == wanted and [len(found[name]) for name in wanted] == [205, 87, 72]


def test_a_real_set_without_given_splits_is_stratified(mirror: Path, tmp_path: Path) -> None:
    raw = mirror / "datasets/nuts_coco_seg"
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    split.run(split.Params(), data=tmp_path / "data", out=tmp_path / "split")
    dataset = read_dataset(tmp_path / "split")
    for name in ("train", "val", "test"):
        assert set(dataset.subset(name).annotations["class_id"].to_pylist()) == {0, 1, 2}
