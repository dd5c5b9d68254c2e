"""On which pictures two models are compared, and what each finds on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.base.errors import DataError, UserError
from tasks.base.params import read_yaml
from tasks.registry.comparison.sides import Side
from tasks.registry.gates.answers import answers, by_name
from tasks.registry.lineage import value_at

if TYPE_CHECKING:
    from tasks.data.table import Dataset


@dataclass(frozen=True)
class Test:
    """What they are compared on: pictures with ground truth, `raw` None where the pictures themselves are not here, and
    where that comes from, in words."""

    dataset: Dataset
    raw: Path | None
    source: str


def find_test(a: Side, b: Side, data: str | None, workspace: Path) -> Test:
    """The pictures to compare on.

    Args:
        data: a dataset folder with `raw` beside it, a workspace, or a dataset version of the store, `NAME@2`; the
            workspace's own test split when None, and where there is none, what both versions carry.

    Raises:
        UserError: there are none: no dataset here, and the versions carry none that is the same.
    """
    if data:
        return _named(data, workspace)
    found = _own(workspace)
    if found is not None:
        return found
    from tasks.data.table import read_dataset

    folders = [side.evaluation / "truth" if side.evaluation else None for side in (a, b)]
    if all(folder and folder.is_dir() for folder in folders) and folders[0]:
        if a.tags.get("test_hash") != b.tags.get("test_hash"):
            raise UserError("there is no dataset here, and the versions were measured on different test sets",
                            where=f"{a.title}, {b.title}", mend="--data FOLDER: a dataset folder with `raw` beside it")
        return Test(read_dataset(folders[0]), None, "the test set that both versions carry, without its pictures")
    raise UserError("there are no pictures to compare on: no test split here, and not both versions carry one",
                    where=workspace.resolve(), mend="--data FOLDER, a dataset folder with `raw` beside it; or dvc pull")


def _named(data: str, workspace: Path) -> Test:
    from tasks.measure.sources import pictures

    if Path(data).exists():
        found = pictures(Path(data), None)
        if found is None:
            raise UserError("there are no pictures", where=data)
        return Test(found[0], found[1], data)
    from tasks.data.store.site import store_of
    from tasks.data.table import read_dataset

    kept = store_of(workspace)
    version = kept.find(data)
    _ = version.meta  # raises where its tables are elsewhere
    dataset = read_dataset(version.folder)
    test = dataset.subset("test")
    return Test(test if test.images.num_rows else dataset, kept.pictures, version.ref)


def _own(workspace: Path) -> Test | None:
    """Today's test split, None where it or its pictures are not here."""
    from tasks.measure.sources import pictures

    if not (workspace / "data/split").is_dir():
        return None
    try:
        found = pictures(None, workspace)
    except DataError:
        return None
    return Test(found[0], found[1], "today's test split") if found else None


def detections(side: Side, test: Test, workspace: Path) -> pa.Table:
    """Detections of a side, with the dataset's ids of pictures and classes."""
    if test.raw is not None:
        section: dict[str, Any] = {}
        if (workspace / "params.yaml").is_file():
            section = value_at(read_yaml(workspace / "params.yaml"), "evaluate") or {}
        asked = {key: section[key] for key in ("score_threshold", "max_detections") if key in section}
        return answers(side.uri or side.path, test.dataset, test.raw, workspace, **asked)
    from tasks.data.table import read_dataset
    from tasks.metrics.detections import read_detections

    if side.evaluation is None:
        raise UserError("it carries no detections", where=side.title, mend="--data FOLDER")
    theirs = read_dataset(side.evaluation / "truth")
    table = read_detections(side.evaluation / "detections.parquet")
    return by_name(_renumbered(table, theirs, test.dataset), theirs.meta.classes, test.dataset.meta.classes)


def _renumbered(table: pa.Table, theirs: Dataset, ours: Dataset) -> pa.Table:
    """The same pictures may have other ids in another line: they are known by their digest."""
    place = {digest: image for image, digest in zip(*ours.images.select(["image_id", "digest"]).to_pydict().values(),
                                                    strict=True)}
    new = {image: place[digest] for image, digest in zip(
        *theirs.images.select(["image_id", "digest"]).to_pydict().values(), strict=True)}
    ids = pa.array([new[image] for image in table["image_id"].to_pylist()], pa.int64())
    return table.set_column(table.schema.get_field_index("image_id"), table.schema.field("image_id"), ids)
