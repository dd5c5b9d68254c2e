"""Where bundles lie: `PLACE/NAME/TARGET/v12-1a2b3c4d`, and `current`, a link that is switched in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_value, read_json, write_json
from tasks.base.site import Site, read_site

CURRENT, RECORD = "current", "deployed.json"
HISTORY = 20  # switches that deployed.json lists


@dataclass(frozen=True)
class Place:
    """The folder of one model's bundles for one target."""

    name: str
    target: str
    folder: Path

    def current(self) -> str | None:
        """Name of the bundle that is in use, None before the first."""
        link = self.folder / CURRENT
        return link.readlink().name if link.is_symlink() else None

    def record(self) -> dict[str, Any]:
        """What was written of the last switches; empty when there were none, or when it cannot be read."""
        try:
            told = read_json(self.folder / RECORD)
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def switch(self, bundle: str) -> None:
        """Point `current` to a bundle beside it: whoever opens it gets the old one or the new one."""
        beside = self.folder / f".{CURRENT}.{os.getpid()}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(bundle, target_is_directory=True)
        beside.replace(self.folder / CURRENT)

    def remember(self, told: Mapping[str, Any]) -> None:
        """Write down a switch; the record of a killed one is written by the next."""
        before = self.record().get("history", [])
        same = before and before[-1].get("folder") == told["folder"]
        history = [*(before[:-1] if same else before), dict(told)][-HISTORY:]
        write_json(self.folder / RECORD, {"name": self.name, "target": self.target, **told, "history": history})

    def bundles(self) -> list[str]:
        """Names of the bundles that are there, in the order that they were used last, the newest first."""
        there = {path.name for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()
                 and path.name.startswith("v")} if self.folder.is_dir() else set()
        used = [str(entry.get("folder")) for entry in reversed(self.record().get("history", []))]
        known = [name for name in dict.fromkeys(used) if name in there]
        return known + sorted(there - set(known))

    def tidy(self, keep: int) -> None:
        """Remove what a killed deployment left, and all but `keep` bundles beside the one in use."""
        if not self.folder.is_dir():
            return
        for left in self.folder.glob(".*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            elif left.name.startswith((f".{CURRENT}.", f".{RECORD}.")):
                left.unlink(missing_ok=True)
        used = self.current()
        for old in [name for name in self.bundles() if name != used][keep:]:
            shutil.rmtree(self.folder / old, ignore_errors=True)


def root(workspace: Path, site: Site) -> Path:
    """The folder that all bundles of a site are placed below."""
    return (workspace.resolve() / Path(site.deploy.place).expanduser()).resolve()


def place_of(name: str, target: str, workspace: Path, site: Site) -> Path:
    """The folder of a target's bundles.

    Raises:
        UserError: a name that would lead elsewhere.
    """
    for part in (name, target):
        if part in ("", ".", "..") or "/" in part or part.startswith("."):
            raise UserError(f"{part!r} cannot be the name of a folder", where=f"{name}/{target}",
                            mend="give the model another name: register.name in params.yaml")
    return root(workspace, site) / name / target


def place(name: str, target: str, workspace: Path, site: Site) -> Place:
    return Place(name, target, place_of(name, target, workspace, site))


def bundle_name(version: Any, target: Mapping[str, Any]) -> str:
    """`v12-1a2b3c4d`: equal for the same version and target, another where a registry was begun anew."""
    return f"v{version.version}-{digest_value([version.source, version.creation_timestamp, dict(target)])[:8]}"


def placed(workspace: Path = Path(), site: Site | None = None) -> list[dict[str, Any]]:
    """What is deployed where.

    Returns:
        One dictionary a model and target: name, target, version (None when it is not known), folder, path (absolute),
        when, smoke, whole (False when files are missing or changed), kept (names of the bundles beside it).
    """
    found = []
    for link in sorted(root(workspace, site or read_site(workspace)).glob(f"*/*/{CURRENT}")):
        own = Place(link.parent.parent.name, link.parent.name, link.parent)
        used, told = own.current(), own.record()
        told = told if told.get("folder") == used else {}
        found.append({
            "name": own.name, "target": own.target, "version": told.get("version") or _version_in(used),
            "folder": used, "path": str(own.folder / str(used)), "when": told.get("when"), "smoke": told.get("smoke"),
            "whole": is_whole(own.folder / str(used)), "kept": [name for name in own.bundles() if name != used]})
    return found


def is_whole(bundle: Path) -> bool:
    """Whether a bundle is as it was made."""
    from tasks.bundle.make import check_bundle

    try:
        check_bundle(bundle)
    except (DataError, OSError, ValueError, KeyError):
        return False
    return True


def _version_in(folder: str | None) -> str | None:
    number = (folder or "").partition("-")[0].removeprefix("v")
    return number if number.isdigit() else None
