"""Writing a dataset in another format: pictures are linked where the file system can, and what is lost is counted."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic
from tasks.data import sql
from tasks.data.formats import WRITERS, load
from tasks.data.linking import link_or_copy
from tasks.data.pictures import Location, Member, open_bytes
from tasks.data.rows import Row, rows
from tasks.data.table import Meta, full_disk_is_told, read_meta

# columns that every format carries, or that only our own table needs
OWN = frozenset({"image_id", "file", "width", "height", "digest", "bytes", "orientation", "shard", "offset",
                 "annotation_id", "class_id", "row", "x", "y", "w", "h", "area"})
SAYS = {"BOOLEAN": '"{0}"', "VARCHAR": "\"{0}\" IS NOT NULL AND \"{0}\" <> 'import'"}


@dataclass
class Export:
    """One export: what a format's `write` is given.

    Attributes:
        folder: the dataset folder; `meta` is its description.
        pictures: what the column `file` is relative to.
        out: where files are written; empty at first.
        losses: what the format could not carry, counted by name.
    """

    folder: Path
    pictures: Path
    out: Path
    meta: Meta
    losses: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[Row]:
        """Pictures with their annotations, in the table's order; may be asked for again."""
        return rows(self.folder)

    def lose(self, what: str, count: int = 1) -> None:
        self.losses[what] += count

    def place(self, image: dict[str, object], name: str) -> None:
        """Put a picture of the table at `out/name`."""
        self.put(self._location(image), name)

    def put(self, source: Location, name: str) -> None:
        """Put a file (a mask or a reference is `pictures / its name`) at `out/name`."""
        target = self.out / name
        if ".." in PurePosixPath(name).parts or not target.is_relative_to(self.out):
            raise DataError(f"picture name {name!r} leaves the folder", where=self.folder, mend="import it anew")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise DataError(f"two pictures would be called {name!r}", where=self.folder,
                            mend="export to a format that keeps folders: coco")
        if isinstance(source, Member):
            with open_bytes(source) as file, target.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        else:
            link_or_copy(source, target)

    def flat(self, image: dict[str, object]) -> str:
        """A picture's name without folders; where two would be the same, its folders are joined to it by `__`."""
        file = PurePosixPath(str(image["file"]))
        return "__".join(file.parts) if file.name.lower() in self._shared_names else file.name

    @cached_property
    def _shared_names(self) -> frozenset[str]:
        query = "SELECT lower(parse_filename(file)) FROM it_images GROUP BY 1 HAVING count(*) > 1"
        with sql.tables(it=self.folder) as connection:
            return frozenset(row[0] for row in connection.execute(query).fetchall())

    def _location(self, image: dict[str, object]) -> Location:
        if image["shard"] is None:
            return self.pictures / str(image["file"])
        return Member(self.pictures / str(image["shard"]), int(str(image["offset"])), int(str(image["bytes"])),
                      str(image["file"]))


def export(folder: Path, pictures: Path, format: str, out: Path) -> Counter[str]:
    """Write the dataset `folder` to `out` in a format; returns what was lost, by name.

    Raises:
        DataError: the format is for another problem, two files would have one name, or the disk is full.
    """
    with full_disk_is_told(out), folder_atomic(out) as new:
        made = Export(folder, pictures, new, read_meta(folder))
        writer = load(format, WRITERS)
        made.losses.update(_columns_lost(folder, writer.CARRIES))
        writer.write(made)
    return Counter({name: count for name, count in made.losses.items() if count})


def _columns_lost(folder: Path, carried: frozenset[str]) -> dict[str, int]:
    """How many rows say something in a column that the format does not have."""
    lost = {}
    with sql.tables(it=folder) as connection:
        for table in sql.TABLES:
            described = connection.execute(f"DESCRIBE it_{table}").fetchall()
            for name, kind in ((row[0], row[1]) for row in described if row[0] not in OWN | carried):
                says = SAYS.get(kind, '"{0}" IS NOT NULL').format(name)
                found = connection.execute(f"SELECT count(*) FROM it_{table} WHERE {says}").fetchall()
                lost[f"{table}.{name}"] = found[0][0]
    return lost
