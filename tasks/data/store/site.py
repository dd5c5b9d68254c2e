"""Where this workspace's store is: `conf/site/*.yaml`. It changes no result."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.base import presets
from tasks.base.params import Params, check
from tasks.data.store.layout import Store

SITE = "VISIONMILL_SITE"
STORE = "VISIONMILL_STORE"


class Site(Params):
    """`conf/site/*.yaml`: where things live."""

    store: str = "data/store"
    remote: str = "~/visionmill-remote"


def read_site(workspace: Path = Path()) -> Site:
    """The site that the environment variable VISIONMILL_SITE names, `default` without it."""
    name = os.environ.get(SITE, "default")
    return check(Site, presets.load("site", name, workspace), f"conf/site/{name}.yaml")


def store_of(workspace: Path) -> Store:
    """The store that VISIONMILL_STORE names, which works in any folder; else the one of the workspace's site."""
    if named := os.environ.get(STORE):
        return Store(Path(named).expanduser().resolve())
    return Store((workspace / Path(read_site(workspace).store).expanduser()).resolve())
