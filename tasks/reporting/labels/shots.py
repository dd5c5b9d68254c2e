"""Pictures of suspicious places: the label in one colour, what the model says in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.markup import Child, Markup, element, shorten
from tasks.reporting.pictures import Album, Mark, captioned, window_around

LABEL, MODEL = 0, 1
# a crop shows this share of the picture's width at least: what stands around a place tells whether it is one
LEAST = 0.3
KINDS = {"overlooked": "Overlooked", "swapped": "Swapped", "badly located": "Badly placed"}

Place = Mapping[str, Any]


def corners(one: Place, names: Sequence[str] = ("x", "y", "w", "h")) -> list[float]:
    """x1, y1, x2, y2 of a row with x, y, w, h."""
    x, y, w, h = (float(one[name]) for name in names)
    return [x, y, x + w, y + h]


class Shots:
    """Draws places and pictures of one dataset.

    Args:
        images: image_id → the row of the picture; labels: image_id → its annotations.
        classes: the names of class ids.
    """

    def __init__(self, album: Album, images: Mapping[int, Place], labels: Mapping[int, Sequence[Place]],
                 classes: Sequence[str]) -> None:
        self.album, self.images, self.labels, self.classes = album, images, labels, classes

    def place(self, one: Place) -> Markup:
        """The picture around a place, with what speaks for and against it."""
        image = self.images[one["image_id"]]
        marks = self.marks(one)
        size = (image["width"], image["height"])
        window = window_around([mark.box for mark in marks], size, least=LEAST)
        around = [Mark(corners(label), LABEL, self.named(label), kind="other") for label in
                  self.labels.get(one["image_id"], ()) if label["annotation_id"] != one["annotation_id"]]
        shot = self.album.shot(image["file"], size, [*_within(around, window), *marks], window=window,
                               label=f"{one['kind']} in {shorten(image['file'], 60, keep_end=True)}")
        return captioned(shot, self.said(one), f"quality {one['quality']:.3f}", _file(image))

    def whole(self, rank: int, quality: float, places: Sequence[Place]) -> Markup:
        """A whole picture with all its places."""
        image = self.images[places[0]["image_id"]]
        asked = {one["annotation_id"] for one in places}
        marks = [Mark(corners(label), LABEL, self.named(label), kind="other") for label in
                 self.labels.get(image["image_id"], ()) if label["annotation_id"] not in asked]
        for one in places:
            marks += self.marks(one, short=len(places) > 3)
        counts = {kind: sum(one["kind"] == kind for one in places) for kind in KINDS}
        told = ", ".join(f"{count} {KINDS[kind].lower()}" for kind, count in counts.items() if count)
        shot = self.album.shot(image["file"], (image["width"], image["height"]), marks,
                               label=shorten(image["file"], 60, keep_end=True))
        return captioned(shot, f"{rank}. {told}", f"quality of the picture {quality:.3f}", _file(image))

    def marks(self, one: Place, short: bool = False) -> list[Mark]:
        """The label, if there is one, and the prediction, if there is one."""
        found = []
        if one["annotation_id"] is not None:
            name = self.classes[one["class_id"]]
            found.append(Mark(corners(one), LABEL, f"label: {name}", label="" if short else shorten(name, 16)))
        if one["px"] is not None:
            name = self.classes[one["says"]]
            box = corners(one, ("px", "py", "pw", "ph"))
            # two names in one place would cover each other: where they are the same, one is enough
            told = shorten(name, 16) if one["kind"] != "badly located" and not short else ""
            found.append(Mark(box, MODEL, f"model: {name}, {one['score']:.2f}", label=told))
        return found

    def said(self, one: Place) -> Child:
        """In words."""
        mine = element("bdi", shorten(self.classes[one["class_id"]], 32))
        if one["kind"] == "overlooked":
            return ["Overlooked ", mine, f"? the model is sure by {one['score']:.2f}"]
        if one["kind"] == "swapped" and one["says"] is None:
            return [mine, ", where another label stands"]
        if one["kind"] == "swapped":
            theirs = element("bdi", shorten(self.classes[one["says"]], 32))
            return [mine, " or ", theirs, f"? the model is sure by {one['score']:.2f}"]
        return [mine, f" badly placed? it overlaps what the model sees by {one['iou']:.2f}"]

    def named(self, label: Place) -> str:
        """A label's tooltip."""
        size = f"{words.digits(float(label['w']))} × {words.digits(float(label['h']))} px"
        return f"label: {self.classes[label['class_id']]}\n{size}"


def _within(marks: Sequence[Mark], window: tuple[int, int, int, int]) -> list[Mark]:
    return [mark for mark in marks if mark.box[0] < window[2] and mark.box[2] > window[0] and
            mark.box[1] < window[3] and mark.box[3] > window[1]]


def _file(image: Place) -> Markup:
    return element("bdi", shorten(image["file"].rpartition("/")[2], 28, keep_end=True), title=image["file"])
