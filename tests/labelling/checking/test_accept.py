"""What needs no person: thresholds from reviewed pictures, three versions, and an audit that can ring."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Version
from tasks.data.table import read_dataset
from tasks.labelling.checking.accepting import Earned, Outcome, earn_thresholds, publish_accepted, still_needed
from tasks.labelling.checking.auditing import check_audit
from tasks.labelling.checking.elsewhere import boxes_of_model
from tasks.labelling.checking.reviewed import find_reviewed, reviewed_in
from tasks.labelling.checking.telling import earned_in_words, outcome_in_words
from tasks.labels.accept import Settings, Threshold
from tasks.labels.bounds import needed

from .conftest import CLASSES, MODEL, SIDE, Place, by_model

PICTURES, REVIEWED = 160, 110
Make = Callable[[int], Place]


@dataclass(frozen=True)
class Pool:
    """Pre-labels of which the unsure ones are wrong, and a person's labels of some of the pictures."""

    here: Place
    auto: Version
    wrong: set[int]
    """rows of the truth whose pre-label lies elsewhere"""

    def people(self, pictures: np.ndarray, name: str, parent: Version | None = None, **more: object) -> Version:
        """What comes back from people: the truth, drawn anew where the pre-label was wrong."""
        parent = parent or self.auto
        told = read_dataset(parent.folder)
        digests = told.images["digest"].to_pylist()
        place = {digest: at for at, digest in enumerate(digests)}
        truth = self.here.dataset
        rows = []
        for one, row in enumerate(truth.annotations.to_pylist()):
            at = place.get(truth.images["digest"][row["image_id"]].as_py())
            if at is not None and at in pictures:
                rows.append({k: row[k] for k in ("class_id", "x", "y", "w", "h")} | {
                    "image_id": at, "source": "human" if one in self.wrong else MODEL, "reviewed_by": "ann"})
        kinds = {"image_id": pa.int64(), "class_id": pa.int32(), "source": pa.string(), "reviewed_by": pa.string()}
        table = pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.float64())) for name in
                          ("image_id", "class_id", "x", "y", "w", "h", "source", "reviewed_by")})
        described = {int(at): {"review": {"by": "ann"}, **more} for at in pictures}
        return publish_labels(self.here.store, parent, out=name, owner="me", said={"by": "people"}, annotations=table,
                              keep=pictures, pictures=described)[0]


@pytest.fixture
def pool(place: Make) -> Pool:
    here = place(PICTURES)
    truth = here.dataset.annotations
    rng = np.random.default_rng(3)
    score = rng.beta(3, 1, truth.num_rows)
    wrong = np.flatnonzero((score < 0.5) & (rng.random(truth.num_rows) < 0.7))
    y = truth["y"].to_numpy().copy()
    y[wrong] = np.where(y[wrong] > 22, y[wrong] - SIDE, y[wrong] + SIDE)
    at = truth.schema.get_field_index("y")
    moved = truth.set_column(at, truth.schema.field("y"), pa.array(y))
    auto = here.publish("pool-auto", by_model(moved, score), said={"by": MODEL})
    return Pool(here, auto, set(wrong.tolist()))


def run(pool: Pool, settings: Settings, audited: int = 60) -> tuple[Earned, Outcome]:
    told = read_dataset(pool.auto.folder)
    reviewed = find_reviewed(pool.here.store, told)
    earned = earn_thresholds(pool.here.store, told, reviewed, "cells@3", settings)
    return earned, publish_accepted(pool.here.store, pool.auto, reviewed, earned, "cells@3", settings,
                                    out="pool-auto-accepted", owner="me", audited=audited)


def test_what_is_earned_is_accepted_and_the_rest_goes_to_people(pool: Pool) -> None:
    pool.people(np.arange(REVIEWED), "pool-labelled")
    settings = Settings(max_error=0.1)
    earned, outcome = run(pool, settings)
    assert [one.class_id for one in earned.thresholds] == [0, 1] and earned.compared.pictures == REVIEWED
    assert all(one.threshold is not None and 0.3 < one.threshold < 0.8 for one in earned.thresholds)
    assert outcome.done == REVIEWED and outcome.pictures + outcome.left == PICTURES - REVIEWED
    assert outcome.boxes == 3 * (PICTURES - REVIEWED) and outcome.bound == pytest.approx(0.1)
    assert outcome.accepted and outcome.people and outcome.audit
    accepted, people = (read_dataset(one.folder) for one in (outcome.accepted, outcome.people))
    assert accepted.images.num_rows == outcome.pictures and people.images.num_rows == outcome.left
    digests = [set(one.images["digest"].to_pylist()) for one in (accepted, people)]
    seen = set(read_dataset(pool.auto.folder).images["digest"].to_pylist()[:REVIEWED])
    assert not digests[0] & digests[1] and not (digests[0] | digests[1]) & seen
    threshold = {one.class_id: one.threshold for one in earned.thresholds}
    for row in accepted.annotations.to_pylist():
        said = json.loads(row["attributes"])["accepted"]
        assert said == {"bound": 0.1, "threshold": threshold[row["class_id"]]} and row["score"] >= said["threshold"]
        assert row["source"] == MODEL and row["reviewed_by"] is None
    marked = [row for row in people.annotations.to_pylist() if row["attributes"]]
    assert len(marked) + accepted.annotations.num_rows == outcome.taken < outcome.boxes
    assert outcome.accepted.meta.recipe["labels"]["thresholds"] == [one.as_dict() for one in earned.thresholds]
    # the true error of what was accepted
    truth = {(row["image_id"], row["x"]): at for at, row in enumerate(pool.here.dataset.annotations.to_pylist())}
    auto = {one: at for at, one in enumerate(read_dataset(pool.auto.folder).images["digest"].to_pylist())}
    taken = [(auto[accepted.images["digest"][row["image_id"]].as_py()], row["x"])
             for row in accepted.annotations.to_pylist()]
    assert np.mean([truth[one] in pool.wrong for one in taken]) <= 0.1
    again = run(pool, settings)[1]
    assert (again.accepted, again.people, again.audit) == (outcome.accepted, outcome.people, outcome.audit)


def test_the_words_state_the_bound_of_each_class_and_what_it_would_take(pool: Pool) -> None:
    pool.people(np.arange(REVIEWED), "pool-labelled", mined={"strategy": "entropy", "random": False})
    settings = Settings(max_error=0.1)
    earned, outcome = run(pool, settings)
    lines = earned_in_words(earned, settings) + outcome_in_words(outcome, "send it")
    text = "\n".join(lines)
    assert f"{REVIEWED * 3} boxes of the model were reviewed, on {REVIEWED} pictures" in text
    assert "blue: from 0." in text and "red: from 0." in text and "at most 10.0% with 97.5% confidence" in text
    assert f"{REVIEWED} of the reviewed pictures were picked for being hard" in text
    assert "objects have no box; the promise does not speak of missed objects" in text
    assert f"accepted: {outcome.taken:,} of {outcome.boxes:,} boxes; of these at most 10.0% are wrong, " in text
    assert "wrong, with 95% confidence; " in text
    few = Settings(max_error=0.005)
    told = "\n".join(earned_in_words(*[run(pool, few)[0], few]))
    assert "at least" in told and "boxes would have to be reviewed" in told
    assert outcome_in_words(run(pool, few)[1], "")[1].startswith("nothing is accepted")


def test_how_many_would_have_to_be_reviewed() -> None:
    settings = Settings(max_error=0.05)
    few = Threshold(0, None, None, None, 0, 10, "")
    assert still_needed(few, settings, 2) == needed(0.05, 0.05 / 3 / 2)
    some = still_needed(Threshold(0, None, None, None, 2, 100, ""), settings, 1)
    assert some is not None and some > needed(0.05, 0.05 / 3)
    assert still_needed(Threshold(0, None, None, None, 8, 100, ""), settings, 1) is None


def test_nobody_has_reviewed_anything(pool: Pool) -> None:
    with pytest.raises(UserError, match="no reviewed box of cells@3") as error:
        run(pool, Settings())
    # the two classes share what the promise may miss
    assert f"at least {needed(0.05, 0.05 / 3 / 2)} of its boxes" in str(error.value)


def test_a_version_without_prelabels(pool: Pool) -> None:
    with pytest.raises(DataError, match="squares@1 has no box of a model"):
        boxes_of_model(pool.here.dataset, "squares@1")


def test_classes_that_differ(pool: Pool) -> None:
    back = pool.people(np.arange(REVIEWED), "pool-labelled")
    told = read_dataset(back.folder)
    other, _ = publish_labels(pool.here.store, back, out="other", owner="me", said={"by": "people"},
                              annotations=told.annotations, classes=["blue", "crimson", "green"])
    with pytest.raises(UserError, match="the classes differ: other@1 has no red; it has blue, crimson, green"):
        reviewed_in(other, CLASSES)
    more, _ = publish_labels(pool.here.store, back, out="more", owner="me", said={"by": "people"},
                             annotations=told.annotations, classes=["blue", "red", "green"])
    assert len(reviewed_in(more, CLASSES).labels) == REVIEWED


def test_pictures_with_boxes_that_nobody_saw_are_not_reviewed(pool: Pool) -> None:
    assert reviewed_in(pool.auto, CLASSES).labels == {}
    assert reviewed_in(pool.auto, CLASSES, named=True).labels == {}
    assert len(reviewed_in(pool.here.truth, CLASSES, named=True).labels) == PICTURES
    assert reviewed_in(pool.here.truth, CLASSES).labels == {}
    half = pool.people(np.arange(4), "half")
    told = read_dataset(half.folder)
    open_ = [{**told.annotations.slice(0, 1).to_pylist()[0], "image_id": 1, "source": MODEL, "reviewed_by": None}]
    mixed = pa.concat_tables([told.annotations, pa.Table.from_pylist(open_, schema=told.annotations.schema)])
    version, _ = publish_labels(pool.here.store, half, out="mixed", owner="me", said={"by": "people"},
                                annotations=mixed)
    assert len(reviewed_in(version, CLASSES).labels) == 3


def test_reviewed_pictures_of_another_pool_count_by_what_they_were_made_of(pool: Pool) -> None:
    here = pool.here
    told = read_dataset(pool.auto.folder)
    first = told.annotations.filter(pa.array(told.annotations["image_id"].to_numpy() < REVIEWED))
    picked, _ = publish_labels(here.store, pool.auto, out="picked", owner="me", said={"by": "m"}, annotations=first,
                               keep=np.arange(REVIEWED))
    rest = told.annotations.filter(pa.array(told.annotations["image_id"].to_numpy() >= REVIEWED))
    other, _ = publish_labels(here.store, pool.auto, out="other-auto", owner="me", said={"by": "m"}, annotations=rest,
                              keep=np.arange(REVIEWED, PICTURES))
    back = pool.people(np.arange(REVIEWED), "picked-labelled", parent=picked)
    dataset = read_dataset(other.folder)
    earned = earn_thresholds(here.store, dataset, reviewed_in(back, CLASSES), "cells@3", Settings(max_error=0.1))
    assert earned.compared.found.num_rows == 3 * REVIEWED
    assert find_reviewed(here.store, dataset).labels == {}


@pytest.mark.parametrize(("spoilt", "broken"), [(0, False), (25, True)])
def test_an_audit_that_came_back(pool: Pool, spoilt: int, broken: bool) -> None:
    pool.people(np.arange(REVIEWED), "pool-labelled")
    _, outcome = run(pool, Settings(max_error=0.1), audited=60)
    assert outcome.audit is not None
    told = read_dataset(outcome.audit.folder)
    drawn = [row for row in told.annotations.to_pylist() if row["attributes"] and "audit" in json.loads(
        row["attributes"])]
    assert len(drawn) == outcome.audited == 60
    assert sum(one["boxes"] for one in attributes_of(outcome.audit, "audit").values()) == 60
    rows = told.annotations.to_pylist()
    numbers = {row["annotation_id"] for row in drawn[:spoilt]}
    shifted = [row | {"x": row["x"] + SIDE * (row["annotation_id"] in numbers), "source": "human", "reviewed_by": "bob"}
               for row in rows]
    back, _ = publish_labels(pool.here.store, outcome.audit, out="pool-auto-audit-labelled", owner="me",
                             said={"by": "people"}, annotations=pa.Table.from_pylist(
                                 shifted, schema=told.annotations.schema))
    found = check_audit(pool.here.store, "pool-auto", back)
    assert found.outstanding == 0 and found.found.alarm is broken and found.found.wrong == spoilt
    assert ("the promise is broken" in found.found.said) is broken


def test_an_audit_that_came_back_in_part_or_not_at_all(pool: Pool) -> None:
    pool.people(np.arange(REVIEWED), "pool-labelled")
    with pytest.raises(UserError, match="no audit of pool-auto is known"):
        check_audit(pool.here.store, "pool-auto", pool.auto)
    _, outcome = run(pool, Settings(max_error=0.1), audited=60)
    assert outcome.audit is not None
    with pytest.raises(UserError, match="no box of the audit pool-auto-audit@1 has come back"):
        check_audit(pool.here.store, "pool-auto", outcome.audit)
    count = read_dataset(outcome.audit.folder).images.num_rows
    back = pool.people(np.arange(count // 2), "pool-auto-audit-labelled", parent=outcome.audit)
    found = check_audit(pool.here.store, "pool-auto", back)
    assert 0 < found.outstanding < 60 and found.outstanding + found.found.reviewed == 60
