"""The pictures that the model was trained on, and those that it was not: samples of a dataset, measured once."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.files import digest_file, digest_value, write_atomic
from tasks.base.source import Sources
from tasks.data.near.embedding import CACHE, version
from tasks.data.pictures import locate
from tasks.data.table import IMAGES, conform
from tasks.drift.measures import NUMBERS, Entry, Seen, see

STATE = Path(".visionmill/drift")
COLUMNS = ["file", "width", "height", "digest", "bytes", "split", "shard", "offset"]
HELD_OUT = ("val", "test")
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Reference:
    """Pictures of a dataset whose rows are known; few of them are ever opened.

    Attributes:
        digest: of the table of pictures: what is kept of a reference is kept by it.
        images: `COLUMNS`, all rows.
    """

    folder: Path
    raw: Path
    digest: str
    images: pa.Table

    @property
    def divided(self) -> bool:
        """Whether some pictures are marked as those of the training."""
        return bool(pc.any(pc.equal(self.images["split"], "train")).as_py())

    def training(self, most: int, seed: int) -> list[Entry]:
        """A sample of the pictures of the training; of all where none are marked."""
        mask = pc.equal(self.images["split"], "train") if self.divided else None
        return self._sample(self.images if mask is None else self.images.filter(mask), most, seed)

    def held_out(self, most: int, seed: int) -> list[Entry]:
        """A sample of those of validation and test: a model's scores on what it learned from are higher."""
        inside = pc.is_in(self.images["split"], value_set=pa.array(HELD_OUT))
        return self._sample(self.images.filter(inside), most, seed)

    def knows(self, digests: Sequence[str]) -> np.ndarray:
        """Whether pictures are in this dataset, by their bytes; bool."""
        known = self.images["digest"].combine_chunks()
        return np.asarray(pc.is_in(pa.array(digests, pa.string()), value_set=known), bool)

    def _sample(self, images: pa.Table, most: int, seed: int) -> list[Entry]:
        rows = np.random.default_rng(seed).permutation(images.num_rows)[:most]
        some = images.take(pa.array(np.sort(rows)))
        facts = [some[name].to_pylist() for name in ("file", "digest", "width", "height")]
        return [Entry(file, place, digest, width, height) for place, file, digest, width, height
                in zip(locate(self.raw, some), *facts, strict=True)]


def read_reference(folder: Path, raw: Path) -> Reference:
    """The pictures of a dataset folder, its files being below `raw`.

    Raises:
        DataError: it is no dataset folder, is damaged or empty.
    """
    path = folder / "images.parquet"
    try:
        known = pq.read_schema(path).names
        images = pq.read_table(path, columns=[name for name in COLUMNS if name in known], memory_map=False)
        images = conform(images, pa.schema([IMAGES.field(name) for name in COLUMNS]))
    except FileNotFoundError:
        raise DataError("there is no dataset to compare with", where=folder,
                        mend="visionmill run makes data/split; or --reference NAME@VERSION or FOLDER") from None
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(f"damaged dataset folder: {error}", where=path, mend="dvc repro --force") from None
    if not images.num_rows:
        raise DataError("the dataset to compare with has no pictures", where=folder, mend="--reference another one")
    return Reference(folder, raw, digest_file(path), images)


def measured(reference: Reference, entries: Sequence[Entry], workspace: Path) -> Seen:
    """What was measured of some pictures of the reference; kept below `.visionmill/drift/DIGEST`.

    Raises:
        DataError: most of them cannot be read: they were not pulled.
    """
    which = digest_value([[entry.digest for entry in entries], _version()])[:24]
    path = workspace / STATE / reference.digest[:16] / f"{which}.npz"
    if (kept := _load(path)) is not None:
        return kept
    seen, flaws = see(entries, workspace / CACHE)
    if len(flaws) > len(entries) / 2:
        first = next(iter(flaws))
        raise DataError(f"{len(flaws)} of {len(entries)} pictures of the reference cannot be read: {flaws[first]}",
                        where=entries[first].place, mend="dvc pull, or visionmill data pull NAME@VERSION")
    _save(path, seen)
    return seen


def _version() -> str:
    """Of the code that measures: other numbers are not comparable."""
    here = Path(__file__).parent
    code = Sources(here.parents[1]).facts(here / "measures.py").digest
    return hashlib.sha256(f"{code} {version('descriptor')}".encode()).hexdigest()


def _save(path: Path, seen: Seen) -> None:
    buffer = io.BytesIO()
    numbers = np.stack([seen.numbers[name] for name in NUMBERS])
    np.savez(buffer, rows=seen.rows, vectors=seen.vectors, numbers=numbers, groups=seen.groups)
    write_atomic(path, buffer.getvalue())


def _load(path: Path) -> Seen | None:
    """None where there is none, or a damaged one."""
    with suppress(*DAMAGED), np.load(path, allow_pickle=False) as kept:
        numbers = dict(zip(NUMBERS, kept["numbers"], strict=True))
        return Seen(kept["rows"], kept["vectors"], numbers, kept["groups"])
    return None
