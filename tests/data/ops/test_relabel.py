from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.ops import relabel
from tasks.data.table import read_meta
from tests.data.ops.versions import apply, column, said, version

CLASSES = ["ant", "cat", "dog", "fly"]
PICTURES = {"a": [("cat", 1, 1, 9, 9), ("dog", 2, 2, 9, 9)], "b": [("ant", 3, 3, 9, 9)], "c": []}


@pytest.mark.parametrize(("params", "classes", "wanted"), [
    ({"map": {"cat": "cat"}}, CLASSES, {"a": ["cat", "dog"], "b": ["ant"], "c": []}),
    ({"map": {"cat": "zoo"}}, ["ant", "dog", "fly", "zoo"], {"a": ["zoo", "dog"], "b": ["ant"], "c": []}),
    ({"map": {"cat": "dog", "dog": "cat"}}, CLASSES, {"a": ["dog", "cat"], "b": ["ant"], "c": []}),
    ({"map": {"cat": "pet", "dog": "pet"}}, ["ant", "fly", "pet"], {"a": ["pet", "pet"], "b": ["ant"], "c": []}),
    ({"map": {"cat": "dog"}}, ["ant", "dog", "fly"], {"a": ["dog", "dog"], "b": ["ant"], "c": []}),
    ({"map": {"ant": "-", "cat": ""}}, ["dog", "fly"], {"a": ["dog"], "b": [], "c": []}),
    ({"drop_unused": True}, ["ant", "cat", "dog"], {"a": ["cat", "dog"], "b": ["ant"], "c": []}),
    ({"map": {"fly": "ant"}, "drop_unused": True}, ["ant", "cat", "dog"], {"a": ["cat", "dog"], "b": ["ant"], "c": []}),
    ({"aliases": {"bird": "fly", "dog": "hound"}}, ["ant", "cat", "fly", "hound"],
     {"a": ["cat", "hound"], "b": ["ant"], "c": []}),
    ({"map": {"cat": "kitty"}, "aliases": {"kitty": "Cat", "cat": "never"}}, ["Cat", "ant", "dog", "fly"],
     {"a": ["Cat", "dog"], "b": ["ant"], "c": []}),
    ({"map": dict.fromkeys(CLASSES, "-")}, [], {"a": [], "b": [], "c": []}),
], ids=str)
def test_names_change(tmp_path: Path, params: Any, classes: list[str], wanted: Any) -> None:
    made = apply(relabel, [version(tmp_path / "in", PICTURES, CLASSES)], tmp_path / "out", **params)
    assert read_meta(made.folder).classes == classes
    assert {file: [name for name, *_ in labels] for file, labels in said(made).items()} == wanted


@pytest.mark.parametrize(("params", "wanted"), [
    ({"map": {"cat": "dog"}}, {"a": [("dog",)], "b": [("dog",)], "c": None, "d": []}),
    ({"map": {"cat": "zoo"}}, {"a": [("dog",), ("zoo",)], "b": [("zoo",)], "c": None, "d": []}),
    ({"map": {"cat": "-"}}, {"a": [("dog",)], "b": [], "c": None, "d": []})])
def test_labels_of_whole_pictures(tmp_path: Path, params: Any, wanted: Any) -> None:
    """Once each, in the order of classes; where nobody has said anything, nobody has."""
    pictures = {"a": {"labels": ["cat", "dog"]}, "b": {"labels": ["cat"]}, "c": {"labels": None}, "d": {"labels": []}}
    made = apply(relabel, [version(tmp_path / "in", pictures, problem="classify")], tmp_path / "out", **params)
    told = column(made, "labels")
    assert {file: None if told[file] is None else labels for file, labels in said(made).items()} == wanted


def test_what_is_known_of_classes_goes_with_the_names(tmp_path: Path) -> None:
    parent = version(tmp_path / "in", PICTURES, CLASSES, keypoints={"cat": {"names": ["a"]}, "fly": {"names": ["w"]}},
                     attributes={"ids": {"cat": 7, "dog": 3, "fly": 1}, "info": "x"})
    meta = read_meta(apply(relabel, [parent], tmp_path / "out", map={"cat": "dog", "fly": "-"}).folder)
    assert (meta.keypoints, meta.attributes) == ({"dog": {"names": ["a"]}}, {"ids": {"dog": 3}, "info": "x"})


@pytest.mark.parametrize(("params", "meta", "message"), [
    ({"map": {"kat": "x"}}, {}, r"no class is called 'kat'[\s\S]*did you mean 'cat'"),
    ({"map": {"zzzzzz": "x"}}, {}, "there are: ant, cat, dog, fly"),
    ({"map": {"cat": "dog"}}, {"keypoints": {"cat": {"names": ["a"]}, "dog": {"names": ["b"]}}}, "keypoints differ"),
    ({"map": {"cat": "dog"}}, {"problem": "semantic"}, "masks hold class ids"),
    ({"map": {"cat": "-"}}, {"problem": "semantic"}, "masks hold class ids"),
])
def test_what_cannot_be_done(tmp_path: Path, params: Any, meta: Any, message: str) -> None:
    parent = version(tmp_path / "in", PICTURES, CLASSES, **meta)
    with pytest.raises(DataError, match=message):
        apply(relabel, [parent], tmp_path / "out", **params)


def test_masks_keep_their_ids_under_a_new_name(tmp_path: Path) -> None:
    parent = version(tmp_path / "in", {"a": {"mask": "m.png"}}, CLASSES, problem="semantic")
    made = apply(relabel, [parent], tmp_path / "out", map={"ant": "zebra"})
    assert read_meta(made.folder).classes == ["zebra", "cat", "dog", "fly"]


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(ValidationError, match="give map, aliases or drop_unused"):
        relabel.Params()


def test_done_twice_gives_the_same_bytes_and_one_parent_is_read(tmp_path: Path) -> None:
    parent = version(tmp_path / "in", PICTURES, CLASSES)
    for place in "xy":
        apply(relabel, [parent], tmp_path / place / "out", map={"cat": "zoo", "dog": "-"})
    assert digest_tree(tmp_path / "x") == digest_tree(tmp_path / "y")
    with pytest.raises(DataError, match="takes one version, not 2"):
        apply(relabel, [parent, parent], tmp_path / "z", map={"cat": "zoo"})
