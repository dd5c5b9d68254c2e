"""What the tools write: the answer of a person on one picture, in the folder that was handed out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tasks.base.files import read_json, write_json
from tasks.labelling.jobs.job import Job

Drawn = tuple[str, float, float, float, float]  # class, x, y, w, h
WHEN = "2026-03-01T10:00:00"


def answer(job: Job, part: Path, digest: str, boxes: Sequence[Drawn], turned: float = 0.0) -> None:
    """The picture has these boxes and no others, and is done; `turned` is the angle of the first of them."""
    WRITE[job.desk](part, digest, boxes, turned)


def lose(job: Job, part: Path, digest: str) -> None:
    """The picture is deleted in the tool."""
    if job.desk == "coco":
        content, image = _coco(part, digest)
        content["images"].remove(image)
        content["annotations"] = [box for box in content["annotations"] if box["image_id"] != image["id"]]
        write_json(part / "annotations/instances.json", content)
    elif job.desk == "superb":
        _meta(part, digest)[0].unlink()
    elif job.desk == "groundtruth":
        path = part / "input.manifest"
        path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if digest not in line))
    else:
        tree, shown = _cvat(part, digest)
        tree.getroot().remove(shown)
        tree.write(part / "annotations.xml", encoding="utf-8")


def _coco(part: Path, digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = read_json(part / "annotations/instances.json")
    return content, next(one for one in content["images"] if one["visionmill"]["digest"] == digest)


def _write_coco(part: Path, digest: str, boxes: Sequence[Drawn], turned: float) -> None:
    content, image = _coco(part, digest)
    image["visionmill"]["status"] = "done"
    number = {one["name"]: one["id"] for one in content["categories"]}
    rest = [box for box in content["annotations"] if box["image_id"] != image["id"]]
    drawn = [{"id": 1000 + at, "image_id": image["id"], "category_id": number[name], "bbox": sides, "iscrowd": 0,
              "area": sides[2] * sides[3]} for at, (name, *sides) in enumerate(boxes)]
    write_json(part / "annotations/instances.json", content | {"annotations": rest + drawn})


def _meta(part: Path, digest: str) -> tuple[Path, dict[str, Any]]:
    found = ((path, read_json(path)) for path in (part / "meta").glob("**/*.json"))
    return next((path, told) for path, told in found if told["info"]["visionmill"]["digest"] == digest)


def _write_superb(part: Path, digest: str, boxes: Sequence[Drawn], turned: float) -> None:
    path, told = _meta(part, digest)
    write_json(path, told | {"status": "SUBMITTED", "last_updated_date": f"{WHEN}Z"})
    project = read_json(part / "project.json")
    number = {one["name"]: one["id"] for one in project["object_detection"]["object_classes"]}
    objects = []
    for at, (name, x, y, w, h) in enumerate(boxes):
        angle = turned if at == 0 else 0.0
        coord = {"cx": x + w / 2, "cy": y + h / 2, "width": w, "height": h, "angle": angle} if angle else {
            "x": x, "y": y, "width": w, "height": h}
        objects.append({"id": f"drawn-{at}", "class_id": number[name], "class_name": name, "properties": [],
                        "annotation_type": "rbox" if angle else "box", "annotation": {"coord": coord}})
    label = part / told["label_path"][0]
    write_json(label, read_json(label) | {"objects": objects})


def _write_groundtruth(part: Path, digest: str, boxes: Sequence[Drawn], turned: float) -> None:
    path = part / "input.manifest"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    line = next(one for one in lines if one["visionmill"]["digest"] == digest)
    number = {name: int(at) for at, name in line["labels-metadata"]["class-map"].items()}
    drawn = [{"class_id": number[name], "left": x, "top": y, "width": w, "height": h} for name, x, y, w, h in boxes]
    line["adjusted-labels"] = {"image_size": line["labels"]["image_size"], "annotations": drawn}
    line["adjusted-labels-metadata"] = {
        "objects": [{"confidence": 0}] * len(drawn), "class-map": line["labels-metadata"]["class-map"],
        "type": "groundtruth/object-detection", "human-annotated": "yes", "creation-date": WHEN,
        "job-name": "labeling-job/adjust", "adjustment-status": "adjusted"}
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))


def _cvat(part: Path, digest: str) -> tuple[ElementTree.ElementTree[Any], ElementTree.Element]:
    tree = ElementTree.parse(part / "annotations.xml")
    name = read_json(part / ".visionmill.json")["names"][digest]
    return tree, next(one for one in tree.getroot().iter("image") if one.get("name") == name)


def _write_cvat(part: Path, digest: str, boxes: Sequence[Drawn], turned: float) -> None:
    tree, image = _cvat(part, digest)
    for shape in list(image):
        image.remove(shape)
    for at, (name, x, y, w, h) in enumerate(boxes):
        sides = {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h} | ({"rotation": turned} if turned and not at else {})
        ElementTree.SubElement(image, "box", {"label": name, "source": "manual", "occluded": "0", "z_order": "0",
                                              **{side: f"{value:.2f}" for side, value in sides.items()}})
    tree.write(part / "annotations.xml", encoding="utf-8")


WRITE: dict[str, Callable[[Path, str, Sequence[Drawn], float], None]] = {
    "coco": _write_coco, "superb": _write_superb, "groundtruth": _write_groundtruth, "cvat": _write_cvat}
