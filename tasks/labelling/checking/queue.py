"""The review queue: a version of the suspicious pictures, worst first, ready to be sent to people.

The labels stay as they are. Beside them: an overlooked object comes as a box of the model, as pre-labels do; a label
that looks swapped or badly placed carries what the model says in its attributes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, conform, read_dataset
from tasks.labelling.checking.elsewhere import MODEL
from tasks.labelling.checking.suspects import PREDICTED, Suspects

KEY = "review_queue"
LOST = "overlooked"
BOX = ("x", "y", "w", "h")
TRIFLE = 1e-6


def queue(store: Store, parent: Version, suspects: Suspects, *, by: str, top: int, out: str, owner: str,
          said: Mapping[str, Any]) -> tuple[Version, bool] | None:
    """Publish the `top` worst pictures that have a suspicious place; None where there is none.

    Of each picture `attributes.review_queue` has `rank` (from 1), `kind`, `quality` and `box` [x, y, w, h] of its worst
    place, `places` of all, and `note`, which tells a person what to look at. Its `prelabel.difficulty` is 1 − the
    picture's quality, a trifle less for each rank: who sorts by difficulty has the same order, also of pictures that
    are equally bad.

    Args:
        by: the name of the model that speaks against the labels.
        said: how it was found, for the recipe.
    """
    ranked = worst_pictures(suspects, top)
    if not ranked:
        return None
    dataset = read_dataset(parent.folder)
    names = dataset.meta.classes
    quality = dict(zip(*(suspects.pictures[name].to_pylist() for name in ("image_id", "quality")), strict=True))
    before = attributes_of(parent, "prelabel")
    pictures = {image: _described(rank, places, quality[image], names, by, before.get(image) or {})
                for rank, (image, places) in enumerate(ranked.items(), 1)}
    keep = np.array([*ranked], np.int64)
    labels = dataset.annotations.filter(pa.array(np.isin(dataset.annotations["image_id"].to_numpy(), keep)))
    places = [place for some in ranked.values() for place in some]
    table = pa.concat_tables([_marked(labels, places, names, by), _added(places, by, _sizes(dataset.images))])
    return publish_labels(store, parent, out=out, owner=owner, keep=keep, annotations=table, pictures=pictures,
                          said={"by": f"{MODEL}{by}", "checking": "errors", "top": top, **said})


def worst_pictures(suspects: Suspects, top: int) -> dict[int, list[dict[str, Any]]]:
    """image_id → its suspicious places, worst first; the `top` worst pictures that have one, in order."""
    places: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for place in suspects.places.to_pylist():
        places[place["image_id"]].append(place)
    order = [image for image in suspects.pictures["image_id"].to_pylist() if image in places]
    return {image: places[image] for image in order[:top]}


def in_words(place: Mapping[str, Any], names: Sequence[str]) -> str:
    """What is said against a label, or in favour of one that is missing."""
    mine, x, y = names[place["class_id"]], round(place["x"]), round(place["y"])
    if place["kind"] == LOST:
        return f"overlooked? {mine} at {x}, {y} ({place['score']:.2f})"
    if place["says"] is None:
        return f"swapped? {mine} at {x}, {y} stands where another label is"
    if place["kind"] == "swapped":
        return f"swapped? {mine} at {x}, {y} looks like {names[place['says']]} ({place['score']:.2f})"
    return f"badly placed? {mine} at {x}, {y} overlaps what is seen by {place['iou']:.2f}"


def _described(rank: int, places: Sequence[Mapping[str, Any]], quality: float, names: Sequence[str],
               by: str, before: Mapping[str, Any]) -> dict[str, Any]:
    listed = [{"kind": one["kind"], "quality": _short(one["quality"]), "box": [_short(one[side]) for side in BOX]}
              for one in places]
    told = {"rank": rank, "kind": listed[0]["kind"], "quality": _short(quality), "box": listed[0]["box"],
            "places": listed, "note": "; ".join(in_words(one, names) for one in places)}
    difficulty = round(1 - min(quality + rank * TRIFLE, 1.0), 6)
    return {KEY: told, "prelabel": {**before, "model": by, "difficulty": difficulty}}


def _marked(labels: pa.Table, places: Sequence[Mapping[str, Any]], names: Sequence[str], by: str) -> pa.Table:
    """The labels as they were; those in question say so in their attributes."""
    asked = {one["annotation_id"]: _question(one, names, by) for one in places if one["annotation_id"] is not None}
    texts = [_joined(text, asked.get(number)) for number, text in
             zip(labels["annotation_id"].to_pylist(), labels["attributes"].to_pylist(), strict=True)]
    where = labels.schema.get_field_index("attributes")
    return labels.set_column(where, ANNOTATIONS.field("attributes"), pa.array(texts, pa.string()))


def _question(place: Mapping[str, Any], names: Sequence[str], by: str) -> dict[str, Any]:
    told = {"kind": place["kind"], "quality": _short(place["quality"]), "by": by}
    if place["says"] is not None:
        told["suggests"] = {"class": names[place["says"]], "score": _short(place["score"]),
                            "box": [_short(place[side]) for side in PREDICTED]}
    return told


def _joined(text: str | None, added: Mapping[str, Any] | None) -> str | None:
    if added is None:
        return text
    return json.dumps((json.loads(text) if text else {}) | {KEY: added}, sort_keys=True, ensure_ascii=False)


def _sizes(images: pa.Table) -> dict[int, tuple[int, int]]:
    ids, width, height = (images[name].to_pylist() for name in ("image_id", "width", "height"))
    return {image: (wide, tall) for image, wide, tall in zip(ids, width, height, strict=True)}


def _added(places: Sequence[Mapping[str, Any]], by: str, sizes: Mapping[int, tuple[int, int]]) -> pa.Table:
    """Overlooked objects as boxes of the model, as far as they are in the picture."""
    lost = [_inside(one, *sizes[one["image_id"]]) for one in places if one["kind"] == LOST]
    columns: dict[str, list[Any]] = {name: [one[name] for one in lost] for name in ("image_id", "class_id", *BOX)}
    score = [float(one["score"]) for one in lost]
    columns |= {"annotation_id": [0] * len(lost), "row": [""] * len(lost), "source": [MODEL + by] * len(lost),
                "area": [one["w"] * one["h"] for one in lost], "iscrowd": [False] * len(lost),
                "difficult": [False] * len(lost), "score": score, "difficulty": [1 - one for one in score],
                "attributes": [_joined(None, {"kind": LOST, "quality": _short(one["quality"]), "by": by})
                               for one in lost]}
    typed = {name: pa.array(column, ANNOTATIONS.field(name).type) for name, column in columns.items()}
    return conform(pa.table(typed), ANNOTATIONS)


def _inside(place: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    left, top = (min(max(place[side], 0.0), float(most)) for side, most in (("x", width), ("y", height)))
    right, low = min(place["x"] + place["w"], float(width)), min(place["y"] + place["h"], float(height))
    return {**place, "x": left, "y": top, "w": max(right - left, 0.0), "h": max(low - top, 0.0)}


def _short(value: float) -> float:
    return float(f"{value:.4g}")
