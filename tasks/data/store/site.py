"""Where this workspace's store is. It changes no result."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.base.site import read_site
from tasks.data.store.layout import Store

STORE = "VISIONMILL_STORE"


def store_of(workspace: Path) -> Store:
    """The store that VISIONMILL_STORE names, which works in any folder; else the one of the workspace's site."""
    if named := os.environ.get(STORE):
        return Store(Path(named).expanduser().resolve())
    return Store((workspace / Path(read_site(workspace).store).expanduser()).resolve())
