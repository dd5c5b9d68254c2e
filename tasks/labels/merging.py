"""Labels of several models or people on one picture become one set: people beat models, later review beats earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError, ParamsError, nearest
from tasks.labels.columns import boxes_of, iou_of, places_of, together
from tasks.labels.fusion import fuse
from tasks.labels.voices import CONFLICTS, MERGED, Merged, Rows, Settings, Voice
from tasks.metrics.detections import Boxes
from tasks.metrics.matching import overlaps

__all__ = ["CONFLICTS", "MERGED", "Merged", "Settings", "Voice", "merge"]

SAME = 0.5  # two boxes are of one object
MOST_VOICES = 62
CHUNK = 50_000  # pictures at a time


def merge(voices: Sequence[Voice], classes: Sequence[str], settings: Settings | None = None) -> Merged:
    """One set of labels.

    For a picture and a class that a person has looked at, the person who looked last decides alone, an empty picture
    too. All others go by `settings` over the models that have looked.

    Raises:
        ParamsError: a class without an owner, an owner that is no model, `agree` above the number of models.
        DataError: more than 62 voices, a box of a class that does not exist or on a picture not said to be looked at.
    """
    settings, done = settings or Settings(), [Merged(MERGED.empty_table(), CONFLICTS.empty_table())]
    pictures = np.unique(np.concatenate([np.zeros(0, np.int64), *(np.asarray(v.pictures, np.int64) for v in voices)]))
    # pictures do not touch each other; what no voice has looked at comes along, to be refused
    for start in range(0, max(len(pictures), 1), CHUNK):
        stop = start + CHUNK
        low = -np.inf if start == 0 else pictures[start]
        high = np.inf if stop >= len(pictures) else pictures[stop]
        done.append(_merged([_between(voice, low, high) for voice in voices], classes, settings, pictures[start:stop]))
    return Merged(*(pa.concat_tables([getattr(part, name) for part in done]) for name in ("boxes", "conflicts")))


def _between(voice: Voice, low: float, high: float) -> Voice:
    if low == -np.inf and high == np.inf:
        return voice
    image, looked = voice.boxes["image_id"].to_numpy(), np.asarray(voice.pictures, np.int64)
    return replace(voice, boxes=voice.boxes.filter(pa.array((image >= low) & (image < high))),
                   pictures=looked[(looked >= low) & (looked < high)])


def _merged(voices: Sequence[Voice], classes: Sequence[str], settings: Settings, pictures: np.ndarray) -> Merged:
    rows = _all(voices, classes)
    decides = _deciding(voices, pictures, len(classes))
    place = places_of(pictures, rows.boxes.image)
    ruler = decides[place, rows.boxes.label]
    persons = np.array([voice.kind == "person" for voice in voices], dtype=bool)
    asked = _asked(voices, rows)
    rows.tell(np.flatnonzero(~asked), "not asked", ["its voice was not asked for this class"] * int((~asked).sum()))
    by_person = asked & (ruler == rows.voice)
    _tell_overruled(rows, voices, np.flatnonzero(asked & persons[rows.voice] & ~by_person), by_person, ruler)
    models = np.flatnonzero(asked & ~persons[rows.voice] & (ruler < 0))
    merge_models = {"owner": _owned, "fusion": _fused, "consensus": _agreed}[settings.method]
    made = merge_models(rows, models, voices, classes, settings, pictures)
    if settings.one_class:
        made = _one_class(made, rows)
    said = rows.boxes.take(by_person)
    who = rows.named(rows.voice[by_person])
    people = pa.table([said.image, said.label.astype(np.int32), *said.xywh.T, pa.nulls(len(who), pa.float32()), who,
                       np.ones(len(who), np.int32), who], schema=MERGED)
    whole = pa.concat_tables([people, made])
    order = np.lexsort((whole["class_id"].to_numpy(), whole["image_id"].to_numpy()))
    return Merged(whole.take(pa.array(order)), pa.concat_tables([CONFLICTS.empty_table(), *rows.conflicts]))


def _all(voices: Sequence[Voice], classes: Sequence[str]) -> Rows:
    if len(voices) > MOST_VOICES:
        raise DataError(f"{len(voices)} voices, {MOST_VOICES} at most", where="voices", mend="merge them in two steps")
    parts = [boxes_of(voice.boxes, voice.name) for voice in voices]
    for voice, boxes in zip(voices, parts, strict=True):
        wrong = np.flatnonzero((boxes.label < 0) | (boxes.label >= len(classes)))
        if len(wrong):
            raise DataError(f"{voice.name}: class {boxes.label[wrong[0]]} is none of {len(classes)}",
                            where=f"row {wrong[0]}", mend="map its classes first")
        stray = np.flatnonzero(~np.isin(boxes.image, voice.pictures))
        if len(stray):
            raise DataError(f"{voice.name}: a box on picture {boxes.image[stray[0]]}, which it is not said to have "
                            "looked at", where=f"row {stray[0]}", mend="name all pictures that it has looked at")
    empty = boxes_of(MERGED.empty_table())
    joined = Boxes(**{name: np.concatenate([getattr(part, name) for part in (empty, *parts)]) for name in vars(empty)})
    return Rows(joined, np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
                 [voice.name for voice in voices])


def _deciding(voices: Sequence[Voice], pictures: np.ndarray, classes: int) -> np.ndarray:
    """The person who looked last at a picture for a class: int16 [pictures, classes], −1 for nobody."""
    decides = np.full((len(pictures), classes), -1, np.int16)
    people = [(voice.when if voice.when is not None else -np.inf, at) for at, voice in enumerate(voices)
              if voice.kind == "person"]
    for _, at in sorted(people):
        columns = np.arange(classes) if voices[at].classes is None else np.array(sorted(voices[at].classes or ()), int)
        decides[np.ix_(places_of(pictures, np.asarray(voices[at].pictures, np.int64)), columns)] = at
    return decides


def _asked(voices: Sequence[Voice], rows: Rows) -> np.ndarray:
    asked = np.ones(len(rows.boxes), bool)
    for at, voice in enumerate(voices):
        if voice.classes is not None:
            asked &= (rows.voice != at) | np.isin(rows.boxes.label, sorted(voice.classes))
    return asked


def _tell_overruled(rows: Rows, voices: Sequence[Voice], earlier: np.ndarray, final: np.ndarray,
                    ruler: np.ndarray) -> None:
    """What a person said and a later one did not."""
    last = np.flatnonzero(final)
    pairs = overlaps(rows.boxes.take(last), rows.boxes.take(earlier), SAME)
    gone = np.setdiff1d(np.arange(len(earlier)), pairs.found)
    reasons = []
    for row in earlier[gone]:
        mine, theirs = voices[rows.voice[row]], voices[ruler[row]]
        same = mine.when == theirs.when
        reasons.append(f"{theirs.name} has no box of this class here and " + (
            "reviewed at the same time: somebody must decide" if same else f"reviewed later than {mine.name}"))
    rows.tell(earlier[gone], "people", reasons)


def _owned(rows: Rows, models: np.ndarray, voices: Sequence[Voice], classes: Sequence[str], settings: Settings,
           pictures: np.ndarray) -> pa.Table:
    names = [voice.name for voice in voices if voice.kind == "model"]
    for name, owner in settings.owners.items():
        if owner not in names or name not in classes:
            wrong, known = (owner, names) if owner not in names else (name, list(classes))
            raise ParamsError(f"owners: {name}: {owner}: no {wrong!r}", where="owners",
                              mend=f"did you mean {nearest(wrong, known)!r}?" if nearest(wrong, known) else
                              f"there are {', '.join(known)}")
    lacking = [classes[k] for k in np.unique(rows.boxes.label[models]).tolist() if classes[k] not in settings.owners]
    if lacking:
        raise ParamsError(f"no owner for {', '.join(lacking)}", where="owners", mend="name a model for each class")
    owns = np.array([rows.names.index(settings.owners[name]) if name in settings.owners else -1 for name in classes],
                    dtype=np.int64)
    own = models[rows.voice[models] == owns[rows.boxes.label[models]]]
    others = np.setdiff1d(models, own)
    met = overlaps(rows.boxes.take(own), rows.boxes.take(others), SAME)
    alone = others[np.setdiff1d(np.arange(len(others)), met.found)]
    rows.tell(alone, "owner", [f"{rows.names[int(owns[rows.boxes.label[row]])]}, which owns the class, does not see it"
                               for row in alone])
    some = rows.boxes.take(own)
    names = rows.named(rows.voice[own])
    return _table(some.image, some.label, some.xywh, some.score, names, np.ones(len(own), np.int32))


def _fused(rows: Rows, models: np.ndarray, voices: Sequence[Voice], classes: Sequence[str], settings: Settings,
           pictures: np.ndarray, agree: bool = False) -> pa.Table:
    numbers = np.cumsum([voice.kind == "model" for voice in voices]) - 1
    weights = np.array([1.0 if agree else voice.weight for voice in voices if voice.kind == "model"])
    some = rows.boxes.take(models)
    if not len(models):
        return MERGED.empty_table()
    # a score of 0 has no weight in a mean
    done = fuse(some.xywh, np.maximum(some.score, 1e-6), some.image * (1 << 20) + some.label,
                numbers[rows.voice[models]], weights, settings.iou)
    image, label, source = some.image[done.first], some.label[done.first], rows.voice[models][done.first]
    score, keep = done.score, np.ones(len(done.size), bool)
    if agree:
        score = np.bincount(done.cluster, weights=some.score) / done.size
        looked = _looked(voices, pictures, len(classes))[places_of(pictures, image), label]
        needed = np.minimum(settings.agree, looked) if settings.agree else looked // 2 + 1
        keep = done.voices >= needed
        rows.tell(models[done.first[~keep]], "consensus",
                  [f"{have} of {many} that looked see it, {want} must" for have, many, want in
                   zip(done.voices[~keep], looked[~keep], needed[~keep], strict=True)])
    return _table(image[keep], label[keep], done.xywh[keep], score[keep], rows.named(source[keep]), done.voices[keep])


def _agreed(rows: Rows, models: np.ndarray, voices: Sequence[Voice], classes: Sequence[str], settings: Settings,
            pictures: np.ndarray) -> pa.Table:
    many = sum(voice.kind == "model" for voice in voices)
    if settings.agree is not None and settings.agree > many:
        raise ParamsError(f"agree: {settings.agree} of {many} models cannot agree", where="agree",
                          mend=f"at most {many}")
    return _fused(rows, models, voices, classes, settings, pictures, agree=True)


def _looked(voices: Sequence[Voice], pictures: np.ndarray, classes: int) -> np.ndarray:
    """How many models have looked at a picture for a class: int8 [pictures, classes]."""
    many = np.zeros((len(pictures), classes), np.int8)
    for voice in voices:
        if voice.kind == "model":
            columns = np.arange(classes) if voice.classes is None else np.array(sorted(voice.classes), int)
            many[np.ix_(places_of(pictures, np.asarray(voice.pictures, np.int64)), columns)] += 1
    return many


def _one_class(made: pa.Table, rows: Rows) -> pa.Table:
    """Without the boxes in whose place there is one of another class that more speaks for."""
    boxes, voices = boxes_of(made), made["voices"].to_numpy()
    worse, better = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    strength = np.empty(len(boxes), np.int64)
    strength[np.lexsort((-np.arange(len(boxes)), boxes.score, voices))] = np.arange(len(boxes))
    for a, b in together(boxes.image, boxes.image):
        over = (boxes.label[a] != boxes.label[b]) & (strength[a] < strength[b])
        a, b = a[over], b[over]
        met = iou_of(boxes.xywh[a], boxes.xywh[b]) > SAME
        worse.append(a[met])
        better.append(b[met])
    drop, at = np.unique(np.concatenate(worse), return_index=True)
    winner = np.concatenate(better)[at]
    some = boxes.take(drop)
    if len(drop):
        names = made["source"].take(pa.array(winner)).to_pylist()
        reasons = [f"class {boxes.label[w]} of {name} is in the same place, with {voices[w]} voices and score "
                   f"{boxes.score[w]:.2f} against {voices[d]} and {boxes.score[d]:.2f}"
                   for d, w, name in zip(drop, winner, names, strict=True)]
        columns = [some.image, ["class"] * len(drop), some.label.astype(np.int32), *some.xywh.T,
                   made["source"].take(pa.array(drop)).to_pylist(), reasons]
        rows.conflicts.append(pa.table([pa.array(column) for column in columns], schema=CONFLICTS))
    return made.filter(pa.array(~np.isin(np.arange(len(boxes)), drop)))


def _table(image: np.ndarray, label: np.ndarray, xywh: np.ndarray, score: np.ndarray, source: pa.Array,
           voices: np.ndarray) -> pa.Table:
    columns = [image, label.astype(np.int32), *xywh.T, score.astype(np.float32), source,
               voices.astype(np.int32), pa.nulls(len(image), pa.string())]
    return pa.table([pa.array(column) for column in columns], schema=MERGED)
