"""One look: pictures that arrived against those of the training, every test with its p-value and what it may say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tasks.base.params import Params
from tasks.data.near.embedding import CACHE
from tasks.drift import words
from tasks.drift.arriving import Arrived, arrived
from tasks.drift.measures import Entry, Seen, see
from tasks.drift.permuting import detectable, smallest_p
from tasks.drift.predictions import Model
from tasks.drift.reference import Reference, measured
from tasks.drift.strangers import Stranger, strangers
from tasks.drift.testing import Side, Test, is_constant, run_tests, sides_of

# near-duplicates on either side from which both sides are thinned from equally many pictures: of a larger sample more
# pictures are near-duplicates of each other, and what is left would differ without any drift
ALIKE = 0.1


class Settings(Params):
    """How a look is made.

    Attributes:
        false_alarm: share of looks without drift that give an alarm, for all tests of a look together.
        reference: pictures of the training that are compared at most; drawn by `seed`.
        arrived: of those that arrived.
        predicted: pictures of each side that the model is asked about.
        shown: the most unlike ones, kept for the page.
    """

    false_alarm: float = Field(default=0.01, gt=0, lt=0.5)
    reference: int = Field(default=2000, ge=2, le=10_000)
    arrived: int = Field(default=1000, ge=1, le=10_000)
    predicted: int = Field(default=400, ge=1, le=10_000)
    shown: int = Field(default=12, ge=0, le=100)
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """What a look found.

    Attributes:
        verdict: `drift`, `none seen` or `too few`; never a certain no.
        tests: those that were made, the smallest p-value first; `untested` names the others with the reason.
        counted: pictures that count once, of old and new; `held` those of the comparison of predictions.
        copies: arrived pictures that are in the dataset already, and are left out.
        smallest: shift of a mean, in standard deviations, that such a look sees four times in five.
    """

    settings: Settings
    arrived: Arrived
    reference: Reference
    verdict: str
    tests: list[Test]
    untested: dict[str, str]
    counted: tuple[int, int]
    held: tuple[int, int]
    looked: tuple[int, int]
    copies: int
    smallest: float | None
    unreadable: list[tuple[str, str]]
    strangers: list[Stranger] = field(default_factory=list)
    far: float | None = None
    model: str | None = None
    classes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All but the pictures."""
        return words.as_json(self)


def look_for_drift(folder: Path, reference: Reference, workspace: Path, settings: Settings,
                   model: Model | None = None, why_no_model: str = "there is no model yet") -> Look:
    """Compare the pictures of a folder with a dataset.

    Args:
        workspace: what is measured is kept in its `.visionmill/`.
        why_no_model: said of the predictions where `model` is None.

    Raises:
        UserError: no folder, or a model that does not open here.
        DataError: the pictures of the reference are not here.
    """
    came = arrived(folder, settings.arrived, settings.seed)
    fresh, copies = _fresh(came, reference)
    new, flaws = see(fresh, workspace / CACHE)
    unreadable = came.unreadable + [(fresh[i].name, why) for i, why in flaws.items()]
    old_entries, old = _training(reference, new, workspace, settings)
    empty = Look(settings, came, reference, "too few", [], {}, (len(old.units), len(new.units)), (0, 0),
                 (len(old.rows), len(new.rows)), copies, None, unreadable,
                 model=model.title if model else None)
    if not len(new.units) or len(old.units) < 2:
        return replace(empty, untested=dict.fromkeys(words.QUESTIONS, words.nothing(empty)))
    return _compared(empty, fresh, new, old_entries, old, workspace, model, why_no_model)


def _fresh(came: Arrived, reference: Reference) -> tuple[list[Entry], int]:
    """Without the pictures that the dataset has already, byte for byte."""
    known = reference.knows([entry.digest for entry in came.entries])
    return [entry for entry, is_known in zip(came.entries, known, strict=True) if not is_known], int(known.sum())


def _training(reference: Reference, new: Seen, workspace: Path, settings: Settings) -> tuple[list[Entry], Seen]:
    entries = reference.training(settings.reference, settings.seed)
    old = measured(reference, entries, workspace)
    alike = max(1 - len(seen.units) / max(len(seen.rows), 1) for seen in (old, new))
    if alike > ALIKE and 2 <= len(new.rows) < len(entries):
        entries = reference.training(len(new.rows), settings.seed)
        old = measured(reference, entries, workspace)
    return entries, old


def _compared(look: Look, fresh: list[Entry], new: Seen, entries: list[Entry], old: Seen, workspace: Path,
              model: Model | None, why_no_model: str) -> Look:
    seen = sides_of(old, new)
    said: dict[str, Side] = {}
    untested: dict[str, str] = {}
    classes: list[str] = []
    if model is None:
        untested = dict.fromkeys(words.PREDICTED, why_no_model)
    else:
        said, untested = _predicted(look, [fresh[new.rows[i]] for i in new.units], workspace, model)
        classes = model.classes
    constant = {name: words.CONSTANT for name, side in (seen | said).items() if is_constant(side)}
    groups = [{n: s for n, s in sides.items() if n not in constant} for sides in (seen, said)]
    tests = run_tests(groups, look.settings.false_alarm, look.settings.seed)
    most_unlike, far = strangers(old, new, [fresh[i] for i in new.rows], [entries[i] for i in old.rows],
                                 look.settings.shown)
    count = max(len(tests), 1)
    smallest = detectable(*look.counted, count, look.settings.false_alarm)
    held = (len(said["boxes"].old), len(said["boxes"].new)) if said else (0, 0)
    verdict = "drift" if any(test.alarm for test in tests) else words.quiet_verdict(
        smallest, smallest_p(*look.counted), look.settings.false_alarm / count)
    return replace(look, verdict=verdict, tests=sorted(tests, key=lambda test: test.chance.p), held=held,
                   untested=untested | constant, smallest=smallest, strangers=most_unlike, far=far, classes=classes)


def _predicted(look: Look, new: list[Entry], workspace: Path, model: Model) -> tuple[dict[str, Side], dict[str, str]]:
    """What the model says of pictures that it has not learned from, old and new; or why that is not asked."""
    settings, reference = look.settings, look.reference
    held = reference.held_out(settings.predicted, settings.seed)
    if len(held) < 2:
        return {}, dict.fromkeys(words.PREDICTED, words.NOT_HELD_OUT)
    seen = measured(reference, held, workspace)
    before = model.ask([held[seen.rows[i]] for i in seen.units])
    order = np.random.default_rng(settings.seed).permutation(len(new))[:settings.predicted]
    now = model.ask([new[i] for i in np.sort(order)])
    if len(before.rows) < 2 or not len(now.rows):
        return {}, dict.fromkeys(words.PREDICTED, words.NOT_HELD_OUT)
    return {"boxes": Side(before.boxes.sum(1), now.boxes.sum(1)), "scores": Side(before.best, now.best),
            "classes": Side(before.boxes, now.boxes)}, {}
