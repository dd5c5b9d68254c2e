"""How the pictures of a workspace may be mirrored: a mirrored 2 is another digit, a mirrored cell is a cell."""

from __future__ import annotations

from pathlib import Path

from tasks.base.params import check, read_yaml
from tasks.training.settings import Augment


def flip_of(workspace: Path) -> str:
    """`none`, `horizontal` or `both`: params.yaml, train.augment.flip; where it says nothing, as `Augment` does.

    What trains beside the line, or looks at mirror images, asks for it.

    Raises:
        ParamsError: another word stands there.
    """
    path = workspace / "params.yaml"
    section = (read_yaml(path) or {}).get("train") if path.is_file() else None
    said = ((section or {}).get("augment") or {}).get("flip") if isinstance(section, dict | None) else None
    return check(Augment, {} if said is None else {"flip": said}, "train.augment").flip
