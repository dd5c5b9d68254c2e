"""What a workspace is on disk: the rendered DAG, the files that surround it, and its own small notes."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.base.params import read_yaml

TEMPLATE = Path(__file__).resolve().parents[1] / "conf" / "workspace"
# by another name: in this repository DVC would read every stage of it as its own
FILES = {"dvc.yaml": "dvc-yaml"}
# ignored by git and DVC: lock, receipts, durations, checkpoints
NOTES = Path(".visionmill")
# parts of the templates that only some workspaces have, by what feeds their line
BLOCK = re.compile(r"^ *# \[(\w+)\].*?# \[/\1\]\n", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"^ *# \[/?\w+\].*\n", re.MULTILINE)
BLOCKS = {"catalogue": {"fetch", "raw"}, "folder": {"raw"}, "version": {"version"}}
Feed = Literal["catalogue", "folder", "version"]


def render(name: str, feed: Feed) -> str:
    """The text of a workspace's `dvc.yaml` or `params.yaml`, with the stages that its feed needs."""
    text = (TEMPLATE / FILES.get(name, name)).read_text(encoding="utf-8")
    kept = BLOCK.sub(lambda block: block[0] if block[1] in BLOCKS[feed] else "", text)
    return MARKER.sub("", kept)


def feed_of(workspace: Path) -> Feed:
    """Where the line's pictures come from: a version of the store, a folder of one's own (`data/raw.dvc`), or the
    catalogue."""
    values = read_yaml(workspace / "params.yaml") or {}
    if (values.get("data") or {}).get("version"):
        return "version"
    return "folder" if (workspace / "data" / "raw.dvc").exists() else "catalogue"


def surroundings() -> dict[str, str]:
    """Name and text of the files around the DAG: what git and DVC ignore, and how DVC links its cache."""
    names = {".gitignore": "gitignore", ".dvcignore": "dvcignore", ".dvc/config": "dvc-config"}
    return {name: (TEMPLATE / file).read_text(encoding="utf-8") for name, file in names.items()}


def enter(workspace: Path = Path()) -> Path:
    """The absolute path of the workspace.

    Raises:
        UserError: the folder has no `dvc.yaml` or no `params.yaml`, or belongs to no DVC repository.
    """
    here = workspace.resolve()
    for name in ("dvc.yaml", "params.yaml"):
        if not (here / name).is_file():
            raise UserError(f"this is no workspace: {name} is missing", where=here,
                            mend="cd into a workspace, or make one: visionmill new PATH --data NAME|FOLDER")
    if not any((folder / ".dvc").is_dir() for folder in (here, *here.parents)):
        raise UserError("this folder is in no DVC repository", where=here, mend="git init; dvc init")
    return here


def note(name: str, workspace: Path = Path()) -> Any:
    """A note of an earlier run, or None."""
    with contextlib.suppress(OSError, ValueError):
        return read_json(workspace / NOTES / f"{name}.json")
    return None


def leave_note(name: str, value: Any, workspace: Path = Path()) -> None:
    write_json(workspace / NOTES / f"{name}.json", value)


def own_program(name: str) -> str:
    """The program of this installation, whether its virtual environment is activated or not."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name
