"""The strategies by name, and the one function that mines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import ParamsError, UserError, nearest
from tasks.base.params import check
from tasks.labels.mining.aldd import ALDD
from tasks.labels.mining.cald import CALD
from tasks.labels.mining.coverage import COVERAGE
from tasks.labels.mining.failures import FAILURES
from tasks.labels.mining.mixed import MIXED
from tasks.labels.mining.pool import Known, Pool, free_places
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task
from tasks.labels.mining.uncertain import ENTROPY, FLIP, MARGIN

SCHEMA = pa.schema([
    pa.field("image_id", pa.int64(), nullable=False),
    # from 0, the order in which they were picked
    pa.field("rank", pa.int32(), nullable=False),
    pa.field("strategy", pa.string(), nullable=False),
    # of the share that is drawn whatever the model believes
    pa.field("random", pa.bool_(), nullable=False),
    # what the strategy went by, higher is sooner; null for those drawn at random
    pa.field("score", pa.float64()),
    # further numbers, a JSON object
    pa.field("scores", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
])
MISSING = {
    "boxes": ("no model has looked at the pool", "pre-label it first: visionmill label auto POOL --model NAME; or take "
              "--strategy coverage or random"),
    "vectors": ("the pool has no vectors", "make them: they are those that near-duplicates are found by"),
    "flip": ("the pool's boxes have no column `flip`", "pre-label it with a look in the mirror"),
    "aldd": ("the pool has no column `aldd`", "pre-label it with heat maps"),
    "consistency": ("the pool has no column `consistency`", "pre-label it with looks at changed copies"),
    "failures": ("no failures of an evaluation were given", "evaluate on val first"),
}


@dataclass(frozen=True)
class Mined:
    """What was picked, in the form of `SCHEMA`; what else is to be told; the parameters as they were used."""

    table: pa.Table
    notes: list[str]
    params: dict[str, Any]


def _random(params: Params, task: Task) -> Ranked:
    places = task.rng.permutation(task.free)[:task.budget]
    reason = f"drawn at random, one of {len(task.free):,}"
    return Ranked(places, np.zeros(len(places)), [reason] * len(places))


RANDOM = Strategy("random", "drawn, each alike: what all others are compared with", Params, frozenset(), _random)
STRATEGIES = {one.name: one for one in (RANDOM, ENTROPY, MARGIN, FLIP, ALDD, CALD, COVERAGE, MIXED, FAILURES)}


def strategy(name: str) -> Strategy:
    """A strategy by its name.

    Raises:
        ParamsError: there is none.
    """
    if name not in STRATEGIES:
        guess = nearest(name, STRATEGIES)
        raise ParamsError(f"no strategy {name!r}", where="strategy", mend=f"did you mean {guess!r}?" if guess else
                          f"there are {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def mine(pool: Pool, name: str, budget: int, known: Known | None = None,
         values: Mapping[str, Any] | None = None) -> Mined:
    """Pick `budget` pictures that are worth labelling; the same ones for the same seed.

    Left out are pictures that are known and near-duplicates. A share `epsilon` of the budget, rounded, is drawn at
    random, after the strategy's own.

    Args:
        values: parameters of the strategy (`strategy(name).params`).

    Raises:
        ParamsError: no such strategy, a wrong parameter, a budget below 1.
        UserError: something that the strategy needs is not there.
        DataError: an empty pool, or one of which nothing is left.
    """
    chosen = strategy(name)
    params = check(chosen.params, dict(values or {}), f"mining.{name}")
    if budget < 1:
        raise ParamsError(f"budget: at least 1 (got {budget})", where="budget", mend="name how many can be labelled")
    known = known or Known()
    free, notes = free_places(pool, known)
    _refuse_lacks(chosen, pool, known)
    rng = np.random.default_rng([params.seed, *name.encode()])
    if budget > len(free):
        notes.append(f"the budget of {budget:,} is larger than what is left of the pool: all {len(free):,} are taken")
        budget = len(free)
    drawn = 0 if chosen is RANDOM else round(params.epsilon * budget)
    ranked = _nothing() if drawn == budget else chosen.select(params, Task(pool, known, free, budget - drawn, rng))
    left = np.setdiff1d(free, ranked.places)
    extra = _random(params, Task(pool, known, left, min(drawn, len(left)), rng))
    return Mined(_table(pool, chosen, ranked, extra), [*notes, *ranked.notes], params.model_dump())


def _nothing() -> Ranked:
    return Ranked(np.zeros(0, np.int64), np.zeros(0), [])


def _refuse_lacks(chosen: Strategy, pool: Pool, known: Known) -> None:
    having = {"boxes": pool.boxes is not None, "vectors": pool.vectors is not None, "flip": _has_column(pool, "flip"),
              "failures": known.failures is not None}
    for need in sorted(chosen.needs):
        if not having.get(need, need in pool.columns):
            what, mend = MISSING[need]
            raise UserError(f"{chosen.name}: {what}", where="pool", mend=mend)


def _has_column(pool: Pool, name: str) -> bool:
    first = next(iter(pool.boxes()), None) if pool.boxes else None
    return first is None or name in first.schema.names


def _table(pool: Pool, chosen: Strategy, ranked: Ranked, extra: Ranked) -> pa.Table:
    places, own = np.concatenate([ranked.places, extra.places]), len(ranked.places)
    parts = [json.dumps({key: round(float(column[row]), 6) for key, column in sorted(ranked.parts.items())})
             for row in range(own)]
    random = np.arange(len(places)) >= own if chosen is not RANDOM else np.ones(len(places), bool)
    score = np.concatenate([ranked.score, extra.score])
    return pa.table([
        pa.array(pool.image_id[places], pa.int64()), pa.array(np.arange(len(places)), pa.int32()),
        pa.array([chosen.name] * len(places), pa.string()), pa.array(random), pa.array(score, mask=random),
        pa.array([*parts, *["{}"] * len(extra.places)], pa.string()),
        pa.array([*ranked.reasons, *extra.reasons], pa.string())], schema=SCHEMA)
