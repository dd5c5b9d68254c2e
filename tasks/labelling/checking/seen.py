"""Which pictures a model was trained on, as far as this machine knows."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq

from tasks.base.errors import VisionmillError

# as the column `source` names a registered version
VERSION = re.compile(r"(?P<name>.+)@(?P<number>\d+)")


def trained_on(model: str, workspace: Path) -> set[str] | None:
    """Digests of the pictures that a registered version `NAME@N` was trained on, or None where nobody can say.

    Its validation pictures count too: its best epoch was chosen on them.
    """
    from tasks.registry.tracing.kept import Kept
    from tasks.registry.tracing.origins import tables
    from tasks.registry.tracing.reading import open_registry

    named = VERSION.fullmatch(model)
    if not named:
        return None
    try:
        known = [one for one in open_registry(workspace).versions(named["name"]) if one.version == named["number"]]
    except VisionmillError:
        return None
    found = tables(known[0].tag("data_hash"), Kept(workspace)) if known else None
    if found is None:
        return None
    rows = pq.read_table(found.images, columns=["digest", "split"])
    return {digest for digest, split in zip(rows["digest"].to_pylist(), rows["split"].to_pylist(), strict=True)
            if split != "test"}


def warning(model: str, digests: list[str], workspace: Path) -> str | None:
    """What a person must know before they believe that model about these pictures; None where it has seen none."""
    seen = trained_on(model, workspace)
    if seen is None:
        return (f"whether {model} was trained on these pictures is not known here; where it was, it repeats their "
                "labels, wrong ones too, and finds little: out-of-fold predictions (no --model) do not")
    count = sum(digest in seen for digest in digests)
    if not count:
        return None
    return (f"warning: {model} was trained on {count:,} of these {len(digests):,} pictures: there it repeats the "
            "labels, wrong ones too, and finds little; out-of-fold predictions (no --model) do not")
