"""Boxes that need no person: thresholds from reviewed pictures, and what they accept as versions of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, Dataset, read_dataset
from tasks.labelling.checking.elsewhere import MODEL, boxes_of_model
from tasks.labelling.checking.reviewed import Compared, Reviewed, compare, labelled_by
from tasks.labels.accept import Accepted, Settings, Threshold, accept, audit, earn
from tasks.labels.bounds import needed, upper

# the score, and no probability: a calibration that was learnt from the reviewed boxes would know which are right
COLUMN = "score"
MOST = 1_000_000  # boxes that nobody will review


@dataclass(frozen=True)
class Earned:
    """What the reviewed pictures give.

    Attributes:
        thresholds: one a class that the model has drawn, or one for all.
        compared: the boxes that they were earned from.
        whole, lacking, objects: of the reviewed pictures that would have been accepted whole: how many, and of their
            objects how many have no box. The bound does not speak of these.
        picked: reviewed pictures that were chosen because they are hard.
    """

    thresholds: list[Threshold]
    compared: Compared
    whole: int
    lacking: int
    objects: int
    picked: int


@dataclass(frozen=True)
class Outcome:
    """What was accepted of a pre-labelled version.

    Attributes:
        accepted, people, audit: the versions; None where there is nothing in it.
        boxes: that were looked at; taken: of them, that were accepted; pictures: that are accepted whole.
        left: pictures that go to people; done: that people have reviewed already.
        audited: boxes of the audit.
        bound: the share of wrong ones among all accepted boxes is at most this, with a probability of 1 − miss.
    """

    accepted: Version | None
    people: Version | None
    audit: Version | None
    boxes: int
    taken: int
    pictures: int
    left: int
    done: int
    audited: int
    bound: float | None
    miss: float


def earn_thresholds(store: Store, told: Dataset, reviewed: Reviewed, model: str, settings: Settings) -> Earned:
    """Thresholds on the score, from a model's boxes on reviewed pictures.

    Raises:
        UserError: none of the reviewed pictures has pre-labels of this model.
    """
    settings = settings.model_copy(update={"column": COLUMN})
    compared = compare(told, reviewed, model, labelled_by(store, reviewed.refs, model))
    mine = boxes_of_model(told, told.meta.name, model)[0]["class_id"].to_numpy()
    label = compared.found["class_id"].to_numpy()
    if not compared.found.num_rows:
        among = len(np.unique(mine)) if settings.per == "class" else 1
        count = needed(settings.max_error, settings.miss / settings.starts / among)
        raise UserError(f"there is no reviewed box of {model}", where=", ".join(reviewed.refs) or None,
                        mend=f"have at least {count} of its boxes of each class reviewed, on pictures drawn at random: "
                        "visionmill mine NAME --strategy random, label send, label fetch")
    # classes that the model never draws take no part of what the promise may miss
    kinds = np.union1d(np.unique(mine), np.unique(label)).astype(np.int64)
    place = compared.found.schema.get_field_index("class_id")
    found = compared.found.set_column(place, "class_id", pa.array(np.searchsorted(kinds, label)))
    names = [told.meta.classes[kind] for kind in kinds.tolist()]
    thresholds = [one if one.class_id is None else replace(one, class_id=int(kinds[one.class_id]))
                  for one in earn(found, compared.right, settings, names)]
    whole = accept(compared.found, thresholds, settings).done
    objects, lacking = compared.objects
    return Earned(thresholds, compared, len(whole), int(lacking[whole].sum()), int(objects[whole].sum()),
                  reviewed.picked)


def publish_accepted(store: Store, version: Version, reviewed: Reviewed, earned: Earned, model: str,
                     settings: Settings, *, out: str, owner: str, audited: int, seed: int = 0) -> Outcome:
    """Publish what needs no person as `out`, the rest as NAME-people, a sample of accepted boxes as NAME-audit.

    A picture is accepted where it has boxes and all of them are; accepted boxes of other pictures say so too. Pictures
    that people have reviewed are in none of the three.
    """
    told = read_dataset(version.folder)
    settings = settings.model_copy(update={"column": COLUMN})
    digests = told.images["digest"].to_pylist()
    ids = told.images["image_id"].to_numpy()
    open_ = ids[np.array([digest not in reviewed.labels for digest in digests], bool)]
    rows = boxes_of_model(told, version.ref, model)[0]
    rows = rows.filter(pa.array(np.isin(rows["image_id"].to_numpy(), open_)
                                & ~rows["reviewed_by"].is_valid().to_numpy()))
    taken = accept(rows, earned.thresholds, settings)
    annotations = _marked(told.annotations, rows, taken, earned.thresholds)
    done = _without_others(taken.done, told, rows)
    said = {"by": f"{MODEL}{model}", "checking": "accept", "max_error": settings.max_error, "miss": settings.miss,
            "per": settings.per, "thresholds": [one.as_dict() for one in earned.thresholds],
            "reviewed": {"from": list(reviewed.refs), "pictures": earned.compared.pictures,
                         "boxes": earned.compared.found.num_rows}}
    put = _Putting(store, version, annotations, owner, said)
    sample = audit(taken.boxes, audited, seed)
    rest = np.setdiff1d(open_, done)
    return Outcome(
        put(out, done, {"part": "accepted"}), put(f"{version.name}-people", rest, {"part": "people"}),
        _audit(put, rows, sample, f"{version.name}-audit", {"bound": taken.bound, "of": version.ref, "seed": seed}),
        rows.num_rows, int(taken.boxes.sum()), len(done), len(rest), len(ids) - len(open_), len(sample), taken.bound,
        settings.miss)


def still_needed(one: Threshold, settings: Settings, among: int) -> int | None:
    """How many boxes of a class would have to be reviewed before something can be accepted, if its best ones stay as
    often wrong as they were; None where no number is enough. Where too few are reviewed to tell: the fewest.

    Args:
        among: how many classes share what the promise may miss.
    """
    level = settings.miss / settings.starts / among
    fewest = needed(settings.max_error, level)
    if one.reviewed < fewest:
        return fewest
    share = one.wrong / one.reviewed
    if share >= settings.max_error:
        return None
    count = fewest
    while count < MOST and float(upper(share * count, count, level)) > settings.max_error:
        count = int(np.ceil(count * 1.05))
    return count if count < MOST else None


@dataclass(frozen=True)
class _Putting:
    store: Store
    version: Version
    annotations: pa.Table
    owner: str
    said: Mapping[str, Any]

    def __call__(self, name: str, keep: np.ndarray, more: Mapping[str, Any], annotations: pa.Table | None = None,
                 pictures: Mapping[int, Mapping[str, Any]] | None = None) -> Version | None:
        if not len(keep):
            return None
        table = self.annotations if annotations is None else annotations
        table = table.filter(pa.array(np.isin(table["image_id"].to_numpy(), keep)))
        return publish_labels(self.store, self.version, out=name, owner=self.owner, said={**self.said, **more},
                              annotations=table, keep=keep, pictures=pictures)[0]


def _audit(put: _Putting, rows: pa.Table, sample: np.ndarray, name: str, more: Mapping[str, Any]) -> Version | None:
    """The pictures of sampled boxes with all their boxes; the sampled ones say `audit`."""
    chosen = rows.take(pa.array(sample))
    numbers = set(chosen["annotation_id"].to_pylist())
    keep, counts = np.unique(chosen["image_id"].to_numpy(), return_counts=True)
    texts = [_joined(text, {"audit": True}) if number in numbers else text for number, text in
             zip(put.annotations["annotation_id"].to_pylist(), put.annotations["attributes"].to_pylist(), strict=True)]
    pictures = {image: {"audit": {"boxes": count}} for image, count in zip(keep.tolist(), counts.tolist(), strict=True)}
    return put(name, keep, {"part": "audit", "audit": len(sample), **more}, _replaced(put.annotations, texts), pictures)


def _marked(annotations: pa.Table, rows: pa.Table, taken: Accepted, thresholds: Sequence[Threshold]) -> pa.Table:
    """The labels; accepted ones say with which bound, and from which score on."""
    by_class = {one.class_id: one for one in thresholds}
    told: dict[int, dict[str, Any]] = {}
    for number, label in zip(*(rows.filter(pa.array(taken.boxes))[name].to_pylist()
                               for name in ("annotation_id", "class_id")), strict=True):
        one = by_class[label] if label in by_class else by_class[None]
        told[number] = {"accepted": {"bound": one.bound, "threshold": one.threshold}}
    texts = [_joined(text, told.get(number)) for number, text in
             zip(annotations["annotation_id"].to_pylist(), annotations["attributes"].to_pylist(), strict=True)]
    return _replaced(annotations, texts)


def _without_others(done: np.ndarray, told: Dataset, rows: pa.Table) -> np.ndarray:
    """Pictures on which there is no box but those that were looked at."""
    others = told.annotations.filter(pa.array(~np.isin(told.annotations["annotation_id"].to_numpy(),
                                                       rows["annotation_id"].to_numpy())))
    unreviewed = others.filter(pa.array(~others["reviewed_by"].is_valid().to_numpy()))
    models = np.array([one.startswith(MODEL) for one in unreviewed["source"].to_pylist()], bool)
    return np.setdiff1d(done, unreviewed["image_id"].to_numpy()[models])


def _replaced(annotations: pa.Table, texts: list[str | None]) -> pa.Table:
    where = annotations.schema.get_field_index("attributes")
    return annotations.set_column(where, ANNOTATIONS.field("attributes"), pa.array(texts, pa.string()))


def _joined(text: str | None, added: Mapping[str, Any] | None) -> str | None:
    if added is None:
        return text
    return json.dumps((json.loads(text) if text else {}) | dict(added), sort_keys=True, ensure_ascii=False)
