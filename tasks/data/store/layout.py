"""A store on disk: what is where, what a version is called, and how one becomes visible all at once.

    store.json                            {"schema": 1, "shared": false}
    pictures/NAME-N/…                     pictures that came with version N of NAME, or were made for it
    versions/NAME/N/                      images.parquet, annotations.parquet, dataset.json, version.json
    versions/NAME/owner.json              whose it is, in a shared store

A version is there when its folder is: it is renamed into place as the last step, after its pictures.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError, UserError, WorkspaceBusy, nearest
from tasks.base.files import digest_file, digest_value, read_json, write_atomic, write_json
from tasks.data.ops import Making, Parent
from tasks.data.table import Meta, read_meta, write_meta

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TABLES = ("images.parquet", "annotations.parquet")
READ_ONLY = 0o444
IGNORED = "/.staging/\n/.lock\n"


@dataclass(frozen=True)
class Version:
    """One version: `folder` has its tables; they may be missing where only DVC's note of them is here."""

    name: str
    number: int
    folder: Path

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.number}"

    @property
    def here(self) -> bool:
        return (self.folder / "dataset.json").is_file()

    @cached_property
    def meta(self) -> Meta:
        if not self.here:
            raise DataError(f"the tables of {self.ref} are not on this machine", where=self.folder,
                            mend=f"visionmill data pull {self.ref}")
        return read_meta(self.folder)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """`version.json`: digest, owner, time."""
        path = self.folder / "version.json"
        return read_json(path) if path.is_file() else {}

    @property
    def digest(self) -> str:
        return str(self.facts.get("digest", ""))


class Store:
    """The store in a folder, which is made when something is first written to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pictures, self.versions = root / "pictures", root / "versions"

    @property
    def shared(self) -> bool:
        path = self.root / "store.json"
        return bool(path.is_file() and read_json(path).get("shared"))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.versions.iterdir() if path.is_dir()) if self.versions.is_dir() else []

    def of(self, name: str) -> list[Version]:
        """The versions of one name, oldest first; also those that only DVC's note is here of."""
        folder = self.versions / name
        found = {int(path.name.removesuffix(".dvc")) for path in folder.glob("*")
                 if path.name.removesuffix(".dvc").isdigit()}
        return [Version(name, number, folder / str(number)) for number in sorted(found)]

    def latest(self, name: str) -> Version | None:
        known = self.of(name)
        return known[-1] if known else None

    def all(self) -> list[Version]:
        return [version for name in self.names() for version in self.of(name)]

    def find(self, ref: str) -> Version:
        """The version `NAME@N`, or the latest of `NAME`.

        Raises:
            UserError: there is none; the nearest name is offered.
        """
        name, at, number = ref.partition("@")
        known = self.of(name)
        if not known:
            guess = nearest(name, self.names())
            raise UserError(f"no dataset is called {name!r}", where=self.root,
                            mend=f"did you mean {guess!r}?" if guess else "visionmill data import PATH --name NAME")
        if not at:
            return known[-1]
        for version in known:
            if str(version.number) == number:
                return version
        raise UserError(f"{name} has no version {number!r}", where=self.root,
                        mend=f"it has {', '.join(str(version.number) for version in known)}")

    def parent(self, version: Version) -> Parent:
        """A version as operations read it; its tables must be here."""
        _ = version.meta
        return Parent(version.ref, version.folder, self.pictures)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held while a version is made: what a killed command left behind is cleared first.

        Raises:
            WorkspaceBusy: another command writes to this store.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if not (self.root / "store.json").exists():
            write_json(self.root / "store.json", {"schema": 1, "shared": False})
        if not (self.root / ".gitignore").exists():
            write_atomic(self.root / ".gitignore", IGNORED)
        with (self.root / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise WorkspaceBusy("another command writes to this store", where=self.root,
                                    mend="wait for it, and run this again") from None
            shutil.rmtree(self.root / ".staging", ignore_errors=True)
            yield

    def begin(self, name: str, owner: str) -> Making:
        """A place for the next version of `name`, hidden until `publish`. The store must be locked.

        Raises:
            UserError: a name that no folder may have, or in a shared store one that is somebody else's.
        """
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r} cannot be a dataset's name", mend="letters, digits, dots, dashes, underscores")
        self._refuse_others(name, owner)
        origin = f"{name}-{self._next(name)}"
        hidden = self.root / ".staging" / origin
        for folder in (hidden / "tables", hidden / "pictures"):
            folder.mkdir(parents=True)
        return Making(name, hidden / "tables", hidden / "pictures", origin)

    def publish(self, making: Making, recipe: dict[str, Any], owner: str, facts: dict[str, Any]) -> Version:
        """Make the filled place a version: pictures first, then the tables in one rename."""
        meta = read_meta(making.folder)
        write_meta(making.folder, meta.model_copy(update={
            "name": making.name, "recipe": recipe, "parents": [parent["ref"] for parent in recipe.get("parents", [])]}))
        digest = table_digest(making.folder)
        write_json(making.folder / "version.json", facts | {"digest": digest, "owner": owner})
        _protect(making.folder)
        if any(making.pictures.iterdir()):
            self._place_pictures(making)
        number = self._next(making.name)
        target = self.versions / making.name / str(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (owned := target.parent / "owner.json").exists():
            write_json(owned, {"owner": owner})
        making.folder.rename(target)
        shutil.rmtree(making.pictures.parent, ignore_errors=True)
        return Version(making.name, number, target)

    def _place_pictures(self, making: Making) -> None:
        _protect(making.pictures)
        target = self.pictures / making.origin
        target.parent.mkdir(parents=True, exist_ok=True)
        # a command that was killed between the two renames left pictures that no version has
        shutil.rmtree(target, ignore_errors=True)
        making.pictures.rename(target)

    def _next(self, name: str) -> int:
        return max((version.number for version in self.of(name)), default=0) + 1

    def _refuse_others(self, name: str, owner: str) -> None:
        path = self.versions / name / "owner.json"
        if self.shared and path.is_file() and (whose := read_json(path).get("owner")) != owner:
            raise UserError(f"{name} is {whose}'s, and you are {owner}: it is read-only for you",
                            where=self.root, mend=f"make a version of your own from it: --name {name}-{owner}"[:120])


def table_digest(folder: Path) -> str:
    """SHA-256 of a version's tables and classes: equal for equal data, whenever and wherever it was made."""
    return digest_value([*(digest_file(folder / name) for name in TABLES), read_meta(folder).classes])


def _protect(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with contextlib.suppress(PermissionError):
                path.chmod(READ_ONLY)
