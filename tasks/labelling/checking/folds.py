"""Predictions of models that have not seen the pictures: k small trainings, each without the pictures that it judges.

    .visionmill/folds/KEY/     KEY: digest of the version's tables and of these settings
        data/                  the version's tables, of no split: a light training leaves out val and test
        folds.parquet          image_id, fold
        fold-0/ …              the models, each with light.json and detections.parquet; what is there is not made again
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.base.errors import DataError, WorkspaceBusy
from tasks.base.files import digest_value, write_atomic
from tasks.base.locks import held_alone
from tasks.base.params import Params
from tasks.data.store.layout import table_digest
from tasks.data.table import IMAGES, Dataset, full_disk_is_told, read_dataset, write_dataset
from tasks.labels.errors import fold_of, out_of_fold

if TYPE_CHECKING:
    from tasks.improving.light import Light

PLACE = Path(".visionmill/folds")
VERSION = 1
FOLDS = pa.schema([("image_id", pa.int64()), ("fold", pa.int32())])
# per fold; with fewer there is nothing to learn from and nothing to compare with
FEWEST = 2


class Folds(Params):
    """How the pictures are divided, and how each of the models is trained.

    Attributes:
        folds: parts; each picture is judged by a model that has seen the other parts.
        steps: of the optimiser, of each training.
        size: the longer side of the network's input in pixels.
        init: where the backbone starts.
        flip: how the pictures may be mirrored: `tasks.labelling.mirroring.flip_of` knows it.
        seed: of the division and of the trainings.
    """

    folds: int = Field(default=5, ge=2, le=20, description="parts, each judged by a model of the others")
    steps: int = Field(default=400, ge=1, description="steps of each training")
    size: int = Field(default=224, ge=32, le=1024, description="longer side of the network's input in pixels")
    init: Literal["imagenet", "scratch"] = Field(default="imagenet", description="where the backbone starts")
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    seed: int = 0

    def light(self) -> Light:
        """The settings of one training."""
        from tasks.improving.light import Light

        plain = Light()
        return plain.model_copy(update={"steps": self.steps, "init": self.init, "warmup": min(20, self.steps),
                                        "augment": plain.augment.model_copy(update={"flip": self.flip}),
                                        "model": plain.model.model_copy(update={"image_size": self.size})})


@dataclass(frozen=True)
class OutOfFold:
    """What the k models say.

    Attributes:
        predictions: all detections, in the form of `tasks.metrics.detections.SCHEMA`, of low scores too.
        fold: of each picture, by image_id.
        accuracy: AP50 of each model on its fold's labels, wrong ones too; None without a label.
        folder: where all of it is kept.
    """

    predictions: pa.Table
    fold: np.ndarray
    accuracy: list[float | None]
    folder: Path


def predict_out_of_fold(folder: Path, raw: Path, settings: Folds, workspace: Path,
                        tell: Callable[[str], None] = print) -> OutOfFold:
    """Train k models and let each speak of the pictures that it was not trained on.

    Near-duplicates, equal pictures and groups (frames of one film) are in one fold. A killed command goes on where it
    was: folds that are done are read, a training that was begun goes on from its last lap.

    Args:
        folder: a version's tables; raw: where its pictures' names start.
        tell: takes a line a fold.

    Raises:
        DataError: too few pictures, no box, labels without boxes. WorkspaceBusy: another command trains these.
    """
    from tasks.improving.light import train_and_judge

    dataset = read_dataset(folder)
    if dataset.images.num_rows < FEWEST * settings.folds:
        raise DataError(f"{dataset.images.num_rows} pictures are too few for {settings.folds} folds",
                        where=folder, mend="fewer --folds, or predictions of a model that is there: --model")
    light = settings.light()
    place = workspace / PLACE / _key(folder, settings, light)
    with _held(place):
        fold = _division(dataset, folder, raw, settings, place, workspace)
        parts: dict[int, pa.Table] = {}
        accuracy: list[float | None] = []
        for number in range(settings.folds):
            judged = train_and_judge(place / "data", raw, light, judge=_only(dataset, fold == number),
                                     out=place / f"fold-{number}", seed=settings.seed + number)
            parts[number] = judged.detections
            accuracy.append(judged.metrics["AP50"])
            told = "no box in it" if accuracy[-1] is None else f"AP50 {accuracy[-1]:.3f}"
            tell(f"fold {number + 1} of {settings.folds}: trained on {judged.metrics['train_images']:,} pictures, "
                 f"judged on {int((fold == number).sum()):,}: {told}")
    ids = dataset.images["image_id"].to_numpy()
    return OutOfFold(out_of_fold(ids, fold, parts), fold, accuracy, place)


def _key(folder: Path, settings: Folds, light: Light) -> str:
    changing: dict[str, Any] = light.model_dump(mode="json", exclude={"threads"})
    return digest_value([VERSION, table_digest(folder), settings.model_dump(), changing])[:16]


def _division(dataset: Dataset, folder: Path, raw: Path, settings: Folds, place: Path, workspace: Path) -> np.ndarray:
    """The fold of each picture, decided once; with it the tables that are trained on."""
    known = place / "folds.parquet"
    if known.is_file():
        return pq.read_table(known)["fold"].to_numpy()
    fold = fold_of(folder, settings.folds, settings.seed, _near(dataset.images, raw, workspace))
    if len(np.unique(fold)) < settings.folds:
        raise DataError(f"the pictures hang together too much for {settings.folds} folds: near-duplicates and groups "
                        f"stay together, which leaves {len(np.unique(fold))}", where=folder,
                        mend="fewer --folds, or predictions of a model that is there: --model")
    where = dataset.images.schema.get_field_index("split")
    images = dataset.images.set_column(where, IMAGES.field("split"), pa.nulls(dataset.images.num_rows, pa.string()))
    with full_disk_is_told(place):
        write_dataset(place / "data", replace(dataset, images=images))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table([dataset.images["image_id"], pa.array(fold.astype(np.int32))], schema=FOLDS), sink)
        write_atomic(known, sink.getvalue().to_pybytes())
    return fold


def _near(images: pa.Table, raw: Path, workspace: Path) -> np.ndarray:
    """The same number for near-duplicates, int64 [pictures]."""
    from tasks.data.near.embedding import CACHE
    from tasks.data.near.finding import Settings, find
    from tasks.data.near.groups import smallest

    found = find(raw, images, Settings(), workspace / CACHE)
    return smallest(images.num_rows, found.a, found.b)


def _only(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """Some of the pictures, with their labels; image_ids stay as they are."""
    images = dataset.images.filter(pa.array(chosen))
    inside = np.isin(dataset.annotations["image_id"].to_numpy(), images["image_id"].to_numpy())
    return replace(dataset, images=images, annotations=dataset.annotations.filter(pa.array(inside)))


@contextmanager
def _held(place: Path) -> Iterator[None]:
    with held_alone(place / ".lock", lambda holder: WorkspaceBusy(
            "another command trains these folds", where=place,
            mend="wait for it, and run this again: what it has made is kept")):
        yield
