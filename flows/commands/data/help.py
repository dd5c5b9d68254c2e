"""What the data verbs share: a parser, and the dataset that a person names."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from flows.commands import group
from flows.datastore import open_store
from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version

LINE = Path("data/raw")


@dataclass(frozen=True)
class Named:
    """A dataset that a person named: its tables, and what the column `file` is relative to."""

    ref: str
    folder: Path
    pictures: Path
    version: Version | None = None


def parser(verb: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser whose help ends with examples."""
    from flows.commands.data import VERBS

    return group.parser("data", verb, VERBS[verb][1], examples)


def named(ref: str, store: Store | None = None) -> Named:
    """The dataset NAME, NAME@N, or the folder that a stage of the line wrote.

    Raises:
        UserError: there is none; the nearest name is offered. DataError: its tables are not on this machine.
    """
    folder = Path(ref)
    if (folder / "dataset.json").is_file():
        inside = folder.resolve()
        raw = next((above / LINE for above in inside.parents if (above / LINE).is_dir()), None)
        if raw is None:
            raise UserError("the pictures of that folder are not known", where=folder,
                            mend="run this in the workspace that wrote it, or name a version of the store")
        return Named(ref, folder, raw)
    store = store or open_store()
    version = store.find(ref)
    _ = version.meta
    return Named(version.ref, version.folder, store.pictures, version)
