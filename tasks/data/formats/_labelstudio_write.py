"""Writing Label Studio: `tasks.json` to import, `label_config.xml` for the project, and the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from tasks.data.formats._coco_rows import OWN, plain
from tasks.data.formats._jsonstream import JsonRows
from tasks.data.formats._labelstudio_names import USUAL, address_of
from tasks.data.formats._labelstudio_shapes import CONTROLS, Size, regions_of

if TYPE_CHECKING:
    from tasks.data.exporting import Export
    from tasks.data.rows import Row

CARRIES = OWN | {"split", "group", "tags", "labels", "attributes", "iscrowd", "difficult", "polygons", "rle",
                 "keypoints"}
PEOPLE = ("human", "import")


def write(export: Export) -> None:
    """One task a picture. Its address is below Label Studio's document root, which must be the folder written.

    Columns that Label Studio does not have go into a region's `meta`. Labels of one model alone are predictions, all
    others one annotation; a picture without labels has an empty one.
    """
    with (export.out / "tasks.json").open("w", encoding="utf-8") as file:
        file.write("[")
        tasks = JsonRows(file)
        for row in export.rows():
            tasks.add(_task(row, export))
            export.place(row.image, f"images/{row.image['file']}")
        file.write("\n]\n")
    _write_config(export)


def _task(row: Row, export: Export) -> dict[str, Any]:
    image, size = row.image, (row.image["width"], row.image["height"])
    more = plain(json.loads(image["attributes"]), image["file"]) if image["attributes"] else {}
    rest = more.pop("results", None)
    results = [*_results(row, size, export), *(rest if isinstance(rest, list) else [])]
    task = {"id": image["image_id"] + 1, "data": _data(image, more, export), **_by(row, results, export)}
    return task | ({"meta": more} if more else {})


def _data(image: Mapping[str, Any], more: dict[str, Any], export: Export) -> dict[str, Any]:
    """What Label Studio shows beside the picture; takes its part out of `more`."""
    data = {"image": address_of(f"images/{image['file']}")}
    data |= {name: image[name] for name in ("split", "group", "tags") if image[name] is not None}
    given = more.pop("data", {})
    extra = given if isinstance(given, dict) else {"data": given}
    clashes = [name for name in extra if name in data or name in USUAL]
    export.lose("attributes whose names mean something else in Label Studio", len(clashes))
    return data | {name: value for name, value in extra.items() if name not in clashes}


def _by(row: Row, results: list[dict[str, Any]], export: Export) -> dict[str, Any]:
    """The results as an annotation of a person, or as a prediction where one model made all boxes."""
    export.lose("imported labels that become a person's", sum(box["source"] == "import" for box in row.boxes))
    sources = {box["source"] for box in row.boxes}
    models = sources.difference(PEOPLE)
    if len(sources) == len(models) == 1:
        return {"predictions": [{"model_version": models.pop().removeprefix("model:"), "result": results}]}
    export.lose("models named beside labels of people or of other models",
                sum(box["source"] in models for box in row.boxes))
    return {"annotations": [{"was_cancelled": False, "ground_truth": False, "result": results}]}


def _results(row: Row, size: Size, export: Export) -> Iterator[dict[str, Any]]:
    if row.image["labels"] is not None:
        names = [export.meta.classes[number] for number in row.image["labels"]]
        yield {"from_name": "choices", "to_name": "image", "type": "choices", "value": {"choices": names}}
    for box in row.boxes:
        yield from regions_of(box, size, export)


def _write_config(export: Export) -> None:
    """The labelling interface: every kind of region with every class; choose what is needed."""
    view = Element("View")
    SubElement(view, "Image", {"name": "image", "value": "$image"})
    classes = export.meta.classes
    points = list(dict.fromkeys(str(name) for some in export.meta.keypoints.values() for name in some["names"]))
    for kind, (name, tag) in CONTROLS.items():
        names = points if kind == "keypointlabels" else classes
        if names:
            control = SubElement(view, tag, {"name": name, "toName": "image"})
            for label in names:
                SubElement(control, "Label", {"value": label})
    choices = SubElement(view, "Choices", {"name": "choices", "toName": "image", "choice": "multiple"})
    for label in classes:
        SubElement(choices, "Choice", {"value": label})
    indent(view)
    ElementTree(view).write(export.out / "label_config.xml", encoding="utf-8")
