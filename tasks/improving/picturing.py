"""The model looks at pictures of a round, and why they were picked, in short."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.improving.trusting import believe

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.data.store.layout import Version
    from tasks.improving.work import Work
    from tasks.labelling.prelabelling import Prelabels

SHOWN = 5


def look(work: Work, version: Version, needs: frozenset[str]) -> Prelabels:
    """The pre-labels of a version by this round's model; what was looked at before is not again.

    Raises:
        UserError: there is no model yet.
    """
    from tasks.labelling.prelabelling import Settings, prelabel

    model = work.model()
    if model is None:
        raise UserError(f"no model is there to look at {version.ref}", where=f"round {work.round}",
                        mend="visionmill improve --strategy random (or coverage) for the first round, or --model NAME")
    mirrored = work.settings.light.augment.flip != "none" or "flip" in needs
    asked = Settings(flip=mirrored, aldd="aldd" in needs, consistency="consistency" in needs, vectors=False)
    teacher = _opened(work, model, list(version.meta.classes))
    believe(work, teacher.digest)
    return prelabel(version, work.store, teacher, asked, work.desk_root, processes=work.settings.processes)


def _opened(work: Work, model: str, classes: list[str]) -> Any:
    from tasks.labelling.teachers.opening import open_teacher

    inside = work.loop.workspace / model
    if model.startswith("models:/") or not inside.exists():
        return open_teacher(model, classes, workspace=work.loop.workspace)
    teacher: Any = open_teacher(str(inside), classes, workspace=work.loop.workspace)
    # what stands in the column `source`: a path says nothing to people
    teacher.name = f"{work.loop.name}-{Path(model).name}"
    return teacher


def reasons_of(table: pa.Table) -> list[dict[str, Any]]:
    """The first reasons, and for those that were drawn how many they are."""
    rows = table.select(["rank", "random", "reason", "score"]).to_pylist()
    own = [{"reason": row["reason"], "score": row["score"]} for row in rows if not row["random"]][:SHOWN]
    drawn = Counter(row["reason"] for row in rows if row["random"])
    return own + [{"reason": reason, "pictures": count} for reason, count in drawn.most_common(1)]
