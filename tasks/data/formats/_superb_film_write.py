"""Writing videos of Superb AI's export: a film is a group of pictures with numbers, a track is an object."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from tasks.data import sql
from tasks.data.formats._superb_film import CLASS, OURS
from tasks.data.formats._superb_json import mapping, save
from tasks.data.formats._superb_project import NewProject
from tasks.data.formats._superb_schema import NAMESPACE

if TYPE_CHECKING:
    from tasks.data.exporting import Export
    from tasks.data.rows import Row

# what a project of videos carries, and one of pictures does not
FILM = (("images", "group"), ("images", "frame"), ("images", "time"), ("annotations", "track"))


def is_film(export: Export) -> bool:
    """Whether all pictures are of films, and labels have tracks. Work that is handed out goes picture by picture."""
    with sql.tables(it=export.folder) as connection:
        apart, tracks = (connection.execute(query).fetchall()[0][0] for query in (
            'SELECT count(*) FROM it_images WHERE frame IS NULL OR "group" IS NULL',
            "SELECT count(track) FROM it_annotations"))
    return not apart and bool(tracks) and not any("job" in _ours(row.image) for row in export.rows())


def lose_film(export: Export) -> None:
    """Count what a project of pictures cannot say."""
    with sql.tables(it=export.folder) as connection:
        for table, name in FILM:
            found = connection.execute(f'SELECT count("{name}") FROM it_{table}').fetchall()
            if found[0][0]:
                export.lose(f"{table}.{name}", found[0][0])


def write_films(export: Export, project: NewProject) -> None:
    """One `meta` and one label file a film; its pictures as `images/<dataset>/<data_key>/<name>`."""
    films: dict[str, list[Row]] = defaultdict(list)
    for row in export.rows():
        films[row.image["group"]].append(row)
    for group, some in sorted(films.items()):
        _write_film(export, project, group, sorted(some, key=lambda row: row.image["frame"]))
    save(export.out / "project.json", project.content(films=True))


def _write_film(export: Export, project: NewProject, group: str, some: list[Row]) -> None:
    from tasks.data.formats import _superb_write as write

    first = some[0].image
    told = write._parsed(first)
    if any(write._parsed(row.image) != told for row in some):
        export.lose("attributes of single frames", len(some))
    dataset = write._dataset(told, first["split"])
    film = str(mapping(told.get("film")).get("name") or group.rpartition("/")[2])
    key = write._key(told, first | {"file": str(told.get("data_key") or film)}, export.out, dataset)
    label_id = write._label_id(told, f"{dataset}/{key}", export)
    names = _names(some)
    for row, name in zip(some, names, strict=True):
        export.place(row.image, f"images/{dataset}/{key}/{name}")
    label: dict[str, Any] | None = {"objects": _objects(some, project, label_id, export)}
    if label is not None:
        label |= project.rest(told.get("label"), None)
    if "label" in told and told["label"] is None and not any(row.boxes for row in some):
        label = None
    save(export.out / f"labels/{label_id}.json", label)
    meta = write._meta(first, told, dataset, key, label_id) | {"frames": names}
    meta["info"] = _kept(mapping(meta["info"]), some, export)
    meta.pop("film", None)
    save(export.out / write._meta_name(dataset, key), meta)


def _names(some: list[Row]) -> list[str]:
    """Names of a film's pictures: their own, where they differ and are in the order of the frames."""
    own = [PurePosixPath(row.image["file"]).name for row in some]
    if len(set(own)) == len(own):
        return own
    return [f"{row.image['frame']:06d}{PurePosixPath(name).suffix}" for row, name in zip(some, own, strict=True)]


def _kept(info: dict[str, Any], some: list[Row], export: Export) -> dict[str, Any]:
    """The user's own part of `meta`, with the numbers and times of the frames where they are no plain count."""
    numbers, times = [row.image["frame"] for row in some], [row.image["time"] for row in some]
    rest = {key: value for key, value in info.items() if key != OURS}
    known = any(time is not None for time in times)
    if numbers == list(range(len(some))) and not known:
        return rest
    whole = all(time is not None for time in times)
    if known and not whole:
        export.lose("images.time", sum(time is not None for time in times))
    return rest | {OURS: {"frames": numbers} | ({"times": times} if whole else {})}


def _objects(some: list[Row], project: NewProject, label_id: str, export: Export) -> list[dict[str, Any]]:
    """The objects of a film: the labels of one track, class and form; a label without a track is one of its own."""
    from tasks.data.formats import _superb_write as write

    made: dict[tuple[Any, ...], dict[str, Any]] = {}
    for num, row in enumerate(some):
        for place, box in enumerate(row.boxes):
            told = write._parsed(box)
            whole = mapping(told.pop("object", None))
            fresh = uuid5(NAMESPACE, f"{label_id}/{box['track'] or f'{num}-{place}'}")
            plain = box | {"attributes": json.dumps(told) if told else None}
            one = write._object(plain, fresh, project)
            key = (box["track"] or f"\0{num} {place}", one["class_id"])
            entry = made.setdefault(key, _entry(box["track"], whole, one, str(fresh)))
            frame = {name: value for name, value in one.items() if name not in (*CLASS, "id")}
            entry["frames"].append({"num": num} | frame)
    changed = len({key[0] for key in made})
    if changed < len(made):
        export.lose("tracks whose class or form changes", len(made) - changed)
    return list(made.values())


def _entry(track: str | None, whole: dict[str, Any], one: dict[str, Any], fresh: str) -> dict[str, Any]:
    number: Any = int(track) if track is not None and track.isdecimal() and str(int(track)) == track else track
    known = whole.get("tracking_id")
    if track is not None and known is not None and track in (str(known), whole.get("id")):
        number = known
    own = whole.get("id")
    return {"properties": []} | whole | {
        "id": own if isinstance(own, str) else fresh, "tracking_id": number, "frames": [],
        **{name: one[name] for name in CLASS}}


def _ours(image: dict[str, Any]) -> dict[str, Any]:
    told = mapping(json.loads(image["attributes"])) if image["attributes"] else {}
    return mapping(mapping(told.get("info")).get(OURS))
