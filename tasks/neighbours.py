"""Stage `neighbours`: which pictures are copies or near-copies of each other, so that `split` keeps them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.base.files import folder_atomic, write_json
from tasks.data.near.calibrate import Calibration, calibrate
from tasks.data.near.embedding import CACHE
from tasks.data.near.finding import EXACT, KINDS, THRESHOLD, Found, Settings, find, read_images
from tasks.data.near.groups import LISTED, Chain, chains, smallest
from tasks.data.pictures import locate
from tasks.data.table import full_disk_is_told

GROUPS = pa.schema([pa.field("image_id", pa.int64()), pa.field("near", pa.int64())])
PAIRS = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64()), pa.field("similarity", pa.float32()),
                   pa.field("kind", pa.string())])
SHOWN = 100


class Params(Settings):
    """Section `neighbours` of params.yaml.

    Attributes:
        calibrate: choose the threshold by copies planted among the dataset's own pictures.
    """

    calibrate: bool = Field(default=False, description="choose the threshold by copies planted among these pictures")


def run(params: Params, *, raw: Path, data: Path, out: Path, cache: Path = CACHE) -> None:
    """Write near-duplicates among the pictures of the dataset `data`, whose files are relative to `raw`.

    `groups.parquet` has every image_id and `near`, the smallest image_id that it hangs together with. `pairs.parquet`
    has the pairs `a` < `b`, their similarity (1 for equal bytes) and kind; equal pictures are paired with the first
    of them alone. `neighbours.json` has what was done, counts, and the first pairs by file.

    Args:
        cache: folder in which what pictures look like is kept by digest.

    Raises:
        DataError: no dataset folder, or a full disk. UserError: `backbone` without weights.
    """
    images = read_images(data)
    measured = _calibrated(params, raw, images) if params.calibrate else None
    if measured:
        params = params.model_copy(update={"threshold": measured.threshold})
    found = find(raw, images, params, cache)
    near = smallest(images.num_rows, found.a, found.b)
    chained = [] if found.looks is None else chains(found.looks, np.searchsorted(found.lookers, near[found.lookers]))
    told = _summary(params, found, near, images, chained) | {"calibration": measured and measured.to_json()}
    with full_disk_is_told(out), folder_atomic(out) as new:
        pq.write_table(pa.table([images["image_id"], near], schema=GROUPS), new / "groups.parquet", compression="zstd")
        names = pa.array(KINDS).take(pa.array(found.kind))
        pairs = pa.table([found.a, found.b, found.similarity, names], schema=PAIRS)
        pq.write_table(pairs, new / "pairs.parquet", compression="zstd")
        write_json(new / "neighbours.json", told)
    _tell(told)


def _calibrated(params: Params, raw: Path, images: pa.Table) -> Calibration | None:
    if params.method == "off":
        return None
    measured = calibrate(locate(raw, images), method=params.method, flips=params.flips)
    print(measured.table())
    return measured


def _summary(params: Params, found: Found, near: np.ndarray, images: pa.Table, chained: list[Chain]) -> dict[str, Any]:
    files = images["file"]
    sizes = np.bincount(near, minlength=1)
    unreadable = files.take(pa.array(found.unreadable[:LISTED])).to_pylist()
    return {
        "schema": 1, "method": params.method, "flips": params.flips, "pictures": images.num_rows,
        "threshold": THRESHOLD if params.threshold is None else params.threshold,
        "pairs": {name: int((found.kind == place).sum()) for place, name in enumerate(KINDS)},
        "groups": int((sizes > 1).sum()), "grouped": int(sizes[sizes > 1].sum()), "largest": int(sizes.max(initial=0)),
        "unreadable": {"count": len(found.unreadable), "first": unreadable},
        "plain": found.plain, "capped": found.capped,
        "chained": [_chain(chain, found, files) for chain in chained[:LISTED]],
        "first": _first_pairs(found, files),
    }


def _chain(chain: Chain, found: Found, files: pa.ChunkedArray) -> dict[str, Any]:
    ends = [files[int(found.lookers[end])].as_py() for end in (chain.first, chain.last)]
    return {"pictures": chain.size, "apart": ends, "similarity": chain.similarity}


def _first_pairs(found: Found, files: pa.ChunkedArray) -> list[dict[str, Any]]:
    """Near ones before equal ones, the most similar first."""
    order = np.lexsort((found.b, found.a, -found.similarity, found.kind == EXACT))[:SHOWN]
    return [{"a": files[int(found.a[i])].as_py(), "b": files[int(found.b[i])].as_py(), "kind": KINDS[found.kind[i]],
             "similarity": round(float(found.similarity[i]), 4)} for i in order]


def _tell(told: dict[str, Any]) -> None:
    pairs = ", ".join(f"{count} {kind}" for kind, count in told["pairs"].items())
    print(f"{told['method']}, threshold {told['threshold']:g}: {pairs} pairs; {told['grouped']} of {told['pictures']} "
          f"pictures are in {told['groups']} groups of copies, the largest of {told['largest']}")
    for pair in told["first"][:5]:
        print(f"  {pair['kind']} {pair['similarity']:.2f}: {pair['a']} and {pair['b']}")
    if count := told["unreadable"]["count"]:
        print(f"{count} pictures could not be read, the first: {told['unreadable']['first'][0]}")
    if told["plain"]:
        print(f"{told['plain']} pictures are of one grey: only equal bytes make them copies")
    if told["capped"]:
        print(f"{told['capped']} pictures have more similar ones than are compared with each")
    for chain in told["chained"]:
        print(f"a chain of {chain['pictures']} pictures joins {' and '.join(chain['apart'])}, which are not alike")
