"""Stage `checkout`: the chosen dataset version of the store becomes what the line reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.base.errors import DataError, ParamsError
from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.data.linking import link_or_copy
from tasks.data.store.layout import TABLES, Store, Version
from tasks.data.store.shards import files_of
from tasks.data.store.site import store_of
from tasks.data.table import full_disk_is_told

# the section of params.yaml; a module of that name is a library
SECTION = "data"


class Params(Base):
    """Section `data` of params.yaml."""

    version: str | None = None
    digest: str | None = None


def run(params: Params, *, pictures: Path, out: Path) -> None:
    """Link the pictures of the version into `pictures` and copy its tables to `out`; no picture is doubled.

    Raises:
        ParamsError: no version is chosen. UserError: there is none of that name.
        DataError: its tables are not those of `digest`, a picture is missing, or the disk is full.
    """
    if params.version is None:
        raise ParamsError("no dataset version is chosen", where="params.yaml: data.version",
                          mend="visionmill data use NAME@N")
    store = store_of(Path())
    version = store.find(params.version)
    _ = version.meta
    if params.digest not in (None, version.digest):
        raise DataError(f"{version.ref} is not the version that params.yaml means ({version.digest[:12]} instead of "
                        f"{str(params.digest)[:12]})", where=version.folder, mend=f"visionmill data use {version.ref}")
    with full_disk_is_told(pictures), folder_atomic(pictures) as new:
        linked = _link(store, version, new)
    with full_disk_is_told(out), folder_atomic(out) as new:
        for name in (*TABLES, "dataset.json"):
            shutil.copyfile(version.folder / name, new / name)
        write_json(new / "notes.json", [])
    print(f"{version.ref}: {linked} files linked from {store.root}, "
          f"{version.meta.problem}, classes: {', '.join(version.meta.classes)}")


def _link(store: Store, version: Version, folder: Path) -> int:
    linked = 0
    for name in files_of(version.folder / "images.parquet"):
        source = store.pictures / name
        if not source.is_file():
            raise DataError("a picture of this version is not on this machine", where=source,
                            mend=f"visionmill data pull {version.ref}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, folder / name)
        linked += 1
    return linked


