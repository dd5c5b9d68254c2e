"""A version built again, beside what it was: each output of its lock is equal, equal within a tolerance, or differs.

Three classes of output: equal to the bit on the same kind of machine; within a tolerance elsewhere; never compared,
because they hold times and run ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.base.files import read_json
from tasks.registry import lineage
from tasks.registry.tracing.kept import Kept

EQUAL, NEAR, DIFFERS, NEVER, NOT_REBUILT, BY_ACCURACY = (
    "equal", "equal within tolerance", "differs", "never compared", "not rebuilt", "by accuracy")
TIMED = ("runs/", "results/benchmark", "results/report", "code.yaml")
ACCURACY = "results/evaluate"
JUDGED = ("AP", "AP50")
SHOWN = 3


@dataclass(frozen=True)
class Compared:
    """One output of one stage: the verdict, and in words what it rests on."""

    stage: str
    path: str
    verdict: str
    detail: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Sides:
    """Where the contents of the old and of the new hashes are, and how they may differ.

    Attributes:
        kinds: stage → kind of the machine that made it, None where it was not recorded.
        here: kind of this machine.
        tolerance: of AP and AP50, 0..1, where the machines are of two kinds.
    """

    was: Kept
    now: Kept
    kinds: Mapping[str, str | None]
    here: str
    tolerance: float

    def alike(self, stage: str) -> bool:
        """Whether both sides were made on one kind of machine; a stage without a run counts as its line's training."""
        return (self.kinds.get(stage) or self.kinds.get("train")) == self.here


def compare(before: Iterable[Mapping[str, Any]], place: Path, rebuilt: Iterable[str], sides: Sides) -> list[Compared]:
    """Every output of the stages of a version's lock against the lock of the folder where it was built again.

    Args:
        before: the stages of the version, as in its trail.
        place: the rebuilt workspace.
        rebuilt: names of the stages that really ran there.
    """
    now = {name: {out["path"]: str(out.get("md5", "")) for out in stage.get("outs", [])}
           for name, stage in lineage.locked_stages(place).items()}
    done = set(rebuilt)
    rows = [_one(stage["name"], out, now, done, sides) for stage in before for out in stage["outs"]]
    return _settle(rows)


def _one(stage: str, out: Mapping[str, Any], now: Mapping[str, Mapping[str, str]], done: set[str],
         sides: Sides) -> Compared:
    path, was = str(out["path"]), str(out["hash"])
    row = Compared(stage, path, DIFFERS)
    if path.startswith(TIMED):
        return replace(row, verdict=NEVER, detail="holds times or run ids" if path != "code.yaml" else "code's digests")
    if stage not in done:
        return replace(row, verdict=NOT_REBUILT)
    new = now.get(stage, {}).get(path)
    if not new:
        return replace(row, detail="it was not made this time")
    if new == was:
        return replace(row, verdict=EQUAL, detail=was[:12])
    return _unequal(row, was, new, sides)


def _unequal(row: Compared, was: str, new: str, sides: Sides) -> Compared:
    files = _changed(was, new, sides)
    where = f"{was[:12]} is {new[:12]} now" + (f": {files}" if files else "")
    gap = accuracy_gap(was, new, sides) if row.path == ACCURACY else None
    told = f"{where}; largest change of AP or AP50 {gap:.4f}" if gap is not None else where
    if sides.alike(row.stage):
        return replace(row, detail=f"{told}, on the same kind of machine")
    known = sides.kinds.get(row.stage) or sides.kinds.get("train")
    other = f"made on {known}" if known else "its kind of machine was not recorded"
    if row.path == ACCURACY:
        near = gap is not None and gap <= sides.tolerance
        return replace(row, verdict=NEAR if near else DIFFERS, detail=f"{told}, at most {sides.tolerance:g}; {other}")
    if row.path.startswith("data/"):
        return _tables(row, was, new, sides, other)
    return replace(row, verdict=BY_ACCURACY, detail=f"{told}; {other}")


def _tables(row: Compared, was: str, new: str, sides: Sides, other: str) -> Compared:
    """Tables of two machines: the same pictures in the same splits, the same number of labels."""
    import pyarrow.parquet as pq

    for name, columns in (("images.parquet", ["digest", "split"]), ("annotations.parquet", ["image_id", "class_id"])):
        old, fresh = sides.was.inside(was, name), sides.now.inside(new, name)
        if old is None or fresh is None:
            return replace(row, detail=f"{was[:12]} is {new[:12]} now; {other}")
        if not pq.read_table(old, columns=columns).equals(pq.read_table(fresh, columns=columns)):
            return replace(row, detail=f"{name} has other rows; {other}")
    return replace(row, verdict=NEAR, detail=f"the same pictures, splits and labels, other bytes; {other}")


def accuracy_gap(was: str, new: str, sides: Sides) -> float | None:
    """Largest change of AP or AP50 over all artefacts of two results/evaluate; infinite where an artefact is missing,
    None where one of the two cannot be read."""
    files = sides.was.inside(was, "metrics.json"), sides.now.inside(new, "metrics.json")
    try:
        old, fresh = (read_json(file)["artefacts"] if file else None for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if old is None or fresh is None:
        return None
    gaps = [abs((one.get(key) or 0.0) - (fresh[name].get(key) or 0.0)) if name in fresh else math.inf
            for name, one in old.items() for key in JUDGED]
    return max(gaps, default=0.0)


def _changed(was: str, new: str, sides: Sides) -> str:
    old, fresh = sides.was.listing(was), sides.now.listing(new)
    if old is None or fresh is None:
        return ""
    names = sorted(name for name in {*old, *fresh} if old.get(name) != fresh.get(name))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _settle(rows: list[Compared]) -> list[Compared]:
    """Weights and exported files of another kind of machine are as near as the accuracy that they give."""
    judged = next((row.verdict for row in rows if row.path == ACCURACY), NOT_REBUILT)
    outcome = {EQUAL: NEAR, NEAR: NEAR, DIFFERS: DIFFERS}.get(judged, DIFFERS)
    because = {NEAR: "its accuracy is", DIFFERS: "its accuracy is not"}.get(outcome, "")
    why = f"{because} within the tolerance" if judged != NOT_REBUILT else "evaluate was not rebuilt to judge it"
    return [replace(row, verdict=outcome, detail=f"{row.detail}; {why}") if row.verdict == BY_ACCURACY else row
            for row in rows]


def is_compared(path: str) -> bool:
    """False for outputs that hold times and run ids."""
    return not path.startswith(TIMED)


def holds(rows: Iterable[Compared]) -> bool:
    """True when something was rebuilt, and nothing that was differs."""
    verdicts = [row.verdict for row in rows]
    return DIFFERS not in verdicts and (EQUAL in verdicts or NEAR in verdicts)


def code_differs(before: Iterable[Mapping[str, Any]], place: Path) -> list[str]:
    """Stages whose code's digest, as the folder's `code.yaml` has it now, is not the one of the version's lock."""
    from tasks.base.params import read_yaml

    file = place / "code.yaml"
    now = read_yaml(file) if file.is_file() else {}
    return [stage["name"] for stage in before
            if any((now or {}).get(key) != value for key, value in stage["params"].get("code.yaml", {}).items())]
