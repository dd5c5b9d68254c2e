"""Which class of a pool each class of a teacher is: by name, or by a map that says it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import ParamsError, UserError
from tasks.labelling.teachers.mapping import Classes, map_classes, parse_map

TEACHER = ["person", "bicycle", "car", "truck", "dog"]


def mapped(pool: list[str], mapping: dict[str, str] | None, workspace: Path, **options: bool) -> Classes:
    return map_classes(TEACHER, pool, mapping, name="picodet", workspace=workspace, **options)


@pytest.mark.parametrize(("text", "found"), [
    ("person=person", {"person": "person"}), (" car = vehicle , dog=- ", {"car": "vehicle", "dog": "-"}),
    ("a b=c d", {"a b": "c d"}), ("dog=", {"dog": ""}), ("a=b=c", {"a": "b=c"})])
def test_a_map_is_read(text: str, found: dict[str, str]) -> None:
    assert parse_map(text) == found


@pytest.mark.parametrize(("text", "message"), [
    ("", "maps nothing"), ("person", "'person' maps nothing"), ("=x", "maps nothing"), ("a=b,,c=d", "maps nothing"),
    ("a=b,a=c", "names 'a' twice")])
def test_what_is_no_map(text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_map(text)


def test_without_a_map_equal_names_are_equal_classes(tmp_path: Path) -> None:
    found = mapped(["car", "person", "lorry"], None, tmp_path)
    assert found.names == ["car", "person", "lorry"] and found.to.tolist() == [1, -1, 0, -1, -1]
    left = "3 of the 5 classes of picodet without a counterpart by name are left out: bicycle, truck, dog"
    assert found.notes == [left, "picodet does not know lorry: nothing of that kind is pre-labelled"]
    assert not found.same


def test_aliases_of_the_workspace_count_as_names(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/classes.yaml").write_text(
        "classes:\n- {name: vehicle, aliases: [car, truck]}\n- {name: people, aliases: [person]}\n")
    found = mapped(["vehicle", "people"], None, tmp_path)
    assert found.to.tolist() == [1, -1, 0, 0, -1] and "joined: car, truck become vehicle" in found.notes
    # a pool without classes gets the workspace's; a map may name an alias
    assert mapped([], None, tmp_path).names == ["vehicle", "people"]
    assert mapped([], {"person": "person"}, tmp_path, drop_rest=True).to.tolist() == [1, -1, -1, -1, -1]


def test_a_pool_without_classes_gets_those_of_the_map_or_of_the_teacher(tmp_path: Path) -> None:
    assert mapped([], None, tmp_path).names == TEACHER and mapped([], None, tmp_path).same
    found = mapped([], {"truck": "big", "person": "human"}, tmp_path, drop_rest=True)
    assert found.names == ["big", "human"] and found.to.tolist() == [1, -1, -1, 0, -1]


def test_a_map_that_leaves_classes_out_needs_a_word_for_it(tmp_path: Path) -> None:
    some = {"person": "person", "car": "vehicle"}
    with pytest.raises(UserError, match="leaves 3 of the 5 classes of picodet out: bicycle, truck, dog") as told:
        mapped(["person", "vehicle"], some, tmp_path)
    assert "--drop-rest" in str(told.value)
    found = mapped(["person", "vehicle"], some, tmp_path, drop_rest=True)
    assert found.to.tolist() == [0, -1, 1, -1, -1]
    assert found.notes == ["3 of the 5 classes of picodet are left out: bicycle, truck, dog"]
    # or one by one
    whole = mapped(["person", "vehicle"], some | dict.fromkeys(["bicycle", "truck"], "-") | {"dog": ""}, tmp_path)
    assert whole.to.tolist() == found.to.tolist()


def test_a_map_that_makes_one_class_of_several_needs_a_word_for_it(tmp_path: Path) -> None:
    many = {"person": "person", "car": "vehicle", "truck": "vehicle"}
    with pytest.raises(UserError, match="car, truck all become vehicle") as told:
        mapped(["person", "vehicle"], many, tmp_path, drop_rest=True)
    assert "--join" in str(told.value)
    found = mapped(["person", "vehicle"], many, tmp_path, drop_rest=True, join=True)
    assert found.to.tolist() == [0, -1, 1, 1, -1] and "joined: car, truck become vehicle" in found.notes


@pytest.mark.parametrize(("mapping", "message"), [
    ({"persn": "person"}, "picodet knows no class 'persn'\n.*\n.*did you mean 'person'"),
    ({"zebra": "person"}, "knows no class 'zebra'\n.*\n.*its classes: person, bicycle"),
    ({"car": "vehicel"}, "the pool has no class 'vehicel'\n.*\n.*did you mean 'vehicle'"),
    ({"car": "-"}, "no class of picodet is one of the pool's")])
def test_names_that_there_are_not(tmp_path: Path, mapping: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        mapped(["person", "vehicle"], mapping, tmp_path, drop_rest=True)


def test_nothing_in_common_says_how_to_map(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no class of picodet is one of the pool's") as told:
        mapped(["RBC", "WBC"], None, tmp_path)
    assert "--map person=RBC --drop-rest" in str(told.value) and "RBC, WBC" in str(told.value)
