"""Names of pictures in an export whose label files are found by the picture's name."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError
from tasks.data import sql

if TYPE_CHECKING:
    from tasks.data.exporting import Export

MAX_NAME = 255
STEM = "lower(parse_filename(file, true, 'forward_slash'))"
PATH_STEM = r"lower(regexp_replace(file, '\.[^./]*$', ''))"


class Names:
    """A picture's name without folders, so that among those with the same `within` no two share it or its stem.

    Where two would, the folders of both are joined to it by `__`; where still two would (`1.jpg` beside `1.png`), the
    suffix is too. A name that grows too long becomes `hashed`.
    """

    def __init__(self, export: Export, within: str = "split") -> None:
        with sql.tables(it=export.folder) as connection:
            self._shared, self._twins = (
                {row[0] for row in connection.execute(
                    f"SELECT file FROM it_images QUALIFY count(*) OVER (PARTITION BY {within}, {stem}) > 1").fetchall()}
                for stem in (STEM, PATH_STEM))

    def __call__(self, image: dict[str, Any]) -> str:
        file = PurePosixPath(image["file"])
        stem = "__".join((*file.parts[:-1], file.stem)) if image["file"] in self._shared else file.stem
        if image["file"] in self._twins:
            stem += f"_{file.suffix[1:]}"
        long = len(stem.encode()) + len(file.suffix.encode()) > MAX_NAME
        return hashed(image) if long else f"{stem}{file.suffix}"


def hashed(image: dict[str, Any]) -> str:
    """A name of letters and digits for any picture: SHA-256 of its own, and its suffix."""
    return hashlib.sha256(image["file"].encode()).hexdigest() + PurePosixPath(image["file"]).suffix


def refuse_other_problems(export: Export, title: str) -> None:
    """Raises DataError where the labels are no boxes."""
    better = {"classify": "folders", "semantic": "masks"}.get(export.meta.problem)
    if better:
        raise DataError(f"{title} holds boxes, and {export.meta.name!r} is for {export.meta.problem!r}",
                        where=export.folder, mend=f"visionmill data export {export.meta.name} --format {better}")


def class_ids(export: Export) -> list[int] | None:
    """The number that each class had where it came from, if all are there, distinct and 0 or more."""
    given = export.meta.attributes.get("ids")
    ids = [given.get(name) for name in export.meta.classes] if isinstance(given, dict) else [None]
    fit = all(isinstance(k, int) and not isinstance(k, bool) and k >= 0 for k in ids) and len(set(ids)) == len(ids)
    return [int(k) for k in ids if k is not None] if fit else None


def counted_ids(export: Export) -> list[int]:
    """The numbers of the classes for formats that count them from 0 without gaps: the given ones where they do."""
    count, given = len(export.meta.classes), class_ids(export)
    return given if given is not None and sorted(given) == list(range(count)) else list(range(count))


def splits_of(export: Export) -> list[str | None]:
    """The splits that pictures have, None among them."""
    with sql.tables(it=export.folder) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT split FROM it_images ORDER BY ALL").fetchall()]
