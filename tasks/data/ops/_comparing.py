"""Two versions side by side: which pictures they share, whose labels differ, and the labels of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from tasks.data.ops._arrays import codes
from tasks.data.ops._hashing import CONTENT, PLACE, label_hashes, picture_hashes
from tasks.data.ops._pairing import Labels, equal_rows
from tasks.data.ops._taking import row_by_row
from tasks.data.splitting import RANK

KEYS = {"whole": CONTENT, "placed": PLACE[:5], "place": PLACE[1:5]}


@dataclass(frozen=True)
class Shared:
    """Pictures that both versions have: image_ids in the first and in the second, int64 [shared], by the first.

    Attributes:
        renamed: bool [shared], the file's name differs.
        moved: bool [shared], the split differs.
        counts: of pictures, of the first and of the second.
        files: of both versions, the second's after the first's.
    """

    ids: tuple[np.ndarray, np.ndarray]
    renamed: np.ndarray
    moved: np.ndarray
    counts: tuple[int, int]
    files: pa.ChunkedArray

    def alone(self, side: int) -> np.ndarray:
        """Which pictures only this version has; bool [pictures]."""
        mask = np.ones(self.counts[side], bool)
        mask[self.ids[side]] = False
        return mask

    def names(self, side: int, image_ids: np.ndarray) -> list[str]:
        found: list[str] = self.files.take(pa.array(image_ids + side * self.counts[0])).to_pylist()
        return found


def shared_pictures(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> Shared:
    """Pictures with the same content in the views `a` and `b`: first those of the same name, then in order of names."""
    tables = [connection.sql(f"SELECT image_id, file, digest, {RANK} AS rank FROM {view}_images").to_arrow_table()
              for view in "ab"]
    for folder, table in zip(folders, tables, strict=True):
        row_by_row(table, folder)
    rows, count = pa.concat_tables(tables), tables[0].num_rows
    digest, file, rank = codes(rows["digest"]), codes(rows["file"]), rows["rank"].to_numpy()
    left, right = equal_rows(digest[:count], file[:count], digest[count:], file[count:])
    rest_a, rest_b = (np.setdiff1d(np.arange(total), taken, assume_unique=True) for total, taken in
                      ((count, left), (len(digest) - count, right)))
    digest_a, digest_b = digest[rest_a], digest[count + rest_b]
    more, again = equal_rows(digest_a, np.zeros_like(digest_a), digest_b, np.zeros_like(digest_b))
    first, second = np.concatenate([left, rest_a[more]]), np.concatenate([right, rest_b[again]])
    order = np.argsort(first, kind="stable")
    ids = first[order], second[order]
    return Shared(ids, file[ids[0]] != file[count + ids[1]], rank[ids[0]] != rank[count + ids[1]],
                  (count, tables[1].num_rows), rows["file"])


def relabelled(connection: duckdb.DuckDBPyConnection, shared: Shared) -> np.ndarray:
    """Which shared pictures have other labels: bool [shared]."""
    said = []
    for view, ids, count in zip("ab", shared.ids, shared.counts, strict=True):
        mask = np.zeros(count, bool)
        mask[ids] = True
        labels = label_hashes(connection, view, mask, CONTENT)
        said.append([labels["sum"][ids], labels["count"][ids], picture_hashes(connection, view)[0][ids]])
    return np.logical_or.reduce([mine != theirs for mine, theirs in zip(*said, strict=True)])


def labels_of(connection: duckdb.DuckDBPyConnection, view: str, ids: np.ndarray, kinds: np.ndarray) -> Labels:
    """The boxes of some pictures, which are numbered as in `ids`; `kinds` is the number of each class."""
    connection.register("picked", pa.table({"image_id": ids, "picture": np.arange(len(ids))}))
    hashes = ", ".join(f"hash({', '.join(columns)}) AS {name}" for name, columns in KEYS.items())
    rows = connection.sql(
        f"SELECT picked.picture, label.annotation_id, label.class_id, x, y, w, h, {hashes}"
        f" FROM {view}_annotations label JOIN picked USING (image_id) JOIN {view}_names name USING (class_id)"
        " WHERE image_id BETWEEN $low AND $high",  # whole row groups are left out
        params={"low": int(ids.min(initial=0)), "high": int(ids.max(initial=0))}).fetchnumpy()
    connection.unregister("picked")
    order = np.lexsort((rows["annotation_id"], rows["picture"]))
    box = np.stack([rows[side][order] for side in "xywh"], axis=1)
    return Labels(rows["picture"][order], kinds[rows["class_id"][order]], box,
                  *(rows[name][order] for name in KEYS))


def whole_labels(connection: duckdb.DuckDBPyConnection, view: str, ids: np.ndarray, kinds: np.ndarray, several: int
                 ) -> np.ndarray:
    """Labels of whole pictures: distinct `place in ids * several + kind`, ascending; `several` is above each kind."""
    connection.register("picked", pa.table({"image_id": ids, "picture": np.arange(len(ids))}))
    rows = connection.sql(f"SELECT DISTINCT picked.picture, class_id FROM (SELECT image_id, unnest(labels) AS class_id"
                          f" FROM {view}_images) JOIN picked USING (image_id) JOIN {view}_names USING (class_id)"
                          ).fetchnumpy()
    connection.unregister("picked")
    return np.sort(rows["picture"] * several + kinds[rows["class_id"]])


def counts(connection: duckdb.DuckDBPyConnection, view: str, classes: Sequence[str], mask: np.ndarray | None = None
           ) -> dict[str, int]:
    """Labels of each class, of all pictures or of those of a mask."""
    some = np.zeros(0, np.int64) if mask is None else np.flatnonzero(mask)
    connection.register("picked", pa.table({"image_id": some}))
    inside = "" if mask is None else "WHERE image_id IN (SELECT image_id FROM picked)"
    rows = connection.sql(
        f"SELECT class_id, count(*) FROM (SELECT image_id, class_id FROM {view}_annotations UNION ALL"
        f" SELECT image_id, unnest(labels) FROM {view}_images) {inside} GROUP BY 1").fetchall()
    connection.unregister("picked")
    return {classes[class_id]: count for class_id, count in rows if class_id is not None and class_id < len(classes)}
