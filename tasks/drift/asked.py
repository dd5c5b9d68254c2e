"""What a look is asked for, found: the dataset that is compared with, its pictures, and the model."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.base.errors import UserError
from tasks.data.store.site import store_of
from tasks.drift.predictions import Model
from tasks.drift.reference import Reference, read_reference
from tasks.registry import store
from tasks.seeing.opening import find_model

SPLIT, RAW = Path("data/split"), Path("data/raw")
NO_MODEL = "none"


def find_reference(workspace: Path, named: str | None = None, pictures: Path | None = None) -> Reference:
    """The line's own split; or a dataset folder, or a version of the store, NAME@VERSION.

    Args:
        pictures: the folder that a dataset folder's files are relative to; the line's `data/raw` where it is left out.

    Raises:
        UserError: no such dataset. DataError: it is damaged.
    """
    if named is None:
        return read_reference(workspace / SPLIT, pictures or workspace / RAW)
    if (Path(named) / "images.parquet").is_file():
        return read_reference(Path(named), pictures or workspace / RAW)
    versions = store_of(workspace)
    version = versions.find(named)
    if not version.here:
        raise UserError(f"{version.ref} is not on this machine", where=version.folder,
                        mend=f"visionmill data pull {version.ref}")
    return read_reference(version.folder, pictures or versions.pictures)


def find_detector(workspace: Path, named: str | None = None) -> tuple[Model | None, str]:
    """The model that is asked, and else why there is none: the champion's file, else the line's, unless it is named.

    Args:
        named: a file, a model folder, models:/NAME@ALIAS, or `none`.

    Raises:
        UserError: the one that is named is not there.
    """
    if named == NO_MODEL:
        return None, "no model was asked for"
    if named is not None:
        return Model(find_model(named, workspace), named, workspace), ""
    if (champion := _champion(workspace)) is not None:
        return Model(find_model(champion, workspace), champion, workspace), ""
    try:
        path = find_model(None, workspace)
    except UserError as error:
        return None, error.what
    return Model(path, path.relative_to(workspace).as_posix(), workspace), ""


def _champion(workspace: Path) -> str | None:
    """Its address by number; a SQLite file that is not there is not asked, which would make it."""
    uri = store.tracking_uri(workspace)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///").partition("?")[0]).exists() \
            and not os.environ.get("MLFLOW_REGISTRY_URI"):
        return None
    from tasks.registry.versions import champion

    found = champion(workspace=workspace)
    return f"models:/{found['name']}/{found['version']}" if found else None
