"""The card's parts: advice, the recipe's command, what differs between two versions, charts and overlays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.data import sql
from tasks.data.shapes import encode
from tasks.data.table import read_meta
from tasks.reporting.card import card, facts
from tasks.reporting.card.advice import advice
from tasks.reporting.card.changes import changes, class_changes
from tasks.reporting.card.frames import around
from tasks.reporting.card.overlay import mask_layer, overlay, runs_layer
from tasks.reporting.card.plots import Series, histogram, places, stack
from tasks.reporting.card.recipe import command, told

from .test_card import detection, label, picture, write


def spoken(folder: Path, near: dict[str, Any] | None = None) -> list[str]:
    return [one.what for one in advice(facts(folder), near)]


def test_uneven_rare_and_absent_classes_are_named(tmp_path: Path) -> None:
    labels = [label(i, 0, int(i >= 200), (1, 1, 20, 20)) for i in range(219)]
    images = [picture(0, "a.jpg", "train"), picture(1, "b.jpg", "val")]
    found = spoken(write(tmp_path / "table", images, labels, ["cat", "dog", "bird"], licence=None))
    assert found == [
        "Classes are uneven: cat has 11× as many labels as dog (200 against 19).",
        "1 class with fewer than 20 labels: dog (19).",
        "1 class without a label: bird.",
        "1 picture without a label (50 %).",
        "No licence is noted.",
    ]


def test_twenty_labels_and_a_ratio_below_ten_are_fine(tmp_path: Path) -> None:
    labels = [label(i, 0, int(i >= 199), (1, 1, 20, 20)) for i in range(219)]
    assert spoken(write(tmp_path / "table", [picture(0, "a.jpg", "train")], labels, ["cat", "dog"])) == []


@pytest.mark.parametrize(("split", "strong"), [("train", True), ("test", False)])
def test_a_class_that_a_split_lacks_is_named(tmp_path: Path, split: str, strong: bool) -> None:
    images = [picture(0, "a.jpg", split), picture(1, "b.jpg", "val")]
    labels = [label(i, int(i % 3 == 0), int(i % 3 == 0), (1, 1, 20, 20)) for i in range(60)]
    labels += [label(60 + i, 1, 0, (1, 1, 20, 20)) for i in range(3)]
    found = advice(facts(write(tmp_path / "table", images, sorted(labels, key=lambda one: one["image_id"]),
                               ["cat", "dog"])))
    assert [(one.what, one.strong) for one in found] == [(f"The {split} split has no label of dog.", strong)]


def test_splits_copies_flaws_and_tiny_boxes_are_named(tmp_path: Path) -> None:
    images = [picture(0, "a.jpg", "train", (640, 480), digest="same"), picture(1, "b.jpg", None, (640, 480),
                                                                               digest="same")]
    labels = [label(i, i // 10, 0, (5, 5, 6 if i % 2 else 60, 6 if i % 2 else 60)) for i in range(20)]
    labels += [label(20, 1, 0, (5, 5, 0, 6))]
    assert spoken(write(tmp_path / "table", images, labels, ["cat"])) == [
        "1 picture without a split.", "1 box without a size, or with one that is no number.",
        "50 % of the boxes are below 2.2 % of their picture's side.", "1 picture with the same bytes as another one."]


def test_leaks_come_first_and_are_strong(tmp_path: Path) -> None:
    near = {"leaks": 2, "between": [["train", "test", 2]]}
    found = advice(facts(write(tmp_path / "table", [picture(0, "a.jpg")], [], ["cat"])), near)
    assert (found[0].what, found[0].strong) == ("2 near-duplicate pairs in two splits: train and test (2).", True)
    assert found[0].command == "visionmill data leaks tiny"
    assert [one.what for one in found[1:]] == ["Nothing is labelled.", "No picture belongs to a split yet."]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [({"import": {"format": ["coco"], "from": "my cells.zip"}},
      "visionmill data import 'my cells.zip' --format coco --name cells"),
     ({"operation": "filter", "parameters": {"expression": "area > 100"}, "parents": [{"ref": "a@1", "digest": "0"}]},
      "visionmill data filter a@1 'area > 100' --out cells"),
     ({"operation": "filter", "parameters": {"expression": "class in ('a')"}, "parents": [{"ref": "a@1"}]},
      "visionmill data filter a@1 \"class in ('a')\" --out cells"),
     ({"operation": "filter", "parameters": {"expression": "'$(rm)'"}, "parents": [{"ref": "a@1"}]},
      """visionmill data filter a@1 ''"'"'$(rm)'"'"'' --out cells"""),
     ({"operation": "sample", "parameters": {"count": 5, "rate": None, "stratify": True, "keep_empty": False, "by": []},
       "parents": [{"ref": "a@1"}]}, "visionmill data sample a@1 --count 5 --stratify --no-keep-empty --out cells"),
     ({"operation": "relabel", "parameters": {"map": {"old one": "new"}}, "parents": [{"ref": "a@1"}]},
      "visionmill data relabel a@1 --map 'old one=new' --out cells"),
     ({"operation": "merge", "parameters": {"conflict": "first", "splits": ["a", "b"]},
       "parents": [{"ref": "a@1"}, {"ref": "b@2"}]},
      "visionmill data merge a@1 b@2 --conflict first --splits a b --out cells"),
     ({"ingest": {"sources": [["voc", "Annotations"]]}}, None), ({}, None), ({"operation": 3}, None)],
)  # fmt: skip
def test_recipe_as_a_command(recipe: dict[str, Any], said: str | None) -> None:
    assert command({"recipe": recipe, "name": "cells"}) == said


def test_recipe_as_words() -> None:
    recipe = {"operation": "merge", "parameters": {"conflict": "first", "none": None}, "seed_of": 3,
              "parents": [{"ref": "a@1", "digest": "00"}, {"ref": "b@2", "more": 1}]}
    assert told(recipe) == [("operation", "merge"), ("parameters · conflict", "first"), ("seed of", "3"),
                            ("parents", 'a@1, {"more": 1, "ref": "b@2"}')]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Before: a, b, c. After: b as it was and a copy, c with another box and in another split, d new, `dog` renamed."""
    was = [picture(0, "a.jpg", "train", digest="a"), picture(1, "b.jpg", "train", digest="b"),
           picture(2, "c.jpg", "train", digest="c")]
    now = [picture(0, "new/b.jpg", "train", digest="b"), picture(1, "new/c.jpg", "val", digest="c"),
           picture(2, "new/d.jpg", digest="d"), picture(3, "new/e.jpg", "test", digest="d"),
           picture(4, "new/f.jpg", "train", digest="b")]
    before = [label(0, 0, 1, (1, 1, 5, 5)), label(1, 1, 0, (1, 1, 5, 5)), label(2, 1, 0, (2, 2, 5, 5)),
              label(3, 2, 0, (1, 1, 5, 5))]
    after = [label(0, 0, 1, (2, 2, 5, 5)), label(1, 0, 1, (1, 1, 5, 5)), label(2, 1, 1, (1, 1, 5, 6)),
             label(3, 4, 1, (2, 2, 5, 5)), label(4, 4, 1, (1, 1, 5, 5))]
    return (write(tmp_path / "now", now, after, ["bird", "cat"], name="after"),
            write(tmp_path / "was", was, before, ["cat", "dog"], name="before"))


def test_changes_are_counted_by_digest(two: tuple[Path, Path]) -> None:
    with sql.tables(it=two[0], was=two[1]) as connection:
        found = changes(connection, read_meta(two[0]), read_meta(two[1]))
    # b is there twice, with the same labels under another number of its class and in another order; c's box is taller
    assert {key: found[key] for key in ("added", "removed", "kept", "relabelled")} == {
        "added": 1, "removed": 1, "kept": 2, "relabelled": 1}
    assert found["moved"] == [["train", "val", 1]]
    assert found["shown"] == {"added": [2], "removed": [0]}


def test_changes_of_classes_are_by_name(two: tuple[Path, Path]) -> None:
    found = class_changes(*(facts(folder)["classes"] for folder in two))
    assert [(one["class"], one["labels"], one["pictures"], one["is_new"], one["is_gone"]) for one in found] == [
        ("cat", [3, 5], [2, 3], False, False), ("dog", [1, 0], [1, 0], False, True),
        ("bird", [0, 0], [0, 0], True, False)]


def test_both_versions_are_in_every_distribution(tmp_path: Path, two: tuple[Path, Path]) -> None:
    now, pictures = detection(tmp_path / "more", 6, name="after")
    card(now, pictures, tmp_path / "card.html", against=(two[1], tmp_path), samples=2)
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    for title in ("Size", "Small, medium, large", "Size in the picture", "Shape", "Boxes on a picture",
                  "Boxes of each class", "Pictures with each class", "Labels of each class", "Pictures of each split"):
        figure = re.search(rf"<b>{title}</b>.*?</figure>", text, re.S)
        assert figure and "<bdi>after</bdi>" in figure.group() and "<bdi>before</bdi>" in figure.group(), title
    assert "Place, after" in text and "Place, before" in text
    changed = text[text.index('<section id="changes"') :].split("</section>")[0]
    assert "Added, a few" in changed and "Removed, a few" in changed
    assert "The picture a.jpg could not be read." in changed


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path)
    card(folder, pictures, tmp_path / "card.html", against=(folder, pictures), samples=1)
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "From tiny (before) to tiny." in text
    assert "Relabelled</dt><dd class=\"big\">0<" in text


def test_histogram_tells_every_side_of_a_bin() -> None:
    sides = [Series("train", 0, [3, 1]), Series("val", 1, [0, 5]), Series("test", 2, [0, 0])]
    drawn = histogram(sides, [0, 1, 2], title="t", x="x", y="y", said=lambda k: f"bin {k}")
    assert "bin 0\ntrain: 75 % (3)\nval: 0.0 % (0)" in drawn
    assert drawn.count('class="hit"') == 2
    assert "test" not in drawn
    alone = histogram(sides[:1], [1, 10, 100], title="t", x="x", y="y", said=str, log=True)
    assert (alone.count('class="bar s0"'), alone.count('class="hit"')) == (2, 0)


@pytest.mark.parametrize("drawn", [
    histogram([], [], title="t", x="x", y="y", said=str, missing="no <bin>"),
    histogram([Series("a", 0, [0])], [0, 1], title="t", x="x", y="y", said=str, missing="no <bin>"),
    stack([], [], title="t", x="x", missing="no <bin>"), stack(["a"], [Series("a", 0, [0])], title="t", x="x",
                                                               missing="no <bin>"),
    places([], 1, title="t", missing="no <bin>"), places([[0]], 1, title="t", missing="no <bin>")])  # fmt: skip
def test_nothing_to_draw_is_said(drawn: str) -> None:
    assert "<svg" not in drawn and "no &lt;bin&gt;" in drawn


def test_stacked_bars_end_with_their_sum() -> None:
    drawn = stack(["cat", "dog"], [Series("train", 0, [3, 0]), Series("val", 1, [2, 0])], title="t", x="x")
    assert (drawn.count("<rect"), ">5</text>" in drawn, ">0</text>" in drawn) == (2, True, True)


def test_ticks_of_small_counts_are_whole() -> None:
    drawn = histogram([Series("a", 0, [1] * 13)], [k - 0.5 for k in range(14)], title="t", x="x", y="y", said=str)
    ticks = re.findall(r'text-anchor="middle" class="tick">([^<]*)<', drawn)
    assert ticks == ["0", "5", "10"]


@pytest.mark.parametrize(("box", "size"), [((0, 0, 10, 10), (640, 480)), ((630, 470, 10, 10), (640, 480)),
                                           ((0, 0, 640, 480), (640, 480)), ((-50, 900, 10, 10), (640, 480)),
                                           ((0, 0, 1, 1), (1, 1)), ((0, 0, 1e300, 1e300), (5, 900))])
def test_crop_lies_in_the_picture(box: tuple[float, ...], size: tuple[int, int]) -> None:
    left, top, right, bottom = around(label(0, 0, 0, box), picture(0, "a.jpg", size=size))
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


def test_names_of_boxes_do_not_cover_each_other() -> None:
    names = [f"class {i}" for i in range(9)]
    boxes = [label(0, 0, 0, (10, 50, 100, 100)), label(1, 0, 1, (12, 51, 90, 90)), label(2, 0, 2, (10, 300, 50, 50))]
    row = [{"polygons": None, "keypoints": None, "rle": None, "truncation": None, "occlusion": None, "score": 0.5,
            "uncertainty": None} | one for one in boxes]
    drawn = overlay(row, names, (0, 0, 640, 480))
    assert re.findall(r"<text[^>]*>([^<]*)</text>", str(drawn)) == ["class 0", "class 2"]
    assert "class 1\n90 × 90 px\nscore 0.5" in str(drawn)
    assert overlay([], names, (0, 0, 640, 480)) is None


def test_layers_of_masks_are_pictures_or_nothing() -> None:
    mask = np.zeros((30, 40), bool)
    mask[5:9, 5:9] = True
    good = label(0, 0, 0, (5, 5, 4, 4), rle=encode(mask))
    for bad in ({"h": 30, "w": 40, "counts": "0"}, {"h": None, "w": 40, "counts": "0"}, {"h": 10**6, "w": 10**6,
                                                                                        "counts": "0"}):
        assert runs_layer([label(1, 0, 0, (1, 1, 2, 2), rle=bad)], (0, 0, 40, 30)) is None
    assert str(runs_layer([good], (0, 0, 40, 30))).startswith("data:image/png;base64,")
    assert mask_layer(mask.astype(np.int32), ["background", "cat"], (0, 0, 40, 30)).startswith("data:image/png;base64,")
