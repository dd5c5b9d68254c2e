"""The pictures of a job as a desk is given them: hardest first, each with its boxes and where its bytes are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError, UserError
from tasks.data.pictures import Location, Member, open_bytes
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset
from tasks.labelling.jobs.job import Job


@dataclass(frozen=True)
class Task:
    """One picture for people.

    Attributes:
        place: in the job's order, 0 the hardest.
        image: the row of `images`; image_id is that of the job's version.
        boxes: the rows of `annotations`, pre-labels mostly; annotation_id is that of the job's version.
        location: where the bytes are: a path, or a member of an archive.
        attributes: of the picture, parsed: `prelabel`, `mined`, `review` and what its format said.
    """

    place: int
    image: dict[str, Any]
    boxes: list[dict[str, Any]]
    location: Location

    @property
    def digest(self) -> str:
        return str(self.image["digest"])

    @property
    def attributes(self) -> dict[str, Any]:
        found = json.loads(self.image["attributes"]) if self.image["attributes"] else {}
        return found if isinstance(found, dict) else {}

    def read(self) -> bytes:
        """The picture's file."""
        with open_bytes(self.location) as file:
            return file.read()


class Pictures:
    """Pictures of a version by their digests, in that order.

    Args:
        folder: the version's tables; root: what its `file` and `shard` are relative to.

    Raises:
        DataError: the version has no picture of a digest.
    """

    def __init__(self, folder: Path, root: Path, order: Sequence[str]) -> None:
        self.folder, self.root, self.order = folder, root, list(order)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Task]:
        images, boxes = self.dataset.images, self.dataset.annotations
        first = np.searchsorted(self._owner, images["image_id"].to_numpy(), "left")
        last = np.searchsorted(self._owner, images["image_id"].to_numpy(), "right")
        for place, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            image = images.slice(place, 1).to_pylist()[0]
            yield Task(place, image, boxes.slice(start, stop - start).to_pylist(), self._location(image))

    def only(self, digests: Sequence[str]) -> Pictures:
        """Some of them, in the order in which they are named."""
        return Pictures(self.folder, self.root, digests)

    @cached_property
    def dataset(self) -> Dataset:
        """Their rows: images in this order, image_ids as in the version; annotations by image_id."""
        whole = read_dataset(self.folder)
        known = first_of(whole.images)
        missing = [digest for digest in self.order if digest not in known]
        if missing:
            raise DataError(f"{len(missing)} pictures of the job are not in its version, the first {missing[0][:12]}…",
                            where=self.folder, mend="send the version that is there as a new job: --job NAME")
        rows = np.array([known[digest] for digest in self.order], np.int64)
        images = whole.images.take(pa.array(rows))
        owner = whole.annotations["image_id"].to_numpy()
        keep = np.flatnonzero(np.isin(owner, images["image_id"].to_numpy()))
        keep = keep[np.argsort(owner[keep], kind="stable")]
        return replace(whole, images=images, annotations=whole.annotations.take(pa.array(keep)))

    @cached_property
    def _owner(self) -> np.ndarray:
        return self.dataset.annotations["image_id"].to_numpy()

    def _location(self, image: dict[str, Any]) -> Location:
        if image["shard"] is None:
            return self.root / str(image["file"])
        return Member(self.root / str(image["shard"]), int(image["offset"]), int(image["bytes"]), str(image["file"]))


def first_of(images: pa.Table) -> dict[str, int]:
    """Digest → row; of pictures with the same bytes the first one's."""
    known: dict[str, int] = {}
    for row, digest in enumerate(images["digest"].to_pylist()):
        known.setdefault(digest, row)
    return known


def version_of(job: Job, store: Store) -> Version:
    """The version whose pictures a job has: by its name, else any with the same tables.

    Raises:
        UserError: it is gone, or is not on this machine.
    """
    named = [version for version in store.of(job.version.partition("@")[0]) if version.ref == job.version]
    for version in (*named, *store.all()):
        if version.here and version.digest == job.digest:
            return version
    if named and not named[0].here:
        _ = named[0].meta  # says how to get it
    raise UserError(f"the version of job {job.name!r} is gone: {job.version}", where=store.root,
                    mend=f"git checkout {store.versions.name}/{job.version.replace('@', '/')}.dvc in the store, then "
                         f"visionmill data pull {job.version}; what people did is kept in {job.folder}")


def pictures_of(job: Job, store: Store) -> Pictures:
    """The pictures of a job, as its desk was given them."""
    return Pictures(version_of(job, store).folder, store.pictures, job.order)
