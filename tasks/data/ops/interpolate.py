"""Boxes between the labelled frames of a film: each track on the pictures between its key frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived
from tasks.data.ops._making import LISTED, only
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.labels.keyframes import interpolate

SOURCE = "model:interpolate"
EXAMPLES = """\
  visionmill data interpolate clips --out clips
  visionmill data interpolate clips --method copy --longest 25 --out clips"""
# frames between which boxes are made at once: some 500 MB
AT_ONCE = 2_000_000


class Params(Section):
    """Parameters of `data interpolate`."""

    method: Literal["linear", "copy"] = Field(default="linear", description="on the straight line between two key "
                                              "frames, or as on the one before")
    longest: int = Field(default=0, ge=0, description="frames between two key frames at most; where there are more, "
                         "the track pauses; 0 for any number")


@dataclass(frozen=True)
class Frames:
    """The pictures of films, in the order of film and frame: int64 [n] each, `labelled` bool [n]."""

    film: np.ndarray
    frame: np.ndarray
    image: np.ndarray
    labelled: np.ndarray

    def places(self, film: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Where these frames stand; -1 where they are not there."""
        at = _searched(self.film, self.frame, film, frame)
        found = np.minimum(at, len(self.film) - 1)
        return np.where((self.film[found] == film) & (self.frame[found] == frame), found, -1)


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Put boxes on the pictures of a film that have no label, between those that have.

    A picture with a label, or that a person has reviewed, is complete: a track that it lacks is gone from there to its
    next key frame. So is one that the picture's attributes name in `gone`; after its last key frame it stays where it
    was until then. Boxes of an earlier interpolation are made anew, those that CVAT made stay. Pictures without
    `frame` and labels without `track` stay as they are; the new boxes have the source `model:interpolate`.
    `interpolate.json` counts.

    Raises:
        DataError: several parents, no track at all, two pictures of one frame, two boxes of a track on one frame, or
            too long a track.
    """
    parent = only(parents, "interpolate")
    dataset = read_dataset(parent.folder)
    images, labels = dataset.images, dataset.annotations
    labels = labels.filter(pa.array(_others(labels)))
    frames, gone = _frames(images, labels)
    keys, names = _keys(labels, frames, parent.ref)
    made = list(_between(keys, frames, _ends(keys, frames, gone, names), params))
    new = pa.concat_tables([_rows(part, keys, labels, frames, params) for part in made]) if made else labels.slice(0, 0)
    whole = pa.concat_tables([labels, new]).combine_chunks()
    order = np.argsort(whole["image_id"].to_numpy(), kind="stable")
    whole = whole.take(pa.array(order))
    whole = whole.set_column(0, ANNOTATIONS.field("annotation_id"), pa.array(np.arange(whole.num_rows)))
    filled = len(np.unique(new["image_id"].to_numpy()))
    report = {"tracks": len(names), "key_boxes": len(keys["row"]), "boxes": new.num_rows, "pictures": filled,
              "named": [f"{film}: {track}" for film, track in names][:LISTED]}
    write_version(making.folder, [images], [whole], derived(making, parents), {"interpolate.json": report})
    print(f"{new.num_rows} boxes on {filled} pictures, between {len(keys['row'])} boxes of {len(names)} tracks")


def _others(labels: pa.Table) -> np.ndarray:
    """Which labels are not of an earlier interpolation here."""
    own = pc.equal(labels["source"], SOURCE).to_numpy(zero_copy_only=False).copy()
    some = np.flatnonzero(own)
    said = [json.loads(text or "{}").get("interpolated") for text in
            labels["attributes"].take(pa.array(some)).to_pylist()]
    own[some[[one == "cvat" for one in said]]] = False
    return ~own


def _frames(images: pa.Table, labels: pa.Table) -> tuple[Frames, dict[int, list[str]]]:
    """The pictures of films, and by image_id the tracks that its attributes call gone."""
    films = images.filter(pc.and_(pc.is_valid(images["frame"]), pc.is_valid(images["group"])))
    film = _codes(films["group"])
    frame, image = films["frame"].to_numpy().astype(np.int64), films["image_id"].to_numpy().astype(np.int64)
    order = np.lexsort((frame, film))
    film, frame, image = film[order], frame[order], image[order]
    twice = np.flatnonzero((np.diff(film) == 0) & (np.diff(frame) == 0))
    if len(twice):
        files = [films["file"][int(order[at])].as_py() for at in (twice[0], twice[0] + 1)]
        raise DataError(f"two pictures are frame {frame[twice[0]]} of one film", where=", ".join(files),
                        mend="take tiles and copies out first: visionmill data filter")
    told = _attributes(films)
    gone = {number: said["gone"] for number, said in told.items() if isinstance(said.get("gone"), list)}
    seen = [number for number, said in told.items() if said.get("review")]
    labelled = np.isin(image, labels["image_id"].to_numpy()) | np.isin(image, np.array([*seen, *gone], np.int64))
    return Frames(film, frame, image, labelled), gone


def _attributes(films: pa.Table) -> dict[int, dict[str, Any]]:
    some = films.filter(pc.is_valid(films["attributes"])).select(["image_id", "attributes"]).to_pydict()
    return {number: json.loads(text) for number, text in zip(*some.values(), strict=True)}


def _keys(labels: pa.Table, frames: Frames, ref: str) -> tuple[dict[str, np.ndarray], list[tuple[int, str]]]:
    """The key boxes by track and frame: row in `labels`, place in `frames`, film, track, frame, box; and the tracks."""
    row = np.flatnonzero(pc.is_valid(labels["track"]).to_numpy(zero_copy_only=False))
    image = labels["image_id"].to_numpy()[row]
    by_image = np.argsort(frames.image)
    at = np.minimum(np.searchsorted(frames.image[by_image], image), len(by_image) - 1)
    inside = frames.image[by_image[at]] == image if len(by_image) else np.zeros(len(row), bool)
    row, place = row[inside], by_image[at[inside]] if len(by_image) else at
    if not len(row):
        raise DataError("no label has a track on a picture that has a frame", where=ref,
                        mend="import a film's labels (CVAT's or Superb AI's for videos), or give `track` to labels")
    words = labels["track"].take(pa.array(row)).to_pylist()
    pairs = [(int(film), word) for film, word in zip(frames.film[place], words, strict=True)]
    names = sorted(set(pairs))
    number = {pair: code for code, pair in enumerate(names)}
    track = np.array([number[pair] for pair in pairs], np.int64)
    order = np.lexsort((frames.frame[place], track))
    row, track, place = row[order], track[order], place[order]
    twice = np.flatnonzero((np.diff(track) == 0) & (np.diff(place) == 0))
    if len(twice):
        first = int(row[twice[0]])
        raise DataError(f"track {names[track[twice[0]]][1]!r} has two boxes on frame {frames.frame[place[twice[0]]]}",
                        where=f"{labels['row'][first].as_py()}, the first of {len(twice)}",
                        mend="keep one of them, or give the other its own track")
    sides = {name: labels[name].to_numpy()[row] for name in "xywh"}
    return {"row": row, "place": place, "track": track, "film": frames.film[place], "frame": frames.frame[place],
            **sides}, names


def _ends(keys: dict[str, np.ndarray], frames: Frames, gone: dict[int, list[str]],
          names: list[tuple[int, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Track and frame of each picture that says, by having other labels, that a track between its keys is gone."""
    tracks, when = [], []
    starts = np.flatnonzero(np.diff(keys["track"], prepend=-1))
    named = {(image, word) for image, words in gone.items() for word in words}
    final: dict[tuple[int, str], list[int]] = {}
    for at in np.flatnonzero(np.isin(frames.image, np.array([*gone], np.int64))).tolist():
        for word in gone[int(frames.image[at])]:
            final.setdefault((int(frames.film[at]), word), []).append(at)
    for start, end in zip(starts, np.append(starts[1:], len(keys["track"])), strict=True):
        track, own = int(keys["track"][start]), keys["place"][start:end]
        after = [at for at in final.get(names[track], []) if at > own[-1]]
        between = np.arange(own[0], after[0] + 1 if after else own[-1])
        said = frames.labelled[between] & ~np.isin(between, own)
        if named:
            said |= [(int(frames.image[at]), names[track][1]) in named for at in between]
        tracks.append(np.full(int(said.sum()), track))
        when.append(frames.frame[between[said]])
    return np.concatenate([np.zeros(0, np.int64), *tracks]), np.concatenate([np.zeros(0, np.int64), *when])


def _between(keys: dict[str, np.ndarray], frames: Frames, ends: tuple[np.ndarray, np.ndarray],
             params: Params) -> Iterator[dict[str, np.ndarray]]:
    """Boxes of unlabelled pictures: some tracks at a time, as their place in `frames`, their key and x, y, w, h."""
    starts = np.flatnonzero(np.diff(keys["track"], prepend=-1))
    last = keys["frame"][np.append(starts[1:], len(keys["track"])) - 1]
    np.maximum.at(last, ends[0], ends[1])
    spans = last - keys["frame"][starts] + 1
    if spans.max(initial=0) > AT_ONCE:
        raise DataError(f"a track is {int(spans.max()):,} frames long; {AT_ONCE:,} are possible", where="frame",
                        mend="mend the numbers of the frames, or cut the film")
    part = np.cumsum(spans) // AT_ONCE
    for number in np.unique(part):
        yield _made(keys, np.flatnonzero(np.isin(keys["track"], keys["track"][starts[part == number]])), frames, ends,
                    params)


def _made(keys: dict[str, np.ndarray], some: np.ndarray, frames: Frames, ends: tuple[np.ndarray, np.ndarray],
          params: Params) -> dict[str, np.ndarray]:
    track, frame = keys["track"][some], keys["frame"][some]
    out = np.isin(ends[0], track)
    ends = ends[0][out], ends[1][out]
    pause = _pauses(track, frame, params.longest)
    gone = np.concatenate([np.zeros(len(some), bool), np.ones(len(ends[0]) + len(pause[0]), bool)])
    where = np.concatenate([track, ends[0], pause[0]]), np.concatenate([frame, ends[1], pause[1]])
    # a pause may meet an end
    _, first = np.unique(np.stack(where), axis=1, return_index=True)
    numbers = np.concatenate([np.arange(len(some)), np.full(len(gone) - len(some), -1)])[first]
    sides = {name: np.append(keys[name][some], 0.0)[numbers] for name in "xywh"}
    table = pa.table({"track_id": where[0][first], "frame": where[1][first], "class_id": np.zeros(len(first), np.int32),
                      **sides, "outside": gone[first]})
    found = interpolate(table, method=params.method)
    told = {name: found[name].to_numpy() for name in ("track_id", "frame", *"xywh")}
    film = keys["film"][some][np.searchsorted(track, told["track_id"])]
    place = frames.places(film, told["frame"])
    new = (place >= 0) & ~found["key"].to_numpy(zero_copy_only=False)
    new[new] &= ~frames.labelled[place[new]]
    before = _searched(track, frame, told["track_id"][new], told["frame"][new]) - 1
    return {"place": place[new], "key": some[before], **{name: told[name][new] for name in "xywh"}}


def _pauses(track: np.ndarray, frame: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a track pauses: the frame after each key frame whose next one is too far."""
    if not longest:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    far = np.flatnonzero((np.diff(track) == 0) & (np.diff(frame) > longest + 1))
    return track[far], frame[far] + 1


def _rows(made: dict[str, np.ndarray], keys: dict[str, np.ndarray], labels: pa.Table, frames: Frames,
          params: Params) -> pa.Table:
    """New rows of the annotation table: what is known of the key box before, at another place."""
    known = labels.take(pa.array(keys["row"][made["key"]])).select(["class_id", "row", "track"])
    count = known.num_rows
    columns: dict[str, Any] = {field.name: pa.nulls(count, field.type) for field in ANNOTATIONS}
    columns |= {name: known[name] for name in known.column_names}
    columns |= {name: made[name] for name in "xywh"} | {"area": made["w"] * made["h"]}
    columns |= {"annotation_id": np.zeros(count, np.int64), "image_id": frames.image[made["place"]],
                "iscrowd": np.zeros(count, bool), "difficult": np.zeros(count, bool),
                "source": pa.array([SOURCE] * count, pa.string()),
                "attributes": pa.array([json.dumps({"interpolated": params.method})] * count, pa.string())}
    return pa.table({name: columns[name] for name in ANNOTATIONS.names}).cast(ANNOTATIONS)


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    if not len(column):
        return np.zeros(0, np.int64)
    return column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _searched(major: np.ndarray, minor: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """`np.searchsorted` among pairs in order, for pairs."""
    order = np.lexsort((np.concatenate([np.zeros(len(one)), np.ones(len(major))]), np.concatenate([two, minor]),
                        np.concatenate([one, major])))
    before = np.cumsum(order >= len(one))
    found = np.empty(len(one), np.int64)
    asked = order < len(one)
    found[order[asked]] = before[asked]
    return found
