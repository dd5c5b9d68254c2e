"""Picking what is worth labelling from a pool: `visionmill mine`, and the rounds of `visionmill improve`.

`pick` is the door. The strategies and their formulas are in `tasks.labels.mining`; here is what they are fed with, and
what becomes of their picks: a version of the picked pictures, with their pre-labels, scores and reasons.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.params import check
from tasks.data.classes import read_classes
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.table import read_meta
from tasks.labelling.picking.alike import Alike, alike, rows_of
from tasks.labelling.picking.blocks import next_block, note_block
from tasks.labelling.picking.carried import shown
from tasks.labelling.picking.known import Held, held, is_known, known_by_default, labels_of, line_set
from tasks.labelling.picking.mistakes import Evaluation, failures, last_evaluation, quality
from tasks.labelling.picking.needs import as_asked, refuse_lacks
from tasks.labelling.pools import images_of
from tasks.labels.mining.pool import Known, NothingLeft, Pool, free_places
from tasks.labels.mining.registry import Mined, mine
from tasks.labels.mining.registry import strategy as strategy_of

if TYPE_CHECKING:
    from tasks.labelling.prelabelling import Prelabels

__all__ = ["Evaluation", "Mined", "known_by_default", "last_evaluation", "pick"]

PLUGIN = "plugin:"


@dataclass(frozen=True)
class Asked:
    """What `pick` was asked, without where the answer goes.

    Attributes:
        known: sets of pictures that are not picked again.
        again: the name whose versions are known for that alone, where another may be taken; None in rounds.
    """

    pool: Version
    store: Store
    workspace: Path
    strategy: str
    budget: int
    known: Sequence[Held]
    values: dict[str, Any]
    prelabels: Prelabels | None
    evaluation: Evaluation | None
    again: str | None


def pick(pool: Version, store: Store, workspace: Path, *, strategy: str, budget: int, known: Sequence[Version],
         out: str, owner: str, values: Mapping[str, Any] | None = None, prelabels: Prelabels | None = None,
         round: int | None = None, evaluation: Evaluation | None = None,
         chunk: int | None = None, line: bool = True) -> tuple[Version, Mined]:
    """A version of the `budget` pictures of a pool that are worth labelling, and why; the same for the same input.

    Left out are pictures that are known (by their bytes: of `known`, of the line's own split), near-duplicates of them
    or of each other, and what cannot be read. The picked ones have their pre-labels where there are any, else what
    labels the pool has; what was found out of each stands in `images.attributes`, under `mined`.

    Args:
        strategy: one of `tasks.labels.mining.registry.STRATEGIES`, or `plugin:NAME`.
        known: versions whose pictures are labelled or were picked before; see `known_by_default`.
        values: parameters of the strategy.
        prelabels: of this very version of the pool.
        evaluation: on val, for `failures` and the weights of `mixed`; the workspace's last when None.
        chunk: look at the next so many pictures only, of which no earlier call has looked at any.
        line: whether what the line of the workspace has split is known too; rounds say themselves what is labelled.

    Raises:
        ParamsError: no such strategy, a wrong parameter, a budget or a chunk below 1.
        UserError: something that the strategy needs is not there; the command that makes it is named.
        DataError: pre-labels of another version, an empty pool; NothingLeft: nothing is left of it.
    """
    check_asked(strategy, budget, values)
    _refuse_others(pool, prelabels)
    sets = [*held(known, store), *(line_set(workspace) if line else [])]
    asked = Asked(pool, store, workspace, strategy, budget, sets, dict(values or {}), prelabels, evaluation,
                  out if line else None)
    images = images_of(pool.folder)
    if not images.num_rows:
        raise DataError("the pool has no pictures", where=pool.ref, mend="visionmill data import DIR --format pictures "
                        f"--name {pool.name}")
    mined, block = _first_picks(asked, images, chunk)
    version = _published(asked, mined, known, out, owner, round, block)
    if block is not None:
        note_block(pool, workspace, block, version.ref)
    return version, mined


def check_asked(strategy: str, budget: int, values: Mapping[str, Any] | None) -> None:
    """Raises ParamsError for a strategy, a parameter or a budget that is none; before anything is looked at."""
    if budget < 1:
        raise ParamsError(f"budget: at least 1 (got {budget})", where="budget", mend="name how many can be labelled")
    if not strategy.startswith(PLUGIN):
        check(strategy_of(strategy).params, dict(values or {}), f"mining.{strategy}")


def _first_picks(asked: Asked, images: pa.Table, chunk: int | None) -> tuple[Mined, np.ndarray | None]:
    """The picks of all pictures, or of the next block of which anything is left, and that block."""
    while True:
        block = None if chunk is None else next_block(asked.pool, asked.store, asked.workspace, chunk)
        some = images if block is None else images.filter(pa.array(np.isin(images["image_id"].to_numpy(), block)))
        mined = _mined(asked, some, last=block is None)
        if mined is not None:
            return mined, block
        assert block is not None
        note_block(asked.pool, asked.workspace, block, None)


def _mined(asked: Asked, images: pa.Table, last: bool) -> Mined | None:
    """What is picked of these pictures; None where nothing of them is left and they are not the `last` ones."""
    # what is lacking is told before a million pictures are compared
    _refuse_lacks(asked)
    failed = _failures(asked)
    looks = alike(images, asked.store.pictures, asked.known, asked.workspace)
    taken = is_known(images["digest"], asked.known)
    pool, rows = _pool(asked, images, looks)
    seen = np.concatenate([looks.known_vectors[looks.known_readable], looks.vectors[taken & looks.readable]])
    known = Known(image_id=pool.image_id[taken[rows]], near=looks.known_near, failures=failed, vectors=seen,
                  counts=labels_of(asked.known, pool.classes))
    notes = [f"{many:,} {words}" for many, words in (
        (images.num_rows - len(rows), "pictures cannot be read"),
        (int((~looks.known_readable).sum()), "known pictures cannot be read here: near-duplicates of them are not left "
                                             "out")) if many]
    try:
        free_places(pool, known)
    except NothingLeft as error:
        if last:
            raise _nothing_left(asked, error) from None
        return None
    if asked.strategy.startswith(PLUGIN):
        from tasks.labelling.picking.plugged import mine_plugged

        mined = mine_plugged(asked.strategy.removeprefix(PLUGIN), asked.pool, asked.store, asked.workspace, pool,
                             asked.budget, known, asked.values)
    else:
        mined = mine(pool, asked.strategy, asked.budget, known, _values(asked, pool.classes))
    return replace(mined, notes=[*notes, *mined.notes])


def _pool(asked: Asked, images: pa.Table, looks: Alike) -> tuple[Pool, np.ndarray]:
    """The pictures that can be read, as the strategies take them; and their rows among `images`."""
    sound, found = looks.readable, asked.prelabels
    if found is not None and found.unreadable:
        sound = sound & ~np.isin(images["image_id"].to_numpy(), list(found.unreadable))
    rows = np.flatnonzero(sound)
    if not len(rows):
        raise DataError(f"none of the {images.num_rows:,} pictures can be read", where=asked.pool.ref,
                        mend=f"visionmill data pull {asked.pool.ref}")
    ids = images["image_id"].to_numpy()[rows]
    if found is None:
        return Pool(ids, _classes(asked), None, rows_of(looks.vectors, rows), looks.near[rows]), rows
    place = np.searchsorted(found.image_id, ids)
    columns = {name: np.asarray(values)[place] for name, values in found.columns.items()}
    return Pool(ids, found.classes, found.rated, rows_of(looks.vectors, rows), looks.near[rows], columns), rows


def _nothing_left(asked: Asked, error: NothingLeft) -> NothingLeft:
    earlier = [one.ref for one in asked.known if asked.again and one.ref.startswith(f"{asked.again}@")]
    again = f"; or mine with another --out: what is in {', '.join(earlier)} may be picked again" if earlier else ""
    return NothingLeft(error.what, where=asked.pool.ref, mend="bring other pictures: visionmill data import FOLDER "
                     f"--format pictures --name {asked.pool.name}{again}")


def _refuse_lacks(asked: Asked) -> None:
    if asked.strategy.startswith(PLUGIN):
        return
    found = asked.prelabels
    columns = found.columns if found else {}
    having = {"boxes": found is not None, "flip": found is not None and bool(found.facts["settings"]["flip"]),
              "aldd": "aldd" in columns, "consistency": "consistency" in columns}
    refuse_lacks(strategy_of(asked.strategy), having, asked.pool.ref, found.name if found else "NAME",
                 mapped=found is not None and any("are left out" in note and "by name" not in note
                                                  for note in found.facts["notes"]))


def _failures(asked: Asked) -> Any:
    if asked.strategy != "failures":
        return None
    return failures(asked.evaluation or last_evaluation(asked.workspace), asked.workspace)


def _values(asked: Asked, classes: Sequence[str]) -> dict[str, Any]:
    """The strategy's parameters; for `mixed` how well each class is known, where val has said so."""
    values = dict(asked.values)
    if asked.strategy != "mixed" or "quality" in values:
        return values
    try:
        evaluation = asked.evaluation or last_evaluation(asked.workspace, make=False)
    except UserError:
        return values
    return values | {"quality": {name: value for name, value in quality(evaluation).items() if name in classes}}


def _published(asked: Asked, mined: Mined, known: Sequence[Version], out: str, owner: str, round: int | None,
               block: np.ndarray | None) -> Version:
    ids = np.sort(mined.table["image_id"].to_numpy())
    told = {row.pop("image_id"): {"mined": _said(row, round)} for row in mined.table.to_pylist()}
    classes = _classes(asked)
    if asked.prelabels is None:
        rows = pq.read_table(asked.pool.folder / "annotations.parquet")
        annotations = rows.filter(pa.array(np.isin(rows["image_id"].to_numpy(), ids)))
    else:
        annotations, pictures = shown(asked.prelabels, ids)
        for image, said in pictures.items():
            told[image]["prelabel"] = said
    by = f"model:{asked.prelabels.name}" if asked.prelabels else "nobody"
    picked = {"strategy": asked.strategy, "budget": asked.budget, "parameters": mined.params, "round": round,
              "block": None if block is None else [int(block[0]), int(block[-1])]}
    return publish_labels(asked.store, asked.pool, out=out, owner=owner, said={"by": by, "picked": picked},
                          annotations=annotations, parents=known, keep=ids, pictures=told, classes=classes,
                          facts={"notes": mined.notes})[0]


def _classes(asked: Asked) -> list[str]:
    """Names in the order of class ids; for a pool without any those of what is labelled, or of the workspace."""
    lists = [asked.prelabels.classes if asked.prelabels else [], asked.pool.meta.classes,
             *(read_meta(one.folder).classes for one in asked.known),
             [entry.name for entry in read_classes(asked.workspace).entries]]
    return list(next((names for names in lists if names), []))


def _said(row: dict[str, Any], number: int | None) -> dict[str, Any]:
    """What a picture's attributes say of its pick; scores to the decimals that the parts of it have."""
    score = None if row["score"] is None else round(row["score"], 6)
    return row | {"score": score, "scores": json.loads(row["scores"]), "round": number}


def _refuse_others(pool: Version, prelabels: Prelabels | None) -> None:
    if prelabels is not None and prelabels.facts["pool"]["digest"] != (pool.digest or table_digest(pool.folder)):
        raise DataError(f"the pre-labels are of {prelabels.facts['pool']['ref']}, and the pool is {pool.ref}",
                        where=pool.folder, mend=f"visionmill label auto {pool.ref} --model {as_asked(prelabels.name)}")
