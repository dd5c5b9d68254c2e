"""One COCO file as a stream of pictures and of lots of boxes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._coco_find import LISTS, last_categories
from tasks.data.formats._coco_rows import (
    CATEGORY_KEYS,
    as_id,
    box_of,
    category_name,
    extras,
    keypoints_of,
    picture_of,
    plain,
    side,
)
from tasks.data.formats._coco_schema import schema_of
from tasks.data.formats._jsonstream import JsonStream
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, More, Note, Picture, Reading, Source, number, safe_name

# boxes that wait before they are handed on, sorted by picture
LOT = 512
# characters of the value of a key that is not COCO's; longer ones are left out
SHORT = 1 << 16
# keys of a file that are kept
MORE = 100


class CocoFile:
    """One COCO file while it is read; `places` gives an image id's place in `files`, None there for no picture."""

    def __init__(self, index: FolderIndex, source: Source, into: Reading) -> None:
        self.index, self.source, self.into = index, source, into
        self.here = source.path.relative_to(index.root).as_posix()
        self.categories: dict[Any, str] | None = None
        self.places: dict[Any, int] | None = None
        self.files: list[str | None] = []
        self.sizes = array("i")
        self.done = False

    def first(self, stream: JsonStream) -> Iterator[Picture | More]:
        """Everything but annotations that come too early; only at the end is it known which lists are missing."""
        keys: list[str] = []
        lists: list[str] = []
        if stream.peek() == "{":
            for key in stream.members():
                if len(keys) < MORE or key in LISTS:
                    keys.append(key)
                if key in LISTS and stream.peek() == "[":
                    lists.append(key)
                    yield from self._list(key, stream)
                elif len(keys) < MORE:
                    self._keep(key, stream)
                else:
                    stream.skip()
        else:
            stream.skip()
        stream.end()
        for key in LISTS:
            if keys.count(key) > 1:
                raise DataError(f"{key!r} stands there twice", where=self.here, mend="join the two lists")
            if key not in lists:
                raise self._lacks(key, keys)

    def again(self, stream: JsonStream) -> Iterator[More]:
        for key in stream.members():
            if key == "annotations":
                yield from self._boxes(stream)
                return
            stream.skip()

    def _list(self, key: str, stream: JsonStream) -> Iterator[Picture | More]:
        if key == "images":
            yield from self._pictures(stream)
        elif key == "categories" and self.categories is None:
            self._take_categories(row for _, row in self._objects(stream, key))
        elif key == "annotations" and self._can_be_read():
            yield from self._boxes(stream)
        else:
            stream.skip()

    def _can_be_read(self) -> bool:
        """Whether annotations can be read now: categories often stand behind them, at the very end."""
        if self.places is not None and self.categories is None:
            self._take_categories(last_categories(self.source.path))
        return self.places is not None and self.categories is not None

    def _objects(self, stream: JsonStream, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, item in enumerate(stream.items()):
            if not isinstance(item, dict):
                raise self._lacks(key, [])
            yield row, item

    def _pictures(self, stream: JsonStream) -> Iterator[Picture]:
        self.places, taken = {}, set[str]()
        for row, item in self._objects(stream, "images"):
            key = as_id(item.get("id"))
            if self.places.setdefault(key, len(self.files)) != len(self.files):
                self._note("duplicate_id", f"images[{row}]", f"id {key!r} is that of an earlier picture too")
                continue
            picture = self._picture(item, f"{self.here}#images[{row}]")
            # of a picture that is described twice, the boxes of the first description count
            self.files.append(picture.file if picture and picture.file not in taken else None)
            self.sizes.extend(side(item.get(name)) for name in ("width", "height"))
            if picture:
                taken.add(picture.file)
                yield picture

    def _picture(self, item: dict[str, Any], where: str) -> Picture | None:
        name = safe_name(str(item.get("file_name", "")), where)
        file = self.index.find(name, PurePosixPath(self.here).parent, self.source.split, where)
        if file is None:
            self._note("missing_picture", where.partition("#")[2], f"there is no picture {name!r}")
            return None
        declared = (number(item["width"]), number(item["height"])) if {"width", "height"} <= item.keys() else None
        return picture_of(item, Picture(file, self.source.split, declared, where))

    def _take_categories(self, rows: Iterable[dict[str, Any]] | None) -> None:
        if rows is None:
            return
        self.categories = {}
        for row, item in enumerate(rows):
            key, name = as_id(item.get("id")), category_name(item)
            where = f"{self.here}#categories[{row}]"
            if self.categories.setdefault(key, name) != name:
                raise DataError(f"category id {key!r} stands for {self.categories[key]!r} and for {name!r}",
                                where=where, mend="give each category an id of its own")
            if name:
                self._declare(name, key, item, where)

    def _declare(self, name: str, key: Any, item: dict[str, Any], where: str) -> None:
        self.into.labels.add(name)
        if type(key) is int:
            self.into.ids.setdefault(name, key)
        keypoints, flaws = keypoints_of(item)
        if keypoints:
            self.into.keypoints.setdefault(name, keypoints)
        for flaw in flaws:
            self._note("bad_mask", where.partition("#")[2], f"{flaw} was left out")
        if more := extras(item, CATEGORY_KEYS, where):
            self._more().setdefault("categories", {}).setdefault(name, more)

    def _boxes(self, stream: JsonStream) -> Iterator[More]:
        seen, count, lot = Ids(), 0, dict[str, list[Box]]()
        for row, item in self._objects(stream, "annotations"):
            key = as_id(item.get("id"))
            if "id" in item and not seen.add(key):
                self._note("duplicate_id", f"annotations[{row}]", f"id {key!r} is that of an earlier annotation too")
            elif found := self._box(item, f"annotations[{row}]"):
                lot.setdefault(found[0], []).append(found[1])
                count += 1
            if count == LOT:
                yield from (More(file, boxes) for file, boxes in lot.items())
                count, lot = 0, {}
        self.done = True
        yield from (More(file, boxes) for file, boxes in lot.items())

    def _box(self, item: dict[str, Any], row: str) -> tuple[str, Box] | None:
        assert self.places is not None and self.categories is not None
        picture, category = as_id(item.get("image_id")), as_id(item.get("category_id"))
        place, label = self.places.get(picture), self.categories.get(category)
        if place is None or label is None:
            what = f"image_id {picture!r}" if place is None else f"category_id {category!r}"
            self._note("dangling", row, f"{what} does not exist")
            return None
        file, points = self.files[place], self.into.keypoints.get(label)
        if file is None:
            return None
        size = self.sizes[2 * place], self.sizes[2 * place + 1]
        box, flaws = box_of(item, label, f"{self.here}#{row}", size, len(points["names"]) if points else 0)
        self.into.notes += [Note("bad_mask", self.here, row, flaw, file) for flaw in flaws]
        if box.polygons or box.rle:
            self.into.problem = "segment"
        return file, box

    def _keep(self, key: str, stream: JsonStream) -> None:
        short, value = stream.value_if_short(SHORT)
        if short and key not in LISTS:
            self._more().setdefault(key, plain(value, f"{self.here}#{key}"))

    def _more(self) -> dict[str, Any]:
        return self.into.attributes.setdefault("coco", {})

    def _note(self, kind: str, row: str, detail: str) -> None:
        self.into.notes.append(Note(kind, self.here, row, detail))

    def _lacks(self, key: str, keys: list[str]) -> DataError:
        seems = schema_of(self.source.path)
        said = f"; this looks like {seems}" if seems else f"; its keys are {', '.join(keys[:6])}" if keys else ""
        mend = "name its format, or export it as COCO JSON" if seems else "export it again"
        return DataError(f"COCO JSON needs a list of objects called {key!r}{said}", where=self.here, mend=mend)


class Ids:
    """Ids that were seen. Whole numbers that lie close to each other take 2 bytes each, not the 60 of a set."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}
        self._others: set[Any] = set()

    def add(self, key: Any) -> bool:
        """False where it was there."""
        if not isinstance(key, int):
            before = len(self._others)
            self._others.add(key)
            return len(self._others) > before
        page, bit = self._pages.get(key >> 6, 0), 1 << (key & 63)
        self._pages[key >> 6] = page | bit
        return not page & bit
