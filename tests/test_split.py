from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import ingest, split, validate
from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree, read_json
from tasks.base.params import check
from tasks.data.ops import Parent
from tasks.data.rows import rows
from tasks.data.table import Dataset, read_dataset
from tests.data.folders import cells, make_voc, put
from tests.data.ops.versions import column, version


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


BOX = [("cat", 1, 1, 9, 9)]


def cut(tmp_path: Path, pictures: Mapping[str, Any], near: Mapping[str, Any] | None = None, **options: Any
        ) -> dict[str, str]:
    """The split of each picture by file; `near` has pairs of files with their similarity, and groups of them."""
    data = version(tmp_path / "data", pictures).folder
    split.run(split.Params.model_validate(options), data=data, out=tmp_path / "out",
              near=None if near is None else neighbours(tmp_path / "near", sorted(pictures), **near))
    return column(Parent("out@1", tmp_path / "out", tmp_path), "split")


def neighbours(folder: Path, files: Sequence[str], groups: Sequence[str], pairs: Mapping[str, float]) -> Path:
    """A folder as the search for near-duplicates writes it: of single letters for files."""
    folder.mkdir()
    smallest = {file: min(map(files.index, group)) for group in groups for file in group}
    rows = {"image_id": range(len(files)), "near": [smallest.get(file, i) for i, file in enumerate(files)]}
    pq.write_table(pa.table(rows), folder / "groups.parquet")
    both = [[files.index(pair[side]) for pair in pairs] for side in (0, 1)]
    pq.write_table(pa.table([*(pa.array(side, pa.int64()) for side in both),
                             pa.array(pairs.values(), pa.float32())], ["a", "b", "similarity"]),
                   folder / "pairs.parquet")
    return folder


def given(**files: str) -> dict[str, Any]:
    """Pictures by the split that they come with: `train="abc"`."""
    return {file: {"split": None if name == "none" else name, "boxes": BOX} for name, letters in files.items()
            for file in letters}


@pytest.mark.parametrize("groups", ["column", "folder", "tag:scene-"])
def test_groups_are_never_torn_apart(tmp_path: Path, groups: str) -> None:
    pictures = {f"f{i // 4:02}/{i}": {"boxes": BOX, **({"group": f"g{i // 4}"} if groups == "column" else {}),
                                     "tags": [f"scene-{i // 4}", "day"]} for i in range(80)}
    splits = cut(tmp_path, pictures, groups=groups)
    assert len({(file.partition("/")[0], name) for file, name in splits.items()}) == 20
    assert Counter(splits.values()) == {"train": 56, "val": 12, "test": 12}


def test_without_groups_the_column_says_nothing(tmp_path: Path) -> None:
    splits = cut(tmp_path, {f"{i:02}": {"boxes": BOX, "group": "all"} for i in range(20)}, groups="none")
    assert Counter(splits.values()) == {"train": 14, "val": 3, "test": 3}


def test_one_group_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split val has no picture: 9 pictures, train 9[\s\S]*leaves 1 groups"):
        cut(tmp_path, {f"x/{i}": {"boxes": BOX} for i in range(9)}, groups="folder")


def test_an_unlisted_picture_joins_its_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = given(train="abc", val="d", test="ef", none="ghi")
    for file, group in {"g": "one", "d": "one", "h": "two", "e": "two", "a": "two"}.items():
        pictures[file]["group"] = group
    splits = cut(tmp_path, pictures)
    assert [splits[file] for file in "ghi"] == ["val", "test", "train"]
    assert "1 groups of pictures that belong together came in several splits" in capsys.readouterr().out


def test_a_split_that_is_cut_does_not_tear_what_is_near(tmp_path: Path) -> None:
    pictures = given(train="abcdefghijkl", test="xyz")
    splits = cut(tmp_path, pictures, {"groups": ["ab", "cd", "ef", "gh", "ij", "kl"], "pairs": {}})
    assert all(splits[a] == splits[b] for a, b in ("ab", "cd", "ef", "gh", "ij", "kl"))
    assert Counter(splits.values()) == {"train": 10, "val": 2, "test": 3}


LEAKS = {"groups": ["agt", "bu", "cd"], "pairs": {"ag": 0.99, "gt": 0.91, "at": 0.95, "bu": 0.97}}


@pytest.mark.parametrize(("near", "leaks"), [
    (LEAKS, [("a", "train", "t", "test", 0.95), ("g", "val", "t", "test", 0.91), ("b", "train", "u", "test", 0.97)]),
    # by way of a picture that came without a split: no similarity of their own
    ({"groups": ["ant"], "pairs": {"an": 0.9, "nt": 0.9}}, [("a", "train", "t", "test", None)]),
    ({"groups": ["cd", "nt"], "pairs": {"cd": 0.9, "nt": 0.9}}, []),
])
def test_near_duplicates_in_two_given_splits_are_dropped(tmp_path: Path, near: Any, leaks: Any) -> None:
    splits = cut(tmp_path, given(train="abcd", val="gh", test="tu", none="n"), near)
    assert set("abcdghtun") - set(splits) == {leak[0] for leak in leaks}
    told = read_json(tmp_path / "out/leaks.json")
    assert told["policy"] == "drop" and [leak["file"] for leak in told["leaks"]] == sorted(one[0] for one in leaks)
    assert {tuple(leak[key] for key in ("file", "split", "near", "near_split", "similarity"))
            for leak in told["leaks"]} == set(leaks)
    assert (splits["n"], splits["h"]) == ("test" if "nt" in "".join(near["pairs"]) else "train", "val")
    assert [row.image["image_id"] for row in rows(tmp_path / "out")] == list(range(len(splits)))


def test_near_duplicates_may_be_kept_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = given(train="abcd", val="gh", test="tu")
    as_given = {file: one["split"] for file, one in pictures.items()}
    assert cut(tmp_path / "keep", pictures, LEAKS, leaks="keep") == as_given
    assert read_json(tmp_path / "keep/out/leaks.json")["policy"] == "keep"
    assert "3 of them are near to pictures of a more important split (keep; leaks.json)" in capsys.readouterr().out
    listed = r"3 pictures are near[\s\S]*a \(train\) is near t \(test, similarity 0.950\)[\s\S]*leaks: drop"
    with pytest.raises(DataError, match=listed):
        cut(tmp_path / "error", pictures, LEAKS, leaks="error")
    assert not (tmp_path / "error/out").exists()


def test_without_a_search_nothing_is_near(tmp_path: Path) -> None:
    pictures = given(train="abcd", val="gh", test="tu")
    assert cut(tmp_path, pictures, leaks="error") == {file: one["split"] for file, one in pictures.items()}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "annotations.parquet", "dataset.json", "images.parquet"]


def test_near_duplicates_of_ignored_splits_are_no_leaks(tmp_path: Path) -> None:
    pictures = given(train="abcdefghijkl", test="tuvwxyz")
    splits = cut(tmp_path, pictures, {"groups": ["at", "bu"], "pairs": {}}, given="ignore", leaks="error")
    assert splits["a"] == splits["t"] and splits["b"] == splits["u"] and len(splits) == 19


@pytest.mark.parametrize(("name", "content"), [("groups", None), ("pairs", None), ("pairs", {
    "a": [0], "b": [99], "similarity": [0.9]}), ("pairs", {"a": [0]})])
def test_a_search_of_another_dataset(tmp_path: Path, name: str, content: Any) -> None:
    pictures = given(train="abcd", val="gh", test="tu")
    folder = neighbours(tmp_path / "near", sorted(pictures), **LEAKS)
    (folder / f"{name}.parquet").unlink()
    if content is not None:
        pq.write_table(pa.table(content), folder / f"{name}.parquet")
    with pytest.raises(DataError, match="near-duplicates (can be read|of another dataset)"):
        split.run(split.Params(), data=version(tmp_path / "data", pictures).folder, out=tmp_path / "out", near=folder)


def test_folds_test_each_picture_once(tmp_path: Path) -> None:
    pictures = {f"{i:02}": {"boxes": BOX, "group": f"g{i // 2}"} for i in range(20)}
    found = [cut(tmp_path / str(fold), pictures, folds=5, fold=fold) for fold in range(5)]
    assert all(Counter(splits.values()) == {"train": 12, "val": 4, "test": 4} for splits in found)
    assert sorted(file for splits in found for file, name in splits.items() if name == "test") == sorted(pictures)
    for fold, splits in enumerate(found):
        after = found[(fold + 1) % 5]
        assert {f for f, name in splits.items() if name == "val"} == {f for f, name in after.items() if name == "test"}
    with pytest.raises(DataError, match=r"folds divide all pictures, and 1 came with a split[\s\S]*given: ignore"):
        cut(tmp_path / "given", pictures | {"z": {"split": "test"}}, folds=5)


@pytest.mark.parametrize(("values", "message"), [
    ({"groups": "colum"}, "column, folder, none or tag:PREFIX"), ({"folds": 2}, "folds must be 0 or at least 3"),
    ({"folds": 3, "fold": 3}, "fold must be below folds = 3"), ({"fold": 1}, "fold must be below folds = 0"),
    ({"leaks": "skip"}, "leaks"), ({"group": "none"}, r"unknown parameter 'group'[\s\S]*did you mean 'groups'")])
def test_parameters_that_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check(split.Params, values, "params.yaml: split")


def test_what_is_printed_counts_boxes_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = {"a": {"split": "train", "labels": ["dog"], "boxes": BOX}, "b": {"split": "val", "boxes": BOX * 2},
                "c": {"split": "test"}}
    cut(tmp_path, pictures)
    assert capsys.readouterr().out.splitlines() == [
        "3 of 3 pictures came with a split", "train: 1 pictures, 1 boxes: cat 1, dog 1",
        "val: 1 pictures, 2 boxes: cat 2, dog 0", "test: 1 pictures, 0 boxes: cat 0, dog 0"]


def test_annotations_are_the_same_bytes_where_no_picture_goes(tmp_path: Path) -> None:
    cut(tmp_path, given(train="abcd", val="gh", test="tu"))
    files = [tmp_path / folder / "annotations.parquet" for folder in ("data", "out")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_empty_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split train has no picture: 0 pictures"):
        cut(tmp_path, {})
