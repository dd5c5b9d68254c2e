"""The review queue: worst first, labels as they were, what the model says beside them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa

from tasks.data.store.labelled import attributes_of
from tasks.data.store.layout import Version
from tasks.data.table import read_dataset
from tasks.labelling.checking.queue import queue, worst_pictures
from tasks.labelling.checking.suspects import Settings, find_suspects
from tasks.labelling.checking.telling import in_lines

from .conftest import CLASSES, SIDE, WIDTH, Place, changed, predictions_of

Make = Callable[[int], Place]


def wrong(here: Place) -> Version:
    """A lost label on picture 0, a moved one on 2, a swapped one on 4, and two on 6."""
    return here.publish("wrong", changed(here.dataset.annotations, drop=[0, 18], move=[7], swap=[12, 19]))


def made(here: Place, version: Version, top: int = 200, out: str = "wrong-review") -> tuple[Version, bool] | None:
    found = find_suspects(read_dataset(version.folder), predictions_of(here.dataset), Settings(sure=0.7))
    return queue(here.store, version, found, by="cells@3", top=top, out=out, owner="me", said={"folds": {"folds": 5}})


def test_the_labels_stay_and_what_the_model_says_is_beside_them(place: Make) -> None:
    here = place(20)
    version = wrong(here)
    review, new = made(here, version) or (version, False)
    told = read_dataset(review.folder)
    assert new and review.ref == "wrong-review@1" and told.images.num_rows == 4
    rows = told.annotations.to_pylist()
    before = [one for one in read_dataset(version.folder).annotations.to_pylist() if one["image_id"] in (0, 2, 4, 6)]
    kept = [one for one in rows if not one["source"].startswith("model:")]
    assert [[one[k] for k in ("class_id", "x", "y", "w", "h", "source")] for one in kept] == [
        [one[k] for k in ("class_id", "x", "y", "w", "h", "source")] for one in before]
    added = [one for one in rows if one["source"] == "model:cells@3"]
    truth = here.dataset.annotations.to_pylist()
    assert len(added) == 2 and added[0]["class_id"] == truth[0]["class_id"] and abs(added[0]["x"] - truth[0]["x"]) < 2
    assert 0.7 < added[0]["score"] <= 1 and abs(added[0]["score"] + added[0]["difficulty"] - 1) < 1e-6
    asked = [json.loads(one["attributes"])["review_queue"] for one in rows if one["attributes"]]
    assert sorted(one["kind"] for one in asked) == ["badly located", "overlooked", "overlooked", "swapped", "swapped"]
    swapped = next(one for one in asked if one["kind"] == "swapped")
    assert swapped["suggests"]["class"] in CLASSES and len(swapped["suggests"]["box"]) == 4


def test_pictures_come_worst_first_and_who_sorts_by_difficulty_has_the_same_order(place: Make) -> None:
    here = place(20)
    review, _ = made(here, wrong(here)) or (here.truth, False)
    told, prelabel = attributes_of(review, "review_queue"), attributes_of(review, "prelabel")
    ranks = {image: one["rank"] for image, one in told.items()}
    assert sorted(ranks.values()) == [1, 2, 3, 4]
    by_difficulty = sorted(prelabel, key=lambda image: -prelabel[image]["difficulty"])
    assert by_difficulty == sorted(ranks, key=lambda image: ranks[image])
    assert len({one["difficulty"] for one in prelabel.values()}) == 4
    first = told[by_difficulty[0]]
    assert set(first) == {"rank", "kind", "quality", "box", "places", "note"} and len(first["box"]) == 4
    # the fourth of the kept pictures is the one with two places
    assert len(told[3]["places"]) == 2 and "overlooked?" in told[3]["note"] and "swapped?" in told[3]["note"]


def test_top_keeps_the_worst_and_the_same_again_is_nothing_new(place: Make) -> None:
    here = place(20)
    version = wrong(here)
    found = find_suspects(read_dataset(version.folder), predictions_of(here.dataset), Settings(sure=0.7))
    worst = [*worst_pictures(found, 2)]
    first, new = made(here, version, top=2) or (version, False)
    digests = read_dataset(version.folder).images["digest"].to_pylist()
    assert new and set(read_dataset(first.folder).images["digest"].to_pylist()) == {digests[one] for one in worst}
    assert made(here, version, top=2) == (first, False)


def test_right_labels_give_no_queue(place: Make) -> None:
    here = place(20)
    assert made(here, here.truth) is None and here.store.latest("wrong-review") is None
    found = find_suspects(here.dataset, predictions_of(here.dataset))
    assert len(in_lines(found, here.dataset)) == 1 and in_lines(found, here.dataset)[0].startswith("0 suspicious")


def test_a_box_that_leaves_the_picture_is_cut(place: Make) -> None:
    here = place(20)
    far = {"image_id": 3, "class_id": 0, "x": WIDTH - 4.0, "y": -6.0, "w": 30.0, "h": 8.0, "score": 0.999}
    predictions = predictions_of(here.dataset)
    predictions = pa.concat_tables([predictions, pa.Table.from_pylist([far], schema=predictions.schema)])
    found = find_suspects(here.dataset, predictions, Settings(sure=0.6))
    review, _ = queue(here.store, here.truth, found, by="m", top=5, out="r", owner="me", said={}) or (here.truth, False)
    [added] = [one for one in read_dataset(review.folder).annotations.to_pylist() if one["source"] == "model:m"]
    assert (added["x"], added["y"], added["w"], added["h"]) == (WIDTH - 4, 0, 4, 2)


def test_the_console_names_the_worst(place: Make) -> None:
    here = place(20)
    version = wrong(here)
    found = find_suspects(read_dataset(version.folder), predictions_of(here.dataset), Settings(sure=0.7))
    lines = in_lines(found, read_dataset(version.folder), lines=3)
    assert lines[0].startswith("5 suspicious places on 4 of 20 pictures: 2 overlooked, 1 badly located, 2 swapped")
    assert len(lines) == 6 and lines[2].split()[0] == "1" and "and 1 more pictures" in lines[5]
    assert any("006.png" in line and "and 1 more" in line for line in in_lines(found, read_dataset(version.folder)))
    assert SIDE
