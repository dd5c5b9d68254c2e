"""What is learnt of a model from what people correct: kept by the model's digest, and used from then on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.labels.calibration import Calibration, calibrate
from tasks.labels.difficulty import Missed, missed_rates

if TYPE_CHECKING:
    from tasks.data.store.layout import Version
    from tasks.labelling.prelabelling.prelabels import Prelabels

KEPT = Path(".visionmill/calibrations")
FEATURES = ("margin", "flip", "spread")
BOX = ("image_id", "class_id", "x", "y", "w", "h")


def known_calibration(model_digest: str, workspace: Path) -> Calibration | None:
    """What was learnt of a model, None before that.

    Raises:
        DataError: the file is damaged.
    """
    file = workspace / KEPT / f"{model_digest}.json"
    return Calibration.read(file) if file.is_file() else None


def known_missed(model_digest: str, workspace: Path) -> Missed | None:
    """How many objects the model has no box on at all, None before anything was reviewed."""
    file = workspace / KEPT / f"{model_digest}.missed.json"
    return Missed(**read_json(file)) if file.is_file() else None


def learn(prelabels: Prelabels, reviewed: Version, workspace: Path) -> Calibration:
    """Learn from a version that people have reviewed how far this model is to be trusted.

    Pictures go by their digest, classes by name. Of pictures with the attribute `review` where there are any, else of
    all. What earlier calls learnt from counts too: of a picture that was reviewed twice the later one.

    Raises:
        UserError: no reviewed picture is of this pool.
    """
    digest = prelabels.facts["model_digest"]
    listed = workspace / KEPT / f"{digest}.sources.json"
    sources = [one for one in (read_json(listed) if listed.is_file() else []) if _there(one, workspace)]
    mine = {"prelabels": prelabels.folder.name, "reviewed": _from(workspace, reviewed.folder)}
    sources = [*(one for one in sources if one != mine), mine]
    found, truth, pictures = _gather(sources, workspace)
    if not len(pictures):
        raise UserError(f"no reviewed picture of {reviewed.ref} is one that {prelabels.name} has looked at",
                        where=reviewed.folder, mend=f"pre-label its pool with {prelabels.name} first")
    learnt = calibrate(found, truth, pictures)
    write_json(listed, sources)
    write_json(workspace / KEPT / f"{digest}.missed.json", missed_rates(found, truth, pictures).as_dict())
    learnt.write(workspace / KEPT / f"{digest}.json")
    return learnt


def _from(workspace: Path, folder: Path) -> str:
    """A folder as it is found from the workspace, which may be moved with its store."""
    return os.path.relpath(folder.resolve(), workspace.resolve())


def _there(source: dict[str, str], workspace: Path) -> bool:
    from tasks.labelling.prelabelling.prelabels import DONE
    from tasks.labelling.prelabelling.prelabels import KEPT as PRELABELS

    return (workspace / PRELABELS / source["prelabels"] / DONE).is_file() and (
        workspace / source["reviewed"] / "dataset.json").is_file()


def _gather(sources: list[dict[str, str]], workspace: Path) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Boxes, labels and image_ids of all reviewed pictures, numbered anew; later sources go before earlier ones."""
    from tasks.labelling.prelabelling.prelabels import KEPT as PRELABELS
    from tasks.labelling.prelabelling.prelabels import Prelabels

    number: dict[str, int] = {}
    parts: list[tuple[pa.Table, pa.Table]] = []
    for source in reversed(sources):
        prelabels = Prelabels(workspace / PRELABELS / source["prelabels"])
        said, pool = _reviewed(workspace / source["reviewed"]), _digests(prelabels)
        new = {digest: len(number) + at for at, digest in enumerate(
            sorted(set(said["digests"]) & set(pool) - set(number)))}
        number |= new
        truth = _renumbered(said["labels"], {said["digests"][d]: n for d, n in new.items()})
        parts.append((_renumbered(_boxes(prelabels, {pool[digest] for digest in new}),
                                  {pool[digest]: n for digest, n in new.items()}),
                      _renamed(truth, said["classes"], prelabels.classes)))
    found, truth = (pa.concat_tables([pair[side] for pair in parts], promote_options="default").combine_chunks()
                    for side in (0, 1))
    return found, truth, np.arange(len(number))


def _reviewed(folder: Path) -> dict[str, Any]:
    """Labels, classes, and digest → image_id of the pictures that people have seen."""
    from tasks.data.table import read_dataset

    dataset = read_dataset(folder)
    images = dataset.images.select(["image_id", "digest", "attributes"]).to_pydict()
    seen = [text is not None and "review" in json.loads(text) for text in images["attributes"]]
    everything = not any(seen)
    digests = {digest: image for image, digest, here in zip(images["image_id"], images["digest"], seen, strict=True)
               if here or everything}
    return {"labels": dataset.annotations.select([*BOX, "iscrowd", "difficult"]), "classes": dataset.meta.classes,
            "digests": digests}


def _digests(prelabels: Prelabels) -> dict[str, int]:
    """digest → image_id of the pictures that were looked at."""
    looked = prelabels.told.filter(prelabels.told["flaw"].is_null())
    return dict(zip(looked["digest"].to_pylist(), looked["image_id"].to_pylist(), strict=True))


def _boxes(prelabels: Prelabels, images: set[int]) -> pa.Table:
    wanted = np.array(sorted(images), np.int64)
    tables = [table.filter(pa.array(np.isin(table["image_id"].to_numpy(), wanted))) for table in prelabels.boxes()]
    whole = pa.concat_tables(tables)
    return whole.select([name for name in (*BOX, "score", *FEATURES) if name in whole.column_names])


def _renumbered(table: pa.Table, number: dict[int, int]) -> pa.Table:
    """The rows of these pictures, under their new numbers."""
    ids = table["image_id"].to_numpy()
    known = np.array(sorted(number), np.int64)
    here = np.isin(ids, known)
    to = np.array([number[image] for image in known.tolist()], np.int64)
    place = np.searchsorted(known, ids[here])
    return table.filter(pa.array(here)).set_column(0, "image_id", pa.array(to[place] if len(to) else ids[here]))


def _renamed(labels: pa.Table, theirs: list[str], ours: list[str]) -> pa.Table:
    """Labels with class ids of the teacher's list; classes that it does not have get numbers of their own."""
    names = list(ours)
    to = []
    for name in theirs:
        names += [] if name in names else [name]
        to.append(names.index(name))
    at = labels.schema.get_field_index("class_id")
    ids = np.array(to, np.int32)[labels["class_id"].to_numpy()] if labels.num_rows else np.zeros(0, np.int32)
    return labels.set_column(at, "class_id", pa.array(ids, pa.int32()))
