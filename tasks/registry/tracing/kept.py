"""What DVC has on this machine of a hash: a file or a folder of its cache, found by path. DVC itself is not asked."""

from __future__ import annotations

import configparser
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.registry.lineage import dvc_hashes


class Kept:
    """Contents by hash: from the cache, else from the workspace where its lock says that it has that very hash."""

    def __init__(self, workspace: Path = Path()) -> None:
        self._workspace = workspace.resolve()

    @cached_property
    def cache(self) -> Path | None:
        """The folder of DVC's cache, None where there is no DVC repository."""
        for folder in (self._workspace, *self._workspace.parents):
            if (folder / ".dvc").is_dir():
                named = _setting(folder / ".dvc", "cache", "dir")
                return (folder / ".dvc" / named).resolve() if named else folder / ".dvc" / "cache"
        return None

    @cached_property
    def _here(self) -> dict[str, Path]:
        return {value: self._workspace / path for path, value in dvc_hashes(self._workspace).items() if value}

    def file(self, md5: str) -> Path | None:
        """The content of a file's hash."""
        if self.cache is None or len(md5) < 3 or not md5.removesuffix(".dir").isalnum():
            return self._in_workspace(md5)
        # files of DVC before 3 lie one level higher
        for place in (self.cache / "files" / "md5", self.cache):
            if (found := place / md5[:2] / md5[2:]).is_file():
                return found
        return self._in_workspace(md5)

    def listing(self, md5: str) -> dict[str, str] | None:
        """Relative path → hash of a folder's files, None where its list is not here."""
        if not md5.endswith(".dir") or (file := self.file(md5)) is None or not file.is_file():
            return None
        try:
            return {str(entry["relpath"]): str(entry["md5"]) for entry in _entries(file)}
        except (ValueError, KeyError, TypeError):
            return None

    def inside(self, md5: str, name: str) -> Path | None:
        """A file of a folder, by the folder's hash."""
        listed = self.listing(md5)
        if listed is not None and name in listed and (found := self.file(listed[name])) is not None:
            return found
        folder = self._in_workspace(md5)
        return folder / name if folder is not None and (folder / name).is_file() else None

    def _in_workspace(self, md5: str) -> Path | None:
        found = self._here.get(md5)
        return found if found is not None and found.exists() else None


def _entries(file: Path) -> list[dict[str, Any]]:
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if isinstance(found, list) else []


def _setting(folder: Path, section: str, key: str) -> str | None:
    """A value of .dvc/config; config.local, which git does not have, goes first."""
    for name in ("config.local", "config"):
        settings = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            settings.read(folder / name, encoding="utf-8")
        except (configparser.Error, OSError):
            continue
        if settings.has_option(section, key):
            return settings.get(section, key).strip().strip("'\"")
    return None
