"""Copies pictures without doubling their bytes where the file system can share them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tasks.base.errors import UserError
from tasks.data.linking import clone_or_copy


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder of pictures; links are followed, and the original keeps its own files.

    A hard link would be cheaper and wrong: DVC makes what it links read-only, and that would be the original.

    Raises:
        UserError: the source is inside the target or the other way round, or a link leads nowhere.
    """
    if target.is_relative_to(source):
        raise UserError("the workspace would be inside its own pictures", where=source, mend="choose another path")
    try:
        shutil.copytree(source, target, copy_function=clone, ignore=shutil.ignore_patterns(".git", ".dvc"))
    except shutil.Error as error:
        first, _, reason = error.args[0][0]
        raise UserError(f"cannot be copied: {reason}", where=first, mend="mend or remove that file") from error


def clone(source: str, target: str) -> str:
    """A copy that shares its blocks (reflink), else a plain one."""
    clone_or_copy(Path(source), Path(target))
    os.utime(target, ns=(Path(source).stat().st_atime_ns, Path(source).stat().st_mtime_ns))
    return target
