"""Pre-labels that were made: boxes as they were found, how likely each is right, and a version of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.data.store.layout import Store, Version, table_digest
from tasks.labelling.prelabelling.learning import known_calibration, known_missed
from tasks.labelling.prelabelling.shards import boxes_file, pictures_file, read_shard
from tasks.labels.calibration import Calibration, unreviewed
from tasks.labels.difficulty import SHOWN, Missed, rate, rate_pictures

KEPT = Path(".visionmill/prelabels")
FACTS, DONE = "facts.json", "done.json"


class Prelabels:
    """What a teacher said of a pool.

    Attributes:
        folder: where it is kept, below the workspace's `.visionmill/prelabels/`.
        facts: model, model_digest, classes, settings, pool (ref, digest), pictures, boxes, unreadable, seconds, …

    Raises:
        UserError: they are not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.facts: dict[str, Any] = read_json(folder / FACTS) | read_json(folder / DONE)
        except FileNotFoundError:
            raise UserError("these pre-labels are not finished", where=folder,
                            mend="visionmill label auto POOL --model NAME goes on with them") from None

    @property
    def workspace(self) -> Path:
        return self.folder.resolve().parents[2]

    @property
    def name(self) -> str:
        """What stands behind `model:`."""
        return str(self.facts["model"])

    @property
    def classes(self) -> list[str]:
        """Names in the order of class ids."""
        return list(self.facts["classes"])

    def boxes(self) -> Iterator[pa.Table]:
        """All boxes, ordered by image_id, a shard at a time, whole pictures each: image_id, class_id, x, y, w, h,
        score, margin, spread, support; `flip` where the mirrored pictures were looked at, `polygons` where there are
        any."""
        there = {"flip": self.facts["settings"]["flip"], "polygons": self.facts["polygons"]}
        absent = [name for name, is_there in there.items() if not is_there]
        for number in range(self._shards):
            yield read_shard(boxes_file(self.folder, number)).drop_columns(absent)

    def rated(self, calibration: Calibration | None = None) -> Iterator[pa.Table]:
        """`boxes` with probability, low, high, uncertainty, difficulty and level (`difficulty.rate`).

        Args:
            calibration: what was learnt of this model (`calibration`) when None.
        """
        chosen = calibration or self.calibration()
        return (rate(table, chosen) for table in self.boxes())

    def pictures(self, calibration: Calibration | None = None, missed: Missed | None = None,
                 shown: float = SHOWN) -> pa.Table:
        """A row a picture that could be read, by image_id: see `difficulty.rate_pictures`."""
        missed = missed or known_missed(self.facts["model_digest"], self.workspace)
        return rate_pictures(self.readable, self.rated(calibration), missed, shown)

    def calibration(self) -> Calibration:
        """What was learnt of this model from reviewed labels, the prior before that, or where these boxes lack what was
        learnt from."""
        known = known_calibration(self.facts["model_digest"], self.workspace)
        has = {"margin", "spread", *(["flip"] if self.facts["settings"]["flip"] else [])}
        return known if known and set(known.features) <= has else unreviewed()

    @cached_property
    def image_id(self) -> np.ndarray:
        """int64 [n], of all pictures of the pool, in its order."""
        return self.told["image_id"].to_numpy()

    @property
    def readable(self) -> np.ndarray:
        """int64, the image_ids of the pictures that were looked at."""
        return self.image_id[self.told["flaw"].is_null().to_numpy()]

    @property
    def unreadable(self) -> dict[int, str]:
        """image_id → why it could not be read."""
        flawed = self.told.filter(self.told["flaw"].is_valid())
        return dict(zip(flawed["image_id"].to_pylist(), flawed["flaw"].to_pylist(), strict=True))

    @cached_property
    def vectors(self) -> np.ndarray:
        """float16 [n, d], what the pictures look like (`tasks.data.near.embedding`), rows in the pool's order, mapped
        from a file that is made the first time; zeros of a picture that cannot be read or shows nothing."""
        from tasks.labelling.prelabelling.looks import keep_vectors

        file = self.folder / "vectors.npy"
        if not file.is_file():
            keep_vectors(self.folder, self.workspace / self.facts["pool"]["folder"], self.workspace)
        kept: np.ndarray = np.load(file, mmap_mode="r")
        return kept

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """`aldd` float64 [n, K] and `consistency` [n], those that were asked for, rows as `vectors`."""
        return {name: np.load(file) for name in ("aldd", "consistency")
                if (file := self.folder / f"{name}.npy").is_file()}

    def version(self, store: Store, out: str, owner: str, shown: float = SHOWN) -> tuple[Version, bool]:
        """The pool with the boxes whose probability is `shown` at least, as a version; whether it is new."""
        from tasks.labelling.prelabelling.publishing import publish

        return publish(self, store, out, owner, shown)

    @property
    def _shards(self) -> int:
        return -(-int(self.facts["pictures"]) // int(self.facts["shard"]))

    @cached_property
    def told(self) -> pa.Table:
        """Of each picture of the pool image_id, digest, and flaw: why it could not be read, null where it could."""
        parts = [read_shard(pictures_file(self.folder, number)).select(["image_id", "digest", "flaw"])
                 for number in range(self._shards)]
        return pa.concat_tables(parts).combine_chunks()


def newest(pool: Version, workspace: Path, model: str | None = None) -> Prelabels:
    """The pre-labels of a pool that were asked for last.

    Args:
        model: of this model alone, as `source` names it: `cells@3`.

    Raises:
        UserError: there are none.
    """
    digest = pool.digest or table_digest(pool.folder)
    finished = sorted((workspace / KEPT).glob(f"*/{DONE}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in finished:
        facts = read_json(path.with_name(FACTS))
        if facts["pool"]["digest"] == digest and model in (None, facts["model"]):
            return Prelabels(path.parent)
    by = f" by {model}" if model else ""
    raise UserError(f"{pool.ref} has not been pre-labelled{by}", where=workspace / KEPT,
                    mend=f"visionmill label auto {pool.ref} --model {model or 'models:/NAME@champion'}")
