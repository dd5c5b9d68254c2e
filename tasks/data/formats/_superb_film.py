"""Videos of Superb AI's export: one `meta` and one label file a film, objects with a list of frames.

`num` of a frame counts from 0 in the names that `meta` lists; pictures are looked for as `<dataset>/<data_key>/<name>`.
See https://github.com/Superb-AI-Suite/spb-example/tree/main/convert-suite-video-coco
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import mapping, objects
from tasks.data.formats._superb_schema import rest_of, tags_of, told_of
from tasks.data.formats.record import Box, Picture, number, safe_name, split_in_name

if TYPE_CHECKING:
    from tasks.data.formats.superb import Project

# of an object: what the boxes on its frames say themselves
CLASS = ("class_id", "class_name", "annotation_type")
# what we keep in `info`, the user's own part, where the films are ours
OURS = "visionmill"


def frames_of(project: Project, here: str, meta: dict[str, Any], dataset: str, key: str) -> Iterator[Picture]:
    """The pictures of one film, each with the boxes of its frame; those that are missing are noted, at once.

    Raises:
        DataError: the list of frames is none, or a name leaves the folder.
    """
    names = meta["frames"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError("expected `frames` to be a list of names", where=here, mend="export it again")
    split = split_in_name(PurePosixPath(dataset))
    info = mapping(meta.get("image_info"))
    declared = (number(info["width"]), number(info["height"])) if {"width", "height"} <= info.keys() else None
    numbers, times = _numbers(meta, len(names))
    told = told_of(meta)
    found: list[Picture | None] = []
    for place, name in enumerate(names):
        file = project.find(dataset, f"{key}/{safe_name(name, here)}", split, here)
        found.append(None if file is None else Picture(
            file, split, declared, f"{here}#frames[{place}]", tags=tags_of(meta), group=f"{dataset}/{key}",
            frame=numbers[place], time=times[place], attributes=dict(told)))
    if missing := [name for name, picture in zip(names, found, strict=True) if picture is None]:
        detail = f"there is no picture of {len(missing)} of {len(names)} frames: {key}/{missing[0]}"
        project.note("missing_picture", here, "frames", detail)
    _label(project, here, meta, found)
    yield from (picture for picture in found if picture is not None)


def _numbers(meta: dict[str, Any], count: int) -> tuple[list[int], list[float | None]]:
    """Numbers and times of the frames: those that we kept, where they fit, else places in the list."""
    ours = mapping(mapping(meta.get("info")).get(OURS))
    given, times = ours.get("frames"), ours.get("times")
    numbers = [one for one in given if type(one) is int and 0 <= one < 1 << 62] if isinstance(given, list) else []
    if len(numbers) != count or any(a >= b for a, b in zip(numbers, numbers[1:], strict=False)):
        return list(range(count)), [None] * count
    sound = isinstance(times, list) and len(times) == count and all(isinstance(one, int | float) for one in times)
    return numbers, [float(one) for one in times or ()] if sound else [None] * count


def _label(project: Project, here: str, meta: dict[str, Any], pictures: list[Picture | None]) -> None:
    """Put the boxes of the label file on their frames."""
    some = next((picture for picture in pictures if picture is not None), None)
    if some is None:
        return
    path, label = project.first_label(meta, some)
    rest = None if label is None else rest_of(label)
    for picture in pictures:
        if picture is not None:
            picture.attributes = (picture.attributes or {}) | ({"label": rest} if rest != {} else {})
    if label is None:
        project.note("unannotated", here, "label_path", "the film has no label yet", some.file)
        return
    told = [mapping(entry) for entry in label["objects"]]
    # two objects of one tracking id would be one track
    numbers = Counter(str(entry.get("tracking_id")) for entry in told)
    for place, entry in enumerate(told):
        track = _track(entry, numbers, place)
        for at, frame in enumerate(objects(entry.get("frames"))):
            row = f"{path}#objects[{place}].frames[{at}]"
            box = _box(project, pictures, entry, frame, row)
            if box is not None:
                box.track = track


def _track(entry: dict[str, Any], numbers: Counter[str], place: int) -> str | None:
    """The name of an object in its film; none where it says that it has none."""
    if "tracking_id" in entry and entry["tracking_id"] is None:
        return None
    own = str(entry.get("tracking_id"))
    return own if "tracking_id" in entry and numbers[own] == 1 else str(entry.get("id") or place)


def _box(project: Project, pictures: list[Picture | None], entry: dict[str, Any], frame: dict[str, Any],
         row: str) -> Box | None:
    num = frame.get("num")
    if type(num) is not int or not 0 <= num < len(pictures):
        here, _, place = row.rpartition("#")
        project.note("dangling", here, place, f"frame {num!r} of {len(pictures)}")
        return None
    picture = pictures[num]
    if picture is None:
        return None
    whole = {key: value for key, value in entry.items() if key not in (*CLASS, "frames") and value != []}
    given = {key: entry[key] for key in CLASS if key in entry}
    box = project.box(picture, given | {key: value for key, value in frame.items() if key != "num"}, row)
    if box is not None:
        box.attributes = (box.attributes or {}) | ({"object": whole} if whole else {}) or None
        picture.boxes.append(box)
    return box

