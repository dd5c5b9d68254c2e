"""COCO JSON: one file a split, or one for all. The file is held in memory, the pictures are not."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Source, number, safe_name, split_in_name

KEYS = (b'"images"', b'"annotations"', b'"categories"')
NO_BOX = (float("nan"),) * 4


def find(index: FolderIndex) -> list[Source]:
    """JSON files with COCO's three lists. Where a split has several, the one called `instances…` is meant."""
    found = [Source("coco", index.root / file, split_in_name(PurePosixPath(file)))
             for file in index.with_suffix(".json") if _has_keys(index.root / file)]
    by_split: dict[str | None, list[Source]] = {}
    for source in found:
        by_split.setdefault(source.split, []).append(source)
    return [source for rivals in by_split.values() for source in _meant(rivals)]


def read(index: FolderIndex, source: Source, notes: list[Note], labels: set[str]) -> Iterator[Picture]:
    """The pictures of one file, in its order; `labels` takes all categories that it declares, boxes or not.

    Raises:
        DataError: the file is not COCO JSON, or names a picture outside the folder.
    """
    here = source.path.relative_to(index.root).as_posix()
    content = _parse(source.path, here)
    categories = _categories(content["categories"], here)
    labels.update(categories.values())
    pictures = _by_id(content["images"], f"{here}#images", notes)
    boxes = _boxes(content["annotations"], pictures, categories, here, notes)
    for key, (row, image) in pictures.items():
        where = f"{here}#images[{row}]"
        name = safe_name(str(image.get("file_name", "")), where)
        file = index.find(name, PurePosixPath(here).parent, source.split, where)
        if file is None:
            notes.append(Note("missing_picture", here, f"images[{row}]", f"there is no picture {name!r}"))
            continue
        declared = (number(image["width"]), number(image["height"])) if {"width", "height"} <= image.keys() else None
        yield Picture(file, source.split, declared, where, boxes.get(key, []))


def _meant(rivals: list[Source]) -> list[Source]:
    instances = [source for source in rivals if source.path.name.startswith("instances")]
    return instances if len(rivals) > 1 and len(instances) == 1 else rivals


def _has_keys(path: Path) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(key) >= 0 for key in KEYS)


def _parse(path: Path, here: str) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", where=here, mend="mend or replace that file") from None
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"COCO JSON needs a list of objects called {key!r}", where=here, mend="export it again")
    return content


def _categories(rows: list[dict[str, Any]], here: str) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for row, category in enumerate(rows):
        key, name = _key(category.get("id")), str(category.get("name", "")).strip()
        if names.setdefault(key, name) != name:
            raise DataError(f"category id {key!r} stands for {names[key]!r} and for {name!r}",
                            where=f"{here}#categories[{row}]", mend="give each category an id of its own")
    return names


def _by_id(rows: list[dict[str, Any]], where: str, notes: list[Note]) -> dict[Any, tuple[int, dict[str, Any]]]:
    found: dict[Any, tuple[int, dict[str, Any]]] = {}
    for row, item in enumerate(rows):
        key = _key(item.get("id"))
        if found.setdefault(key, (row, item))[0] != row:
            notes.append(Note("duplicate_id", *_place(where, row), f"id {key!r} is that of row {found[key][0]} too"))
    return found


def _boxes(rows: list[dict[str, Any]], pictures: dict[Any, Any], categories: dict[Any, str], here: str,
           notes: list[Note]) -> dict[Any, list[Box]]:
    boxes: dict[Any, list[Box]] = {}
    for row, item in _by_id(rows, f"{here}#annotations", notes).values():
        picture, category = _key(item.get("image_id")), _key(item.get("category_id"))
        for kind, key, known in (("image_id", picture, pictures), ("category_id", category, categories)):
            if key not in known:
                notes.append(Note("dangling", here, f"annotations[{row}]", f"{kind} {key!r} does not exist"))
                break
        else:
            boxes.setdefault(picture, []).append(_box(item, categories[category], f"{here}#annotations[{row}]"))
    return boxes


def _box(item: dict[str, Any], label: str, row: str) -> Box:
    given = item.get("bbox")
    x, y, w, h = map(number, given) if isinstance(given, list) and len(given) == 4 else NO_BOX
    area = number(item["area"]) if "area" in item else None
    difficult = item.get("difficult") in (1, True) or item.get("ignore") in (1, True)
    return Box(label, x, y, w, h, row, area, item.get("iscrowd") in (1, True), difficult)


def _place(where: str, row: int) -> tuple[str, str]:
    file, _, name = where.partition("#")
    return file, f"{name}[{row}]"


def _key(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else repr(value)
