"""Presets: one folder a kind under `conf/`. A workspace's own `conf/` goes first, then the one of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.base.errors import ParamsError, nearest
from tasks.base.params import read_yaml

PACKAGE = Path(__file__).resolve().parents[2] / "conf"


def folders(kind: str, workspace: Path = Path()) -> list[Path]:
    own = (workspace / "conf" / kind).resolve()
    return [f for f in dict.fromkeys([own, PACKAGE / kind]) if f.is_dir()]


def names(kind: str, workspace: Path = Path()) -> list[str]:
    """The presets of a kind, sorted."""
    return sorted({p.stem for folder in folders(kind, workspace) for p in folder.glob("*.yaml")})


def find(kind: str, name: str, workspace: Path = Path()) -> Path:
    """The file of one preset.

    Raises:
        ParamsError: no such preset; the nearest name is offered.
    """
    for folder in folders(kind, workspace):
        if name in {p.stem for p in folder.glob("*.yaml")}:
            return folder / f"{name}.yaml"
    known = names(kind, workspace)
    guess = nearest(name, known)
    mend = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known) or 'none'}"
    raise ParamsError(f"no {kind} preset is called {name!r}", where=f"conf/{kind}/", mend=mend)


def load(kind: str, name: str, workspace: Path = Path()) -> dict[str, Any]:
    """The content of one preset as plain data."""
    return read_yaml(find(kind, name, workspace)) or {}
