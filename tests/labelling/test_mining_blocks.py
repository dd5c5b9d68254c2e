"""Blocks of a huge pool, and a miner from elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import read_json
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS
from tests.labelling.ponds import pond
from tests.labelling.worlds import COUNT, World, digests


def test_blocks_are_walked_once_each(world: World) -> None:
    seen: list[str] = []
    for _ in range(3):
        version, _ = world.pick("random", 3, chunk=10, known=world.store.of("picked"))
        seen += digests(version)
    ranges = [(b["first"], b["last"], b["picked"]) for b in read_json(
        world.workspace / ".visionmill/mining/pool.json")["blocks"]]
    assert ranges == [(0, 9, "picked@1"), (10, 19, "picked@2"), (20, 23, "picked@3")] and len(set(seen)) == 9
    order = digests(world.pool)
    assert all(order.index(digest) // 10 == at // 3 for at, digest in enumerate(seen))
    with pytest.raises(UserError, match=r"all 24 pictures of pool@1 have been walked through, in 3 blocks"):
        world.pick("random", 3, chunk=10)
    # of a later version only what is new is looked at
    grown = pond(world.store, world.workspace.parent / "grown", range(COUNT + 4), "pool")
    version, mined = world.pick("random", 9, grown, looked=False, chunk=10)
    assert mined.table.num_rows == 4 and not set(digests(version)) & set(order)


def test_a_block_without_anything_new_is_passed_over(world: World) -> None:
    first, _ = publish_labels(world.store, world.pool, out="done", owner="ann", said={"by": "ann"},
                              annotations=ANNOTATIONS.empty_table(), keep=np.arange(12))
    version, _ = world.pick("entropy", 3, chunk=8, known=[first])
    blocks = read_json(world.workspace / ".visionmill/mining/pool.json")["blocks"]
    assert [(b["first"], b["picked"]) for b in blocks] == [(0, None), (8, version.ref)]
    (world.workspace / ".visionmill/mining/pool.json").write_text("{")
    with pytest.raises(UserError, match="note of the blocks so far is damaged"):
        world.pick("random", 3, chunk=10)


def test_a_miner_from_elsewhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[int]]] = []

    def rank(name: str, pool: Version, store: Store, workspace: Path, *, image_ids: list[int]) -> dict[int, float]:
        asked.append((name, image_ids))
        return {image: -float(image) for image in image_ids if image % 2 == 0} | {3: float("nan")}

    monkeypatch.setattr("tasks.labelling.picking.plugged.import_module", lambda name: SimpleNamespace(rank=rank))
    known, _ = world.pick("random", 4, out="known")
    version, mined = world.pick("plugin:mine", 6, known=[known], values={"epsilon": 0.5})
    left = [image for image, digest in enumerate(digests(world.pool)) if digest not in digests(known)]
    assert asked == [("mine", left)]
    assert mined.table["image_id"].to_pylist()[:3] == [image for image in left if image % 2 == 0][:3]
    assert mined.table["random"].to_pylist() == [False] * 3 + [True] * 3 and len(set(digests(version))) == 6
    assert "mine gives it" in mined.table["reason"][0].as_py()
    with pytest.raises(ParamsError, match="unknown parameter 'most'"):
        world.pick("plugin:mine", 6, values={"most": 3})
    many = world.pick("plugin:mine", 50, known=[known])[1]
    assert many.table.num_rows == 20 and "rest of the budget is drawn" in many.notes[-1]
    monkeypatch.setattr("tasks.labelling.picking.plugged.import_module", lambda name: SimpleNamespace(
        rank=lambda *_, **more: {}))
    with pytest.raises(DataError, match="mine has given no picture a score"):
        world.pick("plugin:mine", 6)
