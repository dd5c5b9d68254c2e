"""Which schema a JSON file follows, by the keys it begins with: for a message that helps when COCO was expected."""

from __future__ import annotations

import re
from pathlib import Path

LOOKED_AT = 1 << 16
KEY = re.compile(rb'"((?:[^"\\]|\\.){1,64})"\s*:')
# the first whose keys are all there; a list first, since its rows would look like single files
LABEL_STUDIO = "a Label Studio export (tasks with 'data' and 'annotations')"
LISTS: dict[str, tuple[set[str], ...]] = {
    # `data` may stand behind long brush strokes
    LABEL_STUDIO: ({"data", "annotations"}, {"data", "completions"}, {"data", "predictions"},
                   {"annotations", "result", "from_name"}, {"completions", "result", "from_name"}),
    "a list of COCO results (detections without images and categories)": (
        {"image_id", "category_id", "bbox"}, {"image_id", "category_id", "segmentation"},
        {"image_id", "category_id", "keypoints"}),
    "CreateML ('annotations' with 'coordinates')": ({"annotations", "coordinates"},),
}
OBJECTS: dict[str, tuple[set[str], ...]] = {
    "one Label Studio task": ({"data", "annotations", "result"}, {"data", "completions", "result"}),
    "VGG Image Annotator (VIA)": ({"_via_img_metadata"}, {"filename", "regions", "shape_attributes"}),
    "LabelMe, one file a picture": ({"shapes", "imagePath"},),
    "GeoJSON": ({"features", "geometry"},),
    "a project of Superb AI Suite": ({"object_detection", "data_type"}, {"object_tracking", "data_type"}),
    "a picture's description of Superb AI Suite (meta)": ({"data_key", "label_path"},),
    "a label of Superb AI Suite": ({"objects", "annotation_type"}, {"objects", "annotationType"}),
    "a manifest of Ground Truth": ({"source-ref"},),
    "COCO for videos ('videos' in place of 'images')": ({"videos", "annotations"},),
    "COCO results inside an object": ({"image_id", "category_id", "score"},),
}


def schema_of(path: Path) -> str | None:
    """The schema that a JSON file seems to follow, in words; None where it is none that is known."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    keys = {key.decode("utf-8", "replace") for key in KEY.findall(head)}
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    known = LISTS if begins == b"[" else OBJECTS if begins == b"{" else {}
    return next((name for name, forms in known.items() if any(form <= keys for form in forms)), None)
