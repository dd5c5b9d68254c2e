"""What a version's deployed file, or any artefact, finds on a set of pictures: computed once and kept.

Below `.visionmill/answers/`, by what the file is, which pictures and classes were asked, and the thresholds. At most
`MOST_BYTES` are kept there: what nobody has asked for longest goes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file, digest_value
from tasks.metrics.detections import detections_table, read_detections, write_detections
from tasks.registry import store
from tasks.registry.versions import resolve_model

if TYPE_CHECKING:
    from tasks.data.table import Dataset
    from tasks.runtime.detector import Detector

FOLDER = Path(store.STATE) / "answers"
# answers of some hundred versions on 5,000 pictures; each is made again where it is asked for
MOST_BYTES = 1 << 30


def answers(version_or_file: str | Path, dataset: Dataset, raw: Path, workspace: Path = Path(), *,
            score_threshold: float = 0.05, max_detections: int = 100) -> pa.Table:
    """Detections on every picture of a dataset, in the form of `results/evaluate/detections/*.parquet`.

    Classes are matched by name: one that the model does not know has no detections, one that the dataset does not know
    is left out. Two that ask for the same at once compute it once.

    Args:
        version_or_file: `models:/NAME/3`, whose deployed file is asked, or a file or model folder.
        raw: folder that the dataset's files are relative to.
        score_threshold: 0..1; detections below it are not kept.
        max_detections: of a picture, the best.

    Raises:
        UserError: no such version or file, or its runtime is not here and nothing stands in for it.
        DataError: the file does not open, or a picture cannot be read.
    """
    path = resolve_model(version_or_file, workspace=workspace)
    key = digest_value([digest_artefact(path), _asked(dataset), score_threshold, max_detections])
    kept = workspace / FOLDER / f"{key[:32]}.parquet"
    with store.file_lock(kept.with_suffix(".lock")):
        known = _kept(kept)
        if known is None:
            known = _ask(path, dataset, raw, score_threshold, max_detections)
            write_detections(kept, known)
        else:
            os.utime(kept)  # asked for now
    forget(workspace / FOLDER, kept)
    return known


def forget(folder: Path, spared: Path, most: int | None = None) -> None:
    """Take away the answers that nobody has asked for longest, until `most` bytes are left; not those `spared`.

    What another process asks for at this moment stays too.
    """
    files = sorted(_sized(folder), reverse=True)
    held = 0
    for _, size, file in files:
        held += size
        if held > (MOST_BYTES if most is None else most) and file != spared:
            _take_away(file)


def digest_artefact(path: Path) -> str:
    """SHA-256 of a file, or of the structure and weights of a model folder.

    Raises:
        UserError: it is neither.
    """
    if path.is_file():
        return digest_file(path)
    parts = [path / name for name in ("model.json", "model.safetensors")]
    if not all(part.is_file() for part in parts):
        raise UserError("this is no model", where=path, mend="name an .onnx file, a model folder or a version")
    return digest_value([digest_file(part) for part in parts])


def by_name(table: pa.Table, theirs: Sequence[str], ours: Sequence[str]) -> pa.Table:
    """Detections whose class ids index `theirs`, with ids that index `ours`; what only they know is left out."""
    place = {name: at for at, name in enumerate(ours)}
    new = np.array([place.get(name, -1) for name in theirs] or [-1], np.int32)[table["class_id"].to_numpy()]
    at = table.schema.get_field_index("class_id")
    return table.set_column(at, table.schema.field(at), pa.array(new)).filter(pa.array(new >= 0))


def _asked(dataset: Dataset) -> str:
    """Digest of pictures, their ids, and class names: all that detections depend on."""
    pictures = dataset.images.select(["image_id", "digest"]).to_pydict()
    return digest_value([sorted(zip(*pictures.values(), strict=True)), dataset.meta.classes])


def _kept(file: Path) -> pa.Table | None:
    try:
        return read_detections(file)
    except DataError:  # not there yet, or torn by a full disk
        return None


def _sized(folder: Path) -> list[tuple[int, int, Path]]:
    """When each was asked for last, its bytes, its file; another process may take one away meanwhile."""
    found = []
    for file in folder.glob("*.parquet"):
        with suppress(OSError):
            told = file.stat()
            found.append((told.st_mtime_ns, told.st_size, file))
    return found


def _take_away(file: Path) -> None:
    lock = file.with_suffix(".lock")
    with suppress(OSError), lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)


def _ask(path: Path, dataset: Dataset, raw: Path, score_threshold: float, max_detections: int) -> pa.Table:
    from tasks.measure.detecting import detect

    detector = opened(path)
    found = detect(raw, dataset, {"": detector}, score_threshold=score_threshold, max_detections=max_detections,
                   label=f"{path.name}: pictures")[""]
    return by_name(detections_table(found), detector.classes, dataset.meta.classes)


def opened(path: Path) -> Detector:
    """A detector for its accuracy: on its own runtime, else emulated by ONNX Runtime on the CPU.

    Raises:
        UserError: neither is possible here.
        DataError: the file does not open.
    """
    from tasks.measure.opening import Opened, open_here

    found = open_here(path)
    if not isinstance(found, Opened):
        raise UserError(f"it cannot be run here: {found}", where=path)
    return found.detector
