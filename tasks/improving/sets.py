"""The versions that rounds begin with: what is labelled, the pool, what is judged on, and what each round adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.store.recipes import facts as dated
from tasks.data.store.recipes import make
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, full_disk_is_told, read_dataset, write_meta, write_table
from tasks.improving.oracle import no_labels

FOLDS = 5  # of a dataset without a test split, one part in so many is judged on


def judged_on(version: Version, store: Store, out: str, owner: str) -> Version:
    """The pictures of a version that accuracy is measured on: its test split, or a fifth where it has none."""
    splits = set(pc.unique(pq.read_table(version.folder / "images.parquet", columns=["split"])["split"]).to_pylist())
    params = {"split": "test"} if "test" in splits else {"folds": FOLDS, "fold": 0}
    return make(store, "subset", [version], params, out=out, owner=owner)[0]


def begin_oracle(truth: Version, store: Store, *, start: int, seed: int, name: str, owner: str
                 ) -> tuple[Version, Version, Version]:
    """What an oracle's rounds begin with: labelled pictures, the pool without labels, what is judged on.

    The pool is what is not judged on: the training split where there is one.

    Raises:
        UserError: nothing is labelled, or there are too few pictures.
    """
    dataset = read_dataset(truth.folder)
    if not dataset.annotations.num_rows:
        raise no_labels(truth.ref)
    judge = judged_on(truth, store, f"{name}-judge", owner)
    ids = _to_pick_from(dataset, judge)
    if len(ids) <= start:
        raise UserError(f"{truth.ref} has {len(ids)} pictures to train on: {start} to start with leave no pool",
                        where=truth.folder, mend="a smaller --start")
    chosen = np.sort(np.random.default_rng([seed, start]).permutation(ids)[:start])
    rows = dataset.annotations.filter(pa.array(np.isin(dataset.annotations["image_id"].to_numpy(), chosen)))
    if not rows.num_rows:
        raise UserError(f"none of the {start} pictures to start with has a label", where=truth.ref,
                        mend="a larger --start, or another --seed")
    said = {"by": "improve", "oracle": True, "seed": seed}
    begun = publish_labels(store, truth, out=f"{name}-start", owner=owner, said=said | {"start": start}, keep=chosen,
                           annotations=rows)[0]
    hidden = publish_labels(store, truth, out=f"{name}-pool", owner=owner, said=said | {"hidden": True},
                            keep=np.setdiff1d(ids, chosen), annotations=ANNOTATIONS.empty_table())[0]
    return begun, hidden, judge


def _to_pick_from(dataset: Dataset, judge: Version) -> np.ndarray:
    images = dataset.images
    seen = pc.is_in(images["digest"], value_set=_digests(judge))
    splits = pc.fill_null(images["split"], "")
    train = pc.equal(splits, "train")
    mine = train if pc.any(train).as_py() else pc.equal(splits, "")
    return images.filter(pc.and_(mine, pc.invert(seen)))["image_id"].to_numpy()


def left_in(pool: Version, known: list[Version]) -> int:
    """How many pictures of a pool are in none of the versions, by their bytes."""
    digests = pc.unique(_digests(pool))
    for version in known:
        digests = digests.filter(pc.invert(pc.is_in(digests, value_set=_digests(version))))
    return len(digests)


def without(pool: Version, known: list[Version], store: Store, out: str, owner: str) -> Version:
    """A pool without the pictures of other versions, by their bytes."""
    return make(store, "exclude", [pool, *known], {}, out=out, owner=owner)[0]


def to_train(version: Version, store: Store, out: str, owner: str) -> Version:
    """A version whose pictures are of the training split where no split was given: what is judged on stays fixed.

    Raises:
        DataError: a full disk.
    """
    dataset = read_dataset(version.folder)
    if not dataset.images["split"].null_count:
        return version
    place = dataset.images.schema.get_field_index("split")
    images = dataset.images.set_column(place, IMAGES.field("split"), pc.fill_null(dataset.images["split"], "train"))
    recipe = {"labels": {"by": "improve", "split": "train"},
              "parents": [{"ref": version.ref, "digest": version.digest}]}
    with store.locked(), full_disk_is_told(store.root):
        making = store.begin(out, owner)
        made = replace(dataset, images=images)
        write_table(making.folder / "images.parquet", [made.images], IMAGES)
        write_table(making.folder / "annotations.parquet", [made.annotations], ANNOTATIONS)
        write_meta(making.folder, made.meta)
        latest = store.latest(out)
        if latest and latest.here and latest.meta.recipe == recipe and latest.digest == table_digest(making.folder):
            return latest
        return store.publish(making, recipe, owner, dated())


def merged(base: Version, labelled: Version, store: Store, *, conflict: str, out: str, owner: str) -> Version:
    """The set that is trained on next: the one before and what was labelled, its new pictures in the training split."""
    ready = to_train(labelled, store, f"{out}-new", owner)
    return make(store, "merge", [base, ready], {"conflict": conflict}, out=out, owner=owner)[0]


def boxes_in(version: Version) -> int:
    """Boxes of a version that people made or have seen, or that were imported; crowds not counted."""
    table = pq.read_table(version.folder / "annotations.parquet", columns=["iscrowd", "source", "reviewed_by"])
    alone = pc.and_(pc.starts_with(table["source"], "model:"), pc.is_null(table["reviewed_by"]))
    return table.num_rows - (pc.sum(pc.or_(alone, table["iscrowd"])).as_py() or 0)


def pictures_in(version: Version) -> int:
    """How many pictures a version has."""
    return pq.ParquetFile(version.folder / "images.parquet").metadata.num_rows


def same(version: Version, digest: str) -> Version:
    """The version itself.

    Raises:
        DataError: it is not what the journal knows under that name.
    """
    _ = version.meta
    if version.digest != digest:
        raise DataError(f"{version.ref} is not the one that the rounds made", where=version.folder,
                        mend="bring it back: visionmill data pull; or take the step back: visionmill improve undo")
    return version


def _digests(version: Version) -> pa.Array:
    return pq.read_table(version.folder / "images.parquet", columns=["digest"])["digest"].combine_chunks()
