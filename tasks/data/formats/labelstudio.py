"""Label Studio: its JSON export, one file of tasks. Coordinates there are shares of the picture, in per cent.

People's annotations count; what a model predicted counts where nobody annotated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._coco_find import has_bytes
from tasks.data.formats._coco_rows import plain, real
from tasks.data.formats._coco_schema import LABEL_STUDIO, schema_of
from tasks.data.formats._jsonstream import CHUNK, JsonStream
from tasks.data.formats._labelstudio_names import names_of, picture_key
from tasks.data.formats._labelstudio_regions import Found, Size, names_in, points_of, read_results, size_of
from tasks.data.formats._labelstudio_write import CARRIES, write
from tasks.data.formats._size import header_size
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import (
    SPLIT_WORDS,
    Note,
    Picture,
    Reading,
    Source,
    safe_name,
    split_in_name,
)

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "Label Studio"
EXPECTED = 'a JSON export, a list of tasks with "data" and "annotations", beside the pictures'
UNKNOWN = (float("nan"), float("nan"))


def find(index: FolderIndex) -> list[Source]:
    """JSON files that are lists of tasks."""
    return [Source("labelstudio", index.root / file, split_in_name(PurePosixPath(file)))
            for file in index.with_suffix(".json") if schema_of(index.root / file) == LABEL_STUDIO]


def read(index: FolderIndex, source: Source, into: Reading, chunk: int = CHUNK) -> Iterator[Picture]:
    """The pictures of one export in its order, with their boxes.

    A task's latest annotation counts, cancelled ones do not. Points that belong to a rectangle are its keypoints; a
    turned rectangle becomes the box around it, and is kept in `attributes`.

    Raises:
        DataError: the file is no list of tasks, is cut off, or names a picture outside the folder.
    """
    export = _Export(index, source, into, chunk)
    export.find_points()
    with JsonStream(source.path, export.here, chunk) as stream:
        for row, task in export.tasks(stream):
            if picture := export.picture(task, f"[{row}]"):
                yield picture
        stream.end()
    if into.problem is None and export.classified and not export.boxes:
        into.problem = "classify"


class _Export:
    """One export while it is read."""

    def __init__(self, index: FolderIndex, source: Source, into: Reading, chunk: int) -> None:
        self.index, self.source, self.into, self.chunk = index, source, into, chunk
        self.here = source.path.relative_to(index.root).as_posix()
        self.points: dict[str, list[str]] = {}
        self.boxes = self.classified = False

    def find_points(self) -> None:
        """Names of keypoints must all be known before the first is placed: where there are any, one more look."""
        if not has_bytes(self.source.path, b'"keypoint'):
            return
        with JsonStream(self.source.path, self.here, self.chunk) as stream:
            for row, task in self.tasks(stream):
                annotation, _, _ = self._counting(task, f"[{row}]")
                for label, name in points_of(self._results(annotation, f"[{row}]")):
                    names = self.points.setdefault(label, [])
                    if name not in names:
                        names.append(name)
        for label, names in self.points.items():
            # another file may have named them before
            self.points[label] = self.into.keypoints.setdefault(label, {"names": names, "edges": []})["names"]

    def tasks(self, stream: JsonStream) -> Iterator[tuple[int, dict[str, Any]]]:
        if stream.peek() != "[":
            stream.skip()
            seems = schema_of(self.source.path)
            raise DataError(f"an export of Label Studio is a list of tasks{f'; this looks like {seems}' * bool(seems)}",
                            where=self.here, mend="export the project as JSON, not JSON-MIN")
        for row, task in enumerate(stream.items()):
            if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                raise self._wrong("a task of Label Studio is an object with 'data'", f"[{row}]")
            yield row, task

    def picture(self, task: dict[str, Any], row: str) -> Picture | None:
        data, key = task["data"], picture_key(task["data"])
        near, where = PurePosixPath(self.here).parent, f"{self.here}#{row}"
        split = SPLIT_WORDS.get(data["split"].lower()) if isinstance(data.get("split"), str) else None
        names = names_of(data[key].strip()) if key else []
        found = (self.index.find(safe_name(name, where), near, split or self.source.split, where) for name in names)
        file = next((file for file in found if file), None)
        if file is None:
            what = f"there is no picture {names[-1]!r}" if names else "the task names no picture file"
            self._note("missing_picture", row, what)
            return None
        annotation, of_model, said = self._counting(task, row, file)
        picture = Picture(file, split or self.source.split, None, where)
        _describe(picture, task, annotation, key, split)
        if said:
            self._note("unannotated", row, said, file)
        else:
            self._read(picture, annotation, of_model, row)
        return picture

    def _read(self, picture: Picture, annotation: dict[str, Any], of_model: bool, row: str) -> None:
        results = self._results(annotation, row)
        declared = next((size for result in results if (size := size_of(result, UNKNOWN)) != UNKNOWN), None)
        picture.declared = declared
        found = read_results(results, declared or self._measured(picture.file, results), f"{self.here}#{row}",
                             self.points)
        _credit(found, annotation, of_model)
        picture.boxes, picture.labels = found.boxes, found.labels
        if found.rest:
            picture.attributes = (picture.attributes or {}) | {"results": found.rest}
        for place, reason in found.flaws:
            self._note("bad_mask", place.partition("#")[2], reason, picture.file)
        self._count(found, results)

    def _count(self, found: Found, results: list[dict[str, Any]]) -> None:
        self.boxes = self.boxes or bool(found.boxes)
        self.classified = self.classified or found.labels is not None
        self.into.labels.update(box.label for box in found.boxes if box.label)
        self.into.labels.update(label for label in found.labels or () if label)
        if any(box.polygons or box.rle for box in found.boxes):
            self.into.problem = "segment"
        for box in found.boxes:
            # a point that stands alone: the class is its only point
            if box.keypoints and box.label:
                names = self.into.keypoints.setdefault(box.label, {"names": [box.label], "edges": []})["names"]
                box.keypoints = box.keypoints if len(box.keypoints) == 3 * len(names) else None
        for result in results:
            _add_edges(result, self.into)

    def _counting(self, task: dict[str, Any], row: str, file: str | None = None) -> tuple[dict[str, Any], bool, str]:
        """The annotation that counts, whether a model made it, and why there is none; notes the others if `file`."""
        given = task.get("annotations", task.get("completions"))
        annotations = self._objects(given, "annotations", row)
        valid = [one for one in annotations if one.get("was_cancelled") is not True]
        of_model = not valid
        valid = valid or self._objects(task.get("predictions"), "predictions", row)
        if not valid:
            skipped = f", {len(annotations)} were cancelled" if annotations else ""
            return {}, False, f"nobody annotated this picture{skipped}"
        latest = max(range(len(valid)), key=lambda place: (_stamp(valid[place]), place))
        if file and len(valid) > 1:
            what = f"{len(valid)} {'predictions' if of_model else 'annotations'}, the latest counts"
            self._note("duplicate_id", row, f"{what} (id {valid[latest].get('id')!r})", file)
        return valid[latest], of_model, ""

    def _results(self, annotation: dict[str, Any], row: str) -> list[dict[str, Any]]:
        return self._objects(annotation.get("result"), "result", row)

    def _objects(self, value: Any, name: str, row: str) -> list[dict[str, Any]]:
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(f"{name!r} of a task is no list of objects", row)
        return value

    def _measured(self, file: str, results: list[dict[str, Any]]) -> Size:
        return (header_size(self.index.root / file) or UNKNOWN) if results else UNKNOWN

    def _wrong(self, what: str, row: str) -> DataError:
        return DataError(what, where=f"{self.here}#{row}", mend="export the project again, as JSON")

    def _note(self, kind: str, row: str, detail: str, file: str | None = None) -> None:
        self.into.notes.append(Note(kind, self.here, row, detail, file))


def _stamp(annotation: dict[str, Any]) -> tuple[str, float]:
    """When it was made: text of ISO 8601, or seconds."""
    given = annotation.get("updated_at") or annotation.get("created_at")
    return given if isinstance(given, str) else "", real(given) or 0.0


def _describe(picture: Picture, task: dict[str, Any], annotation: dict[str, Any], key: str | None,
              split: str | None) -> None:
    """Split, tags, group, and what else the task says."""
    data = {name: value for name, value in task["data"].items() if name != key and (name != "split" or split is None)}
    if isinstance(data.get("group"), str):
        picture.group = data.pop("group")
    if isinstance(data.get("tags"), list) and all(isinstance(tag, str) for tag in data["tags"]):
        picture.tags = data.pop("tags")
    meta, by = task.get("meta"), annotation.get("completed_by")
    more = dict(meta) if isinstance(meta, dict) else {"meta": meta} if meta else {}
    if by is not None:
        more["completed_by"] = by.get("email", by.get("id")) if isinstance(by, dict) else by
    picture.attributes = plain(more | ({"data": data} if data else {}), picture.row) or None


def _credit(found: Found, annotation: dict[str, Any], of_model: bool) -> None:
    """Who made the boxes, how sure, and who agreed."""
    version, score = annotation.get("model_version"), real(annotation.get("score"))
    name = version if isinstance(version, str) and version else "unknown"
    source = "human" if not of_model else name if re.match(r"models?[:/].", name) else f"model:{name}"
    reviews = annotation.get("reviews")
    accepted = [review["created_by"] for review in (reviews if isinstance(reviews, list) else ())
                if isinstance(review, dict) and review.get("accepted") is True and review.get("created_by")]
    for box in found.boxes:
        box.source = source
        if of_model and box.score is None:
            box.score = score
        if accepted and box.reviewed_by is None:
            last = accepted[-1]
            box.reviewed_by = str(last.get("email", last.get("id")) if isinstance(last, dict) else last)


def _add_edges(result: dict[str, Any], into: Reading) -> None:
    """Edges between keypoints, where a rectangle that was written here says them."""
    meta = result.get("meta")
    edges = meta.get("edges") if isinstance(meta, dict) else None
    if not isinstance(edges, list):
        return
    for label in names_in(result):
        known = into.keypoints.get(label)
        if known and not known["edges"]:
            count = len(known["names"])
            known["edges"] = [edge for edge in edges if isinstance(edge, list) and len(edge) == 2
                              and all(type(end) is int and 0 <= end < count for end in edge)]
