"""Small jobs with real pictures for the tests of Label Studio's desk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, conform, write_dataset
from tasks.labelling.jobs.job import STUDIO, Job, folder_of, write_job
from tasks.labelling.jobs.pictures import Pictures

CLASSES = ["red cell", "white & \"cell\""]
SIZE = (161, 97)


NOTE = "swapped? red cell at 7, 8 looks like white & \"cell\" (0.93); overlooked? red cell at 50, 60 (0.81)"
ASKED = {"rank": 1, "kind": "swapped", "quality": 0.1, "box": [7, 8, 30, 20], "note": NOTE,
         "places": [{"kind": "swapped", "quality": 0.1}, {"kind": "overlooked", "quality": 0.2}]}
SUGGESTED = {"kind": "swapped", "quality": 0.1, "by": "cells@3",
             "suggests": {"class": CLASSES[1], "score": 0.93, "box": [7.0, 8.0, 30.0, 20.0]}}


def make_job(workspace: Path, count: int, *, polygons: bool = False, name: str = "cells-1", boxes: int = 2,
             suffix: str = ".png", asked: bool = False) -> tuple[Job, Pictures]:
    """A job of `count` pictures of 161 x 97 pixels, each with some boxes of a model; the last one is the hardest.

    Args:
        asked: the pictures are of a review queue, and each one's first box is in question.
    """
    folder = workspace / "made" / name
    random = np.random.default_rng(3)
    images = [_picture(folder / "pictures", place, suffix, asked) for place in range(count)]
    rows: list[dict[str, Any]] = []
    for image in range(count):
        for place in range(boxes):
            x, y = random.uniform(0, 90), random.uniform(0, 50)
            outline = [x, y, x + 30.0, y + 3.0, x + 11.25, y + 20.0] if polygons and place else None
            rows.append({"annotation_id": len(rows), "image_id": image, "class_id": place % 2, "x": x, "y": y,
                         "w": 30.0, "h": 20.0, "area": 600.0, "iscrowd": False, "difficult": False,
                         "source": "model:cells@3", "score": 0.25 + place / 8, "row": f"{image}/{place}",
                         "polygons": [outline] if outline else None,
                         "attributes": json.dumps({"review_queue": SUGGESTED}) if asked and not place else None})
    annotations = pa.Table.from_pylist(rows, schema=ANNOTATIONS)
    meta = Meta(name=name, classes=CLASSES, problem="segment" if polygons else "detect")
    write_dataset(folder / "tables", Dataset(conform(pa.Table.from_pylist(images, schema=IMAGES), IMAGES),
                                             conform(annotations, ANNOTATIONS), meta))
    order = [str(image["digest"]) for image in reversed(images)]
    job = Job(folder=folder_of(name, workspace), name=name, desk=STUDIO, version="cells-auto@1", digest="0" * 64,
              classes=CLASSES, order=order, instructions="Draw <b>all</b> cells.\n\nBe & quick.")
    write_job(job)
    return job, Pictures(folder / "tables", folder / "pictures", order)


def _picture(folder: Path, place: int, suffix: str, asked: bool) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"p {place}{suffix}"
    shade = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    shade[:] = (17 * place % 256, 80, 255 - 13 * place % 256)
    shade[10:30, 20:60] = 255
    Image.fromarray(shade).save(path)
    content = path.read_bytes()
    told = {"prelabel": {"model": "cells@3", "difficulty": 0.5, "corrections": 1.5}, "mined": {"reason": "rare class"},
            **({"review_queue": ASKED} if asked else {})}
    return {"image_id": place, "file": path.name, "width": SIZE[0], "height": SIZE[1],
            "digest": hashlib.sha256(content).hexdigest(), "bytes": len(content), "orientation": 1,
            "attributes": json.dumps(told)}
