"""Pre-labels as a dataset version: the boxes that are worth showing, and how hard each picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version

if TYPE_CHECKING:
    from tasks.labelling.prelabelling.prelabels import Prelabels

BOX = ("image_id", "class_id", "x", "y", "w", "h", "score", "uncertainty", "difficulty", "polygons")
PICTURE = ("score", "uncertainty", "difficulty", "corrections", "boxes", "easy", "medium", "hard")


def publish(prelabels: Prelabels, store: Store, out: str, owner: str, shown: float) -> tuple[Version, bool]:
    """See `Prelabels.version`.

    Raises:
        UserError: the pool has gone since.
    """
    facts, calibration = prelabels.facts, prelabels.calibration()
    pool = pool_of(prelabels, store)
    parts = [table.filter(pc.greater_equal(table["probability"], shown)) for table in prelabels.rated(calibration)]
    boxes = pa.concat_tables(parts).combine_chunks()
    boxes = boxes.select([name for name in BOX if name in boxes.column_names])
    source = pa.array([f"model:{prelabels.name}"] * boxes.num_rows, pa.string())
    said = {"by": f"model:{prelabels.name}", "model_digest": facts["model_digest"], "settings": facts["settings"],
            "shown": shown, "calibration": {"kind": calibration.kind, "reviewed": calibration.reviewed}}
    return publish_labels(store, pool, out=out, owner=owner, said=said, classes=prelabels.classes,
                          annotations=boxes.append_column("source", source), pictures=_told(prelabels, shown))


def pool_of(prelabels: Prelabels, store: Store) -> Version:
    """The version that was looked at.

    Raises:
        UserError: it is not in the store any more.
    """
    told = prelabels.facts["pool"]
    found = next((one for one in store.of(str(told["ref"]).partition("@")[0])
                  if one.here and one.digest == told["digest"]), None)
    if found is None:
        raise UserError(f"{told['ref']} is not in the store as it was looked at", where=store.root,
                        mend=f"visionmill label auto {told['ref']} --model … looks at what is there now")
    return found


def _told(prelabels: Prelabels, shown: float) -> dict[int, dict[str, Any]]:
    """image_id → what the picture's attributes get."""
    rows = prelabels.pictures(shown=shown)
    columns = [[_plain(value) for value in rows[name].to_pylist()] for name in PICTURE]
    told: dict[int, dict[str, Any]] = {
        image: {"prelabel": {"model": prelabels.name, **dict(zip(PICTURE, values, strict=True))}}
        for image, values in zip(rows["image_id"].to_pylist(), zip(*columns, strict=True), strict=True)}
    return told | {image: {"prelabel": {"model": prelabels.name, "unreadable": reason}}
                   for image, reason in prelabels.unreadable.items()}


def _plain(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
