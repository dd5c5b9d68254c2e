"""The same pictures before and after compression, and the boxes that are drawn on pictures."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.reporting import boxes, words
from tasks.reporting.boxes import NOTHING, Found
from tasks.reporting.inputs import Material
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.pictures import Album, Mark, captioned, chips, gallery
from tasks.reporting.section import Section, none

FEW_CLASSES = 8  # as many as the palette has colours
LEAST_SCORE = 0.1  # weaker detections are not in the page
MOST_BOXES = 40  # detections of one picture in the page
CANDIDATES = 2000  # pictures that are searched for differences


def comparison(material: Material, album: Album, wanted: int, threshold: float) -> Section:
    lead = (
        f"The same {material.split} pictures through every artefact. Half of them are the ones on which "
        "the first and the last artefact differ most, the rest are spread evenly over the split."
    )
    title = "Before and after compression"
    if not material.detections:
        return Section("comparison", title, lead, [none("There are no detections of any artefact to compare.")])
    found = {name: boxes.by_picture(t) for name, t in material.detections.items()}
    chosen = compared(material, found, wanted, threshold)
    if not chosen:
        return Section(
            "comparison", title, lead, [none(f"No {material.split} pictures are there, or none were asked for.")]
        )
    rows = [_comparison_row(material, album, found, image, threshold) for image in chosen]
    return Section("comparison", title, lead, [_slider(threshold), legend(material.classes), *rows])


def compared(material: Material, found: dict[str, dict[int, Found]], wanted: int, threshold: float) -> list[int]:
    """Pictures to show, by image id: the most changed ones first half, then evenly spread ones."""
    ids = material.judged.images["image_id"].to_pylist()
    before, after = (list(found.values())[i] for i in (0, -1))

    def changes(image: int) -> int:
        pair = [side.get(image, NOTHING).above(threshold) for side in (before, after)]
        return sum(boxes.changed(*pair))

    ranked = sorted(((changes(i), i) for i in boxes.spread(ids, CANDIDATES)), key=lambda p: (-p[0], p[1]))
    most = [i for n, i in ranked[: wanted // 2] if n]
    return [*most, *boxes.spread([i for i in ids if i not in most], wanted - len(most))]


def _comparison_row(
    material: Material, album: Album, found: dict[str, dict[int, Found]], image: int, threshold: float
) -> Markup:
    file, size = material.pictures[image]
    truth = truth_marks(material, image)
    shots = [
        captioned(
            album.shot(file, size, truth, label=f"{file}, as labelled"), "Labelled", words.plural(len(truth), "box")
        )
    ]
    first = next(iter(found.values())).get(image, NOTHING).above(threshold)
    for place, (name, pictures) in enumerate(found.items()):
        seen = pictures.get(image, NOTHING)
        gone, new = boxes.changed(first, seen.above(threshold))
        said = "the reference" if place == 0 else "no box changed" if not gone + new else f"{gone} gone, {new} new"
        shot = album.shot(file, size, detection_marks(material, seen), label=f"{file}, {name}")
        shots.append(captioned(shot, name, f"{words.plural(len(seen.above(threshold).scores), 'box')}, {said}"))
    return element("div", element("h3", shorten(file, 90)), gallery(shots, "gallery small"), class_="row")


def truth_marks(material: Material, image: int) -> list[Mark]:
    corners, ids = material.truth.get(image, (NOTHING.boxes, NOTHING.class_ids))
    return [_mark(material, box, int(c)) for box, c in zip(corners, ids, strict=True)]


def detection_marks(material: Material, found: Found) -> list[Mark]:
    kept = found.above(LEAST_SCORE, MOST_BOXES)
    return [
        _mark(material, box, int(c), float(s))
        for box, s, c in zip(kept.boxes, kept.scores, kept.class_ids, strict=True)
    ]


def _mark(material: Material, box: Sequence[float], class_id: int, score: float | None = None) -> Mark:
    name = material.classes[class_id] if 0 <= class_id < len(material.classes) else f"class {class_id}"
    said = name if score is None else f"{name} {score:.2f}"
    label = shorten(name, 16) if len(material.classes) > FEW_CLASSES else ""
    return Mark(box, class_id, said, score, label=label)


def _slider(threshold: float) -> Markup:
    slider = element(
        "input",
        type="range",
        min="0.1",
        max="0.95",
        step="0.05",
        value=f"{max(threshold, LEAST_SCORE):.2f}",
        data_threshold=True,
        id="threshold",
    )
    label = element("label", "Score threshold", for_="threshold")
    return element(
        "div", label, slider, element("output", f"{threshold:.2f}", for_="threshold"), class_="control", hidden=True
    )


def legend(classes: Sequence[str]) -> Markup:
    """What the colours of boxes mean; with more classes than colours the boxes carry their names."""
    if len(classes) > FEW_CLASSES:
        return element("p", "Boxes carry the name of their class; colours repeat.", class_="dim")
    return chips(list(classes), list(range(len(classes))))
