"""DuckDB over dataset folders: rows stream from Parquet to Parquet, and what does not fit into memory goes to disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.base.files import write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Meta, read_meta, write_meta, write_table

MEMORY = "2GB"
TABLES = {"images": IMAGES, "annotations": ANNOTATIONS}


@contextmanager
def connect(*allowed: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose queries can read the folders `allowed` and nothing else of this machine."""
    with tempfile.TemporaryDirectory(prefix="visionmill-") as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit='{MEMORY}'; SET threads={len(os.sched_getaffinity(0))}")
        connection.execute(f"SET temp_directory={quoted(spill)}; SET enable_progress_bar=false")
        folders = ", ".join(quoted(f"{path.resolve()}/") for path in (*allowed, Path(spill)))
        connection.execute(f"SET allowed_directories=[{folders}]; SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        yield connection


@contextmanager
def tables(**folders: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the views `NAME_images` and `NAME_annotations` for each dataset folder `NAME=path`.

    Columns that a folder of an earlier schema lacks are null.

    Raises:
        DataError: one of them is no dataset folder, or its tables are damaged.
    """
    with connect(*folders.values()) as connection:
        for name, folder in folders.items():
            read_meta(folder)
            for table, schema in TABLES.items():
                _view(connection, f"{name}_{table}", folder.resolve() / f"{table}.parquet", schema)
        yield connection


def stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query, a batch at a time; others may run meanwhile."""
    with connection.cursor() as cursor:
        yield from cursor.sql(query).to_arrow_reader(1 << 15)


def write_version(folder: Path, images: Iterable[pa.RecordBatch | pa.Table],
                  annotations: Iterable[pa.RecordBatch | pa.Table], meta: Meta,
                  extra: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Fill the empty folder `folder` with a dataset; returns the numbers of pictures and of annotations.

    Both tables must come in the order of their ids, which count from 0 without gaps: `image_id` by `file`,
    `annotation_id` by picture. Columns that are not given are null.
    """
    counts = (write_table(folder / "images.parquet", images, IMAGES),
              write_table(folder / "annotations.parquet", annotations, ANNOTATIONS))
    for name, value in (extra or {}).items():
        write_json(folder / name, value)
    write_meta(folder, meta)
    return counts


def _view(connection: duckdb.DuckDBPyConnection, name: str, path: Path, schema: pa.Schema) -> None:
    try:
        connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet({quoted(path)})')
        known = {row[0] for row in connection.execute(f'DESCRIBE "{name}"').fetchall()}
        missing = [field for field in schema if field.name not in known]
        if missing:
            added = ", ".join(f'NULL::{_type(field.type)} AS "{field.name}"' for field in missing)
            whole = f"SELECT *, {added} FROM read_parquet({quoted(path)})"
            connection.execute(f'CREATE OR REPLACE VIEW "{name}" AS {whole}')
    except duckdb.Error as error:
        raise DataError(f"damaged dataset folder: {error}", where=path, mend="dvc repro --force, or dvc pull") from None


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {_type(field.type)}' for field in kind)})"
    names = {pa.string(): "VARCHAR", pa.int8(): "TINYINT", pa.int32(): "INTEGER", pa.int64(): "BIGINT",
             pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names[kind]


def quoted(path: object) -> str:
    """A text as an SQL literal."""
    return "'" + str(path).replace("'", "''") + "'"
