"""Where the pictures and the labels of a split come from, counted from its tables; and where one picture went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import digest_file, read_json
from tasks.registry.tracing.kept import Kept
from tasks.registry.tracing.reading import Known

if TYPE_CHECKING:
    import pyarrow as pa

DEEP = 50  # parents of parents that are followed
COLUMNS = ["image_id", "file", "digest", "split"]
BOX = ("x", "y", "w", "h")


@dataclass(frozen=True)
class Tables:
    """The files of one split's tables."""

    images: Path
    annotations: Path
    meta: Mapping[str, Any]


def tables(data_hash: str | None, kept: Kept) -> Tables | None:
    """The tables of a split by its DVC hash, None where they are not on this machine."""
    if not data_hash:
        return None
    found = [kept.inside(data_hash, name) for name in ("images.parquet", "annotations.parquet", "dataset.json")]
    if any(path is None for path in found):
        return None
    images, annotations, meta = (Path(str(path)) for path in found)
    return Tables(images, annotations, read_json(meta))


def pictures(found: Tables) -> dict[str, Any]:
    """Number of pictures, in all, by split and by the first folder of their path."""
    import pyarrow.compute as pc

    rows = _read(found.images, ["file", "split"])
    folders = pc.extract_regex(rows["file"], r"^(?P<folder>[^/]+)/")
    tops = pc.fill_null(pc.struct_field(folders, "folder"), "(top folder)")
    return {"count": rows.num_rows, "splits": _counted(rows["split"]), "folders": _counted(tops)}


def labels(found: Tables) -> dict[str, Any]:
    """Number of boxes by who drew them: a person, an import, or a model with its scores; and who reviewed them."""
    rows = _read(found.annotations, ["image_id", "source", "score", "reviewed_by"])
    there = rows.column_names
    by = rows.group_by("source").aggregate(
        [("image_id", "count"), ("image_id", "count_distinct")]
        + ([("score", "min"), ("score", "mean"), ("score", "max")] if "score" in there else [])
        + ([("reviewed_by", "count")] if "reviewed_by" in there else []))
    origins = [{"source": one["source"], "boxes": one["image_id_count"], "pictures": one["image_id_count_distinct"],
                "score": [one.get("score_min"), one.get("score_mean"), one.get("score_max")],
                "reviewed": one.get("reviewed_by_count", 0)} for one in by.to_pylist()]
    reviewers = _counted(rows["reviewed_by"]) if "reviewed_by" in there else {}
    reviewers.pop("", None)
    return {"boxes": rows.num_rows, "classes": list(found.meta.get("classes", [])), "reviewers": reviewers,
            "origins": sorted(origins, key=lambda one: -one["boxes"])}


def datasets(params: Mapping[str, Any], meta: Mapping[str, Any], workspace: Path) -> list[dict[str, Any]]:
    """The dataset versions and recipes that a line read: the catalogue's entry or the store's version and its parents,
    then what the line's own table says of itself."""
    found: list[dict[str, Any]] = []
    # a line that reads a version of the store fetches nothing, whatever its section still says
    if (name := _value(params, "fetch", "dataset")) and not _value(params, "data", "version"):
        found.append({"ref": str(name), "kind": "catalogue", "digest": None, "recipe": {}, "parents": []})
    if ref := _value(params, "data", "version"):
        found += _chain(str(ref), _value(params, "data", "digest"), workspace)
    if meta.get("recipe") or meta.get("parents"):
        found.append({"ref": str(meta.get("name", "")), "kind": "line", "digest": None,
                      "recipe": meta.get("recipe") or {}, "parents": list(meta.get("parents") or [])})
    return found


def _chain(ref: str, digest: Any, workspace: Path) -> list[dict[str, Any]]:
    """A version of the store, then what it was made of, as far as that is on this machine."""
    from tasks.data.store.site import store_of

    found: list[dict[str, Any]] = []
    waiting: list[tuple[str, Any]] = [(ref, digest)]
    seen: set[str] = set()
    while waiting and len(found) < DEEP:
        here, expected = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        entry: dict[str, Any] = {"ref": here, "kind": "store", "digest": expected, "recipe": {}, "parents": []}
        try:
            version = store_of(workspace).find(here)
            entry |= {"recipe": version.meta.recipe, "licence": version.meta.licence, "digest": version.digest}
            entry["note"] = "" if expected in (None, version.digest) else "the store has another table of that name"
        except VisionmillError as error:
            entry["note"] = error.what
        parents = entry["recipe"].get("parents", [])
        entry["parents"] = [str(parent.get("ref")) for parent in parents]
        waiting += [(str(parent.get("ref")), parent.get("digest")) for parent in parents]
        found.append(entry)
    return found


@dataclass(frozen=True)
class Wanted:
    """A picture that is looked for: by the digest of its content where it is a file here, else by its name."""

    shown: str
    digest: str | None
    name: str


def wanted(text: str) -> Wanted:
    """What `--picture` names."""
    path = Path(text).expanduser()
    if path.is_dir():
        raise UserError("that is a folder, not a picture", where=path, mend="--picture FILE, or its name in the tables")
    name = text.removeprefix("./").removeprefix("data/raw/")
    return Wanted(text, digest_file(path) if path.is_file() else None, name)


def rows_of(one: Wanted, found: Tables) -> list[dict[str, Any]]:
    """The rows of a picture in a table, each with its boxes and who drew them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    images = _read(found.images)
    same = images.filter(_is(images, one)).to_pylist()
    if not same:
        return []
    labels = _read(found.annotations)
    ids = pa.array([row["image_id"] for row in same], labels.schema.field("image_id").type)
    boxes = labels.filter(pc.is_in(labels["image_id"], value_set=ids)).to_pylist()
    classes = list(found.meta.get("classes", []))
    return [{"file": row["file"], "digest": row["digest"], "split": row["split"], "group": row.get("group"),
             "tags": row.get("tags") or [], "size": [row["width"], row["height"]],
             "licence": found.meta.get("licence"),
             "boxes": [_box(box, classes) for box in boxes if box["image_id"] == row["image_id"]]} for row in same]


def _box(box: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    number = box["class_id"]
    return {"class": classes[number] if 0 <= number < len(classes) else str(number),
            "box": [box[name] for name in BOX], "source": box["source"], "score": box.get("score"),
            "reviewed_by": box.get("reviewed_by"), "row": box.get("row")}


def seen_by(one: Wanted, known: Sequence[Known], kept: Kept) -> tuple[list[dict[str, Any]], list[str]]:
    """The versions whose split holds a picture, and those of which nobody can say: their tables are not here.

    Versions of one split are looked up once.
    """
    splits: dict[str, dict[str, list[str]] | None] = {}
    found, unknown = [], []
    for version in known:
        data = version.tag("data_hash") or ""
        if data not in splits:
            splits[data] = _splits(one, data, kept)
        there = splits[data]
        if there is None:
            unknown.append(version.version)
        elif there:
            found.append({"name": version.name, "version": version.version, "aliases": version.aliases,
                          "data_hash": data, "splits": sorted(there), "files": sorted({f for fs in there.values()
                                                                                      for f in fs})})
    return found, unknown


def _splits(one: Wanted, data_hash: str, kept: Kept) -> dict[str, list[str]] | None:
    """Split → the picture's names in it; None where the table is not here."""
    file = kept.inside(data_hash, "images.parquet") if data_hash else None
    if file is None:
        return None
    images = _read(file, COLUMNS)
    found: dict[str, list[str]] = {}
    for row in images.filter(_is(images, one)).to_pylist():
        found.setdefault(row["split"] or "none", []).append(row["file"])
    return found


def in_store(one: Wanted, workspace: Path) -> Iterator[dict[str, Any]]:
    """The dataset versions of the store that hold a picture."""
    from tasks.data.store.site import store_of

    for version in store_of(workspace).all():
        if (file := version.folder / "images.parquet").is_file():
            images = _read(file, ["file", "digest"])
            if images.filter(_is(images, one)).num_rows:
                yield {"ref": version.ref, "licence": version.meta.licence}


def _read(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Those of the columns that are there; `read_table` would import pandas on the way, which takes half a second."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        there = opened.schema_arrow.names
        return opened.read(columns=None if columns is None else [name for name in columns if name in there])


def _is(images: Any, one: Wanted) -> Any:
    import pyarrow.compute as pc

    if one.digest:
        return pc.equal(images["digest"], one.digest)
    return pc.or_(pc.equal(images["file"], one.name), pc.ends_with(images["file"], f"/{one.name}"))


def _counted(column: Any) -> dict[str, int]:
    import pyarrow.compute as pc

    counts = [(str(one["values"] or ""), one["counts"]) for one in pc.value_counts(column).to_pylist()]
    return dict(sorted(counts, key=lambda pair: (-pair[1], pair[0])))


def _value(params: Mapping[str, Any], section: str, key: str) -> Any:
    found = params.get(section)
    return found.get(key) if isinstance(found, dict) else None
