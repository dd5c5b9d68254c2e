"""The rules of accuracy, on pictures of which it is known who finds what."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tasks.base.errors import ParamsError
from tasks.data.table import Dataset
from tasks.metrics.bootstrap import paired
from tasks.registry.gates.contest import Contest
from tasks.registry.gates.gate import Champion, Evidence, Gate, artefact_rules, judge
from tasks.registry.gates.rules.accuracy import accuracy_rules
from tasks.registry.gates.rules.parts import class_rules, slice_rules
from tasks.registry.gates.verdict import Rule
from tests.metrics.conftest import dataset_of, table_of

from .cases import KINDS, benchmark, evaluation, export_json

IMAGES = 100
JUDGED = "pruned/cpu-int8"
FOUND_ALL = frozenset(range(IMAGES))


def pictures(**columns: Any) -> Dataset:
    """A picture, a box: of 20, 60 and 120 px by turns, so that all three of COCO's sizes are there."""
    made = dataset_of(["round"], IMAGES, [(i, 0, 10, 10, *[(20, 60, 120)[i % 3]] * 2) for i in range(IMAGES)])
    images = made.images
    for name, values in columns.items():
        at = images.schema.get_field_index(name)
        images = images.set_column(at, images.schema.field(at), pa.array(values, images.schema.field(at).type))
    return Dataset(images, made.annotations, made.meta)


def found(images: set[int] | frozenset[int]) -> pa.Table:
    """Exactly the boxes of those pictures."""
    return table_of([(i, 0, 10, 10, *[(20, 60, 120)[i % 3]] * 2, 0.9) for i in sorted(images)])


def evidence(missed: set[int], champion_missed: set[int] | None = None, dataset: Dataset | None = None,
             slide: dict[str, float] | None = None, **changed: Any) -> Evidence:
    """Champion 3, which misses some pictures, against a candidate that misses others."""
    sides = [found(FOUND_ALL - lost) for lost in (champion_missed or set(), missed)]
    contest = Contest(dataset or pictures(), lambda _: sides[1], sides[0])
    usual: dict[str, Any] = {"evaluation": evaluation(), "benchmark": benchmark(), "exports": {},
                             "champion": Champion("3", "a" * 64, 0.5, 0.8, 4_000_000, slide or {}), "contest": contest}
    return Evidence(**{**usual, **changed})


def rule(rules: list[Rule], name: str) -> Rule:
    return next(one for one in rules if one.name == name)


def versus(asked: dict[str, Any], missed: int, **more: Any) -> Rule:
    return rule(accuracy_rules(Gate(champion=asked), evidence(set(range(missed)), **more), JUDGED),
                "AP50 against the champion")


# with k of 100 pictures missed AP50 is (101 - k) / 101, or a point less where a recall is no exact hundredth; a draw
# misses k on the mean, 95 % of draws between the quantiles 0.025 and 0.975 of the binomial distribution (100, k/100):
# 5 → 1 … 10, 10 → 5 … 16, 1 → 0 … 3
@pytest.mark.parametrize(("ask", "drop", "missed", "verdict"), [
    ("loss", 0.0, 0, "pass"), ("equality", 0.0, 0, "pass"), ("loss", 0.0, 1, "pass"), ("equality", 0.0, 1, "fail"),
    ("loss", 0.0, 5, "fail"), ("loss", 0.03, 5, "pass"), ("equality", 0.03, 5, "fail"), ("equality", 0.12, 5, "pass"),
    ("loss", 0.03, 10, "fail"), ("loss", 0.07, 10, "pass"), ("equality", 0.19, 10, "pass")])
def test_what_is_shown_and_what_is_ruled_out(ask: str, drop: float, missed: int, verdict: str) -> None:
    told = versus({"ask": ask, "max_AP50_drop": drop}, missed)
    assert told.verdict == verdict, told.reason
    assert told.numbers["change"] == pytest.approx(-missed / 101, abs=1.01 / 101)


def test_the_interval_is_that_of_the_binomial_distribution_and_of_paired() -> None:
    told = versus({}, 10)
    assert told.numbers["low"] == pytest.approx(-16 / 101, abs=1.01 / 101)
    assert told.numbers["high"] == pytest.approx(-5 / 101, abs=1.01 / 101)
    same = paired(pictures(), found(FOUND_ALL), found(FOUND_ALL - set(range(10))), "AP50")
    assert (told.numbers["change"], told.numbers["low"], told.numbers["high"]) == same
    assert "-9.9 points, 95 % from -1" in told.reason and "version 3 has 1.0000" in told.reason


def test_pictures_that_both_miss_are_no_loss() -> None:
    told = versus({"max_AP50_drop": 0.0, "ask": "equality"}, 10, champion_missed=set(range(10)))
    assert (told.verdict, told.numbers["low"], told.numbers["high"]) == ("pass", 0.0, 0.0)


def test_a_gain_passes_and_says_so() -> None:
    told = versus({"max_AP50_drop": 0.0}, 0, champion_missed=set(range(10)))
    assert told.verdict == "pass" and "+9.9 points" in told.reason


@pytest.mark.parametrize(("before", "missed", "champion_missed", "limit", "verdict", "slide"), [
    (0.0, 1, 0, 0.02, "pass", 1 / 101), (0.0, 3, 0, 0.02, "fail", 3 / 101), (0.015, 1, 0, 0.02, "fail", 0.0249),
    (0.015, 0, 1, 0.02, "pass", 0.0051), (0.015, 0, 5, 0.02, "pass", 0.0), (0.9, 4, 0, None, "not applicable", 0.9396)])
def test_small_losses_do_not_add_up(before: float, missed: int, champion_missed: int, limit: float | None,
                                    verdict: str, slide: float) -> None:
    asked = Gate(champion={"max_AP50_slide": limit})
    given = evidence(set(range(missed)), set(range(champion_missed)), slide={"AP50": before})
    told = rule(accuracy_rules(asked, given, JUDGED), "AP50 since the best champion")
    assert told.verdict == verdict, told.reason
    assert told.numbers["slide"] == pytest.approx(slide, abs=1e-4)


def test_twenty_promotions_of_a_little_less_each_are_stopped_by_the_second() -> None:
    """Each step of 1.0 points is too small to be shown; together they are not let through."""
    slide: dict[str, float] = {}
    for step in range(20):
        rules = accuracy_rules(Gate(), evidence(set(range(step + 1)), set(range(step)), slide=slide), JUDGED)
        if any(one.verdict == "fail" for one in rules):
            break
        slide = {"AP50": rule(rules, "AP50 since the best champion").numbers["slide"],
                 "AP": rule(rules, "AP since the best champion").numbers["slide"]}
    assert step == 2 and rule(rules, "AP against the champion").verdict == "pass"


def test_what_cannot_be_measured_keeps_what_was_lost_before() -> None:
    given = evidence(set(), slide={"AP": 0.015}, contest=None, unmeasured="gone")
    rules = accuracy_rules(Gate(), given, JUDGED)
    assert rule(rules, "AP since the best champion").numbers["slide"] == 0.015
    assert rule(rules, "AP against the champion").verdict == "not applicable"
    assert rule(rules, "AP floor").verdict == "pass"


def test_no_ground_truth_at_all_is_no_yes() -> None:
    empty = dataset_of(["round"], 3, [])
    given = evidence(set(), dataset=empty, contest=Contest(empty, lambda _: found({0}), found({0})))
    rules = accuracy_rules(Gate(), given, JUDGED)
    assert rule(rules, "AP against the champion").verdict == "fail"


def classes(asked: dict[str, Any], measured: dict[str, tuple[float | None, int]]) -> Rule:
    table = evaluation()
    table["artefacts"][JUDGED]["per_class"] = {
        name: {"AP": value, "AP50": value, "ground_truth": boxes} for name, (value, boxes) in measured.items()}
    return class_rules(Gate(classes=asked), Evidence(table, {}, {}), JUDGED)[-1]


@pytest.mark.parametrize(("asked", "measured", "verdict", "words"), [
    ({"AP50": 0.5}, {"a": (0.5, 20), "b": (0.9, 20)}, "pass", "a 0.5000, at least 0.5000; b 0.9000"),
    ({"AP50": 0.5}, {"a": (0.49, 20), "b": (0.9, 20)}, "fail", "1 of 2 below: a 0.4900, at least 0.5000"),
    ({"AP50": 0.5}, {"a": (0.1, 19), "b": (0.9, 20)}, "pass", "not asked, fewer than 20 boxes: a (19)"),
    ({"AP50": 0.5}, {"a": (0.1, 19)}, "not applicable", "a (19)"),
    ({"AP50": 0.5, "min_boxes": 10}, {"a": (0.1, 19)}, "fail", "a 0.1000"),
    ({"AP50": None}, {"a": (0.0, 99)}, "not applicable", "no floor is asked"),
    ({"AP50": 0.5, "named": {"a": {"AP50": 0.8}}}, {"a": (0.7, 20), "b": (0.6, 20)}, "fail", "a 0.7000, at least 0.80"),
    ({"AP50": 0.5, "named": {"a": {"AP50": None}}}, {"a": (0.0, 20), "b": (0.6, 20)}, "pass", "b 0.6000"),
    ({"AP50": 0.5, "named": {"c": {"AP50": 0.8}}}, {"a": (0.7, 20)}, "fail", "the gate names c; the classes are a"),
    ({"AP50": 0.1}, {f"{i:02d}": (0.0, 50) for i in range(30)}, "fail", "30 of 30 below: 00 0.0000"),
    ({"AP50": 0.1}, {"a": (None, 0)}, "not applicable", "a (0)")])
def test_floors_of_classes(asked: dict[str, Any], measured: dict[str, Any], verdict: str, words: str) -> None:
    told = classes(asked, measured)
    assert (told.verdict, words in told.reason) == (verdict, True), told.reason
    assert len(told.reason) < 600


def test_floors_of_ap_are_a_rule_of_their_own_when_asked() -> None:
    given = Evidence(evaluation(), {}, {})
    assert [one.name for one in class_rules(Gate(), given, JUDGED)] == ["AP50 of each class"]
    asked = Gate(classes={"named": {"round": {"AP": 0.6}}})
    assert [(one.name, one.verdict) for one in class_rules(asked, given, JUDGED)] == [
        ("AP of each class", "fail"), ("AP50 of each class", "pass")]


def slices(asked: dict[str, Any], given: Evidence) -> dict[str, Rule]:
    return {one.name: one for one in slice_rules(Gate(slices=[asked]), given, JUDGED)}


def test_a_loss_on_one_size_of_boxes_is_seen_there_alone() -> None:
    lost = {i for i in range(IMAGES) if i % 3 == 0 and i < 60}  # 20 of the 34 small ones
    told = slices({"by": "box_size"}, evidence(lost))
    assert {name: one.verdict for name, one in told.items()} == {
        "AP50 of box_size small": "fail", "AP50 of box_size medium": "pass", "AP50 of box_size large": "pass"}
    small = told["AP50 of box_size small"].numbers
    assert small["champion"] == 1.0 and small["change"] == pytest.approx(-0.59, abs=0.02)


def test_tags_with_floors_and_too_few_pictures() -> None:
    tags = [["night"] if i < 30 else ["rain", "day"] if i < 40 else ["day"] for i in range(IMAGES)]
    given = evidence(set(range(15)), dataset=pictures(tags=tags))
    told = slices({"by": "tags", "floor": 0.7, "max_drop": None}, given)
    assert (told["AP50 of tags night, floor"].verdict, told["AP50 of tags day, floor"].verdict) == ("fail", "pass")
    assert told["tags rain"].verdict == "not applicable" and "10 pictures and 10 boxes" in told["tags rain"].reason
    assert "0.5050, at least 0.7000 (30 pictures, 30 boxes)" in told["AP50 of tags night, floor"].reason


@pytest.mark.parametrize(("asked", "columns", "names"), [
    ({"by": "folder"}, {"file": [f"{'a' if i < 50 else 'b'}/{i}.png" for i in range(IMAGES)]},
     ["AP50 of folder a", "AP50 of folder b"]),
    ({"by": "group", "only": ["x", "z"]}, {"group": ["x" if i < 50 else "y" for i in range(IMAGES)]},
     ["group z", "AP50 of group x"]),
    ({"by": "picture_size", "edges": [640]}, {"width": [640 if i < 50 else 641 for i in range(IMAGES)]},
     ["AP50 of picture_size up to 640 px", "AP50 of picture_size above 640 px"]),
    ({"by": "attributes.camera"}, {"attributes": ['{"camera": 1}' if i < 50 else '{"camera": 2}' if i < 99 else None
                                                  for i in range(IMAGES)]},
     ["AP50 of attributes.camera 1", "AP50 of attributes.camera 2"]),
    ({"by": "folder", "most": 1}, {"file": [f"{i % 2}/{i}.png" for i in range(IMAGES)]},
     ["AP50 of folder 0", "slices by folder"]),
    ({"by": "folder"}, {}, ["slices by folder"]), ({"by": "tags"}, {}, ["slices by tags"])])
def test_ways_to_part_pictures(asked: dict[str, Any], columns: dict[str, Any], names: list[str]) -> None:
    assert list(slices(asked, evidence(set(), dataset=pictures(**columns)))) == names


def test_slices_without_pictures_or_without_anything_to_ask() -> None:
    told = slices({"by": "tags", "floor": 0.5}, evidence(set(), contest=None, unmeasured="data/split is not here"))
    assert [(one.verdict, one.reason) for one in told.values()] == [("not applicable", "data/split is not here")]
    alone = evidence(set(), champion=None, contest=Contest(pictures(), lambda _: found(FOUND_ALL)))
    assert "no floor is asked" in slices({"by": "box_size"}, alone)["slices by box_size"].reason
    assert slices({"by": "box_size", "floor": 0.9}, alone)["AP50 of box_size small, floor"].verdict == "pass"


@pytest.mark.parametrize(("by", "mend"), [("tag", "did you mean 'tags'"), ("digest", "there are: box_size")])
def test_a_slice_that_there_cannot_be(by: str, mend: str) -> None:
    with pytest.raises(ParamsError, match=f"cannot be parted by '{by}'") as caught:
        slices({"by": by}, evidence(set()))
    assert mend in str(caught.value)


def test_pictures_are_not_drawn_for_a_file_that_is_out_already(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    given = evidence(set(), exports={"cpu-fp32": export_json(0.9), "cpu-int8": export_json()},
                     findings={"checked": {"images": 1, "annotations": 1}})
    monkeypatch.setattr("tasks.registry.gates.gate.artefact_rules",
                        lambda gate, one, artefact: asked.append(artefact) or artefact_rules(gate, one, artefact))
    report = judge(Gate(prefer="pruned/cpu-fp32"), given)
    assert report.artefact == JUDGED and asked == [JUDGED] and len(KINDS) == 6
