"""Picking from a pool: what is left out, what a pick carries, what is refused, and blocks of a huge pool."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import read_json
from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.labelling import mining
from tasks.labelling.mining import pick
from tasks.labelling.picking.carried import prelabels_of
from tasks.labelling.picking.known import held, labels_of
from tasks.labelling.picking.telling import picked, strategies
from tasks.labelling.prelabelling import Prelabels
from tasks.labels.mining.registry import STRATEGIES
from tests.data.folders import cells, make_voc
from tests.labelling.ponds import CLASSES, folder_of, looked_at, pond, save

COUNT = 24


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a store, a pool of 24 pictures and its pre-labels."""
    root = tmp_path_factory.mktemp("filled")
    store = Store(root / "store")
    looked_at(pond(store, root / "raw", range(COUNT)), store, root / "work", aldd=False)
    return root


class World:
    """A copy of the filled workspace."""

    def __init__(self, root: Path) -> None:
        self.store, self.workspace = Store(root / "store"), root / "work"
        self.pool = self.store.find("pool")

    def pick(self, strategy: str = "random", budget: int = 5, pool: Version | None = None, looked: bool = True,
             **more: Any) -> tuple[Version, mining.Mined]:
        chosen = pool or self.pool
        found = prelabels_of(chosen, self.store, self.workspace)[1] if looked else None
        asked: dict[str, Any] = {"known": [], "out": "picked", "owner": "ann", "prelabels": found} | more
        return pick(chosen, self.store, self.workspace, strategy=strategy, budget=budget, **asked)

    @property
    def prelabels(self) -> Prelabels:
        found = prelabels_of(self.pool, self.store, self.workspace)[1]
        assert found is not None
        return found


@pytest.fixture
def world(filled: Path, tmp_path: Path) -> World:
    shutil.copytree(filled, tmp_path / "copy")
    return World(tmp_path / "copy")


def digests(version: Version) -> list[str]:
    return list(pq.read_table(version.folder / "images.parquet")["digest"].to_pylist())


def test_a_pick_is_a_version_with_prelabels_scores_and_reasons(world: World) -> None:
    version, mined = world.pick("mixed", 6, round=2)
    got = read_dataset(version.folder)
    assert version.ref == "picked@1" and got.images.num_rows == 6 and got.meta.classes == CLASSES
    said = attributes_of(version, "mined")
    assert sorted(one["rank"] for one in said.values()) == list(range(6))
    for one in said.values():
        assert set(one) == {"rank", "strategy", "score", "random", "scores", "reason", "round"}
        assert one["strategy"] == "mixed" and one["round"] == 2 and "weighted bits open" in one["reason"]
        assert set(one["scores"]) == {"unsure", "distance", "boxes"} and one["score"] == one["scores"]["unsure"]
    assert len(attributes_of(version, "prelabel")) == 6
    # the boxes are those that are worth showing, of these pictures alone
    assert set(got.annotations["source"].to_pylist()) == {"model:reader@1"}
    auto = read_dataset(world.prelabels.version(world.store, "pool-auto", "ann")[0].folder)
    mine = {digest: number for number, digest in enumerate(got.images["digest"].to_pylist())}
    their = auto.images["digest"].to_pylist()
    wanted = sorted((mine[their[row["image_id"]]], row["x"], row["score"], row["difficulty"])
                    for row in auto.annotations.to_pylist() if their[row["image_id"]] in mine)
    assert wanted == sorted((row["image_id"], row["x"], row["score"], row["difficulty"])
                            for row in got.annotations.to_pylist())
    assert attributes_of(version, "prelabel")[0] == attributes_of(world.store.find("pool-auto"), "prelabel")[
        their.index(got.images["digest"][0].as_py())]
    recipe = version.meta.recipe["labels"]
    assert recipe["by"] == "model:reader@1" and recipe["picked"]["strategy"] == "mixed"
    assert recipe["picked"]["parameters"]["epsilon"] == 0.05 and mined.params == recipe["picked"]["parameters"]


def test_the_same_again_is_the_same_version(world: World) -> None:
    first, second = world.pick("entropy", 7)[0], world.pick("entropy", 7)[0]
    assert first.ref == second.ref == "picked@1"
    assert world.pick("entropy", 8)[0].ref == "picked@2"


@pytest.mark.parametrize("name", ["random", "entropy", "margin", "flip", "coverage", "mixed"])
def test_strategies_work_on_real_prelabels(world: World, name: str) -> None:
    version, mined = world.pick(name, 8)
    assert mined.table.num_rows == len(set(digests(version))) == 8
    told = list(picked(version, world.pool, mined))
    assert "8 of the 24 pictures of pool@1" in told[0] and told[-1].startswith("boxes:   cell")
    assert sum(line.startswith(f"{rank:>4}  ") for line in told for rank in range(1, 9)) == 8


def test_past_rounds_are_left_out_by_their_bytes(world: World) -> None:
    first, _ = world.pick("random", 10)
    # the pool again under other names and numbers
    again = pond(world.store, world.workspace.parent / "again", [*range(COUNT - 1, -1, -1), 90], "pool")
    assert again.ref == "pool@2"
    second, mined = world.pick("random", 10, again, looked=False, known=[first])
    assert not set(digests(first)) & set(digests(second)) and second.ref == "picked@2"
    assert "10 pictures are labelled or were picked in past rounds" in mined.notes
    third, mined = world.pick("random", 10, again, looked=False, known=[first, second])
    assert mined.table.num_rows == 5
    assert "the budget of 10 is larger than what is left of the pool: all 5 are taken" in mined.notes
    assert len(set(digests(first)) | set(digests(second)) | set(digests(third))) == 25
    with pytest.raises(DataError, match="nothing is left of the 25 pictures.*25 pictures are labelled or were picked"):
        world.pick("random", 10, again, looked=False, known=[first, second, third])


def test_near_duplicates_of_the_pool_and_of_known_pictures_are_left_out(world: World, tmp_path: Path) -> None:
    from PIL import Image

    raw = folder_of(tmp_path / "twins", range(6))
    for number in (0, 2, 4):
        picture = Image.open(raw / f"flat/{number:03d}.png")
        picture.save(raw / f"twin{number}.jpg", quality=70)
    pool = pond(world.store, raw, [], "twins")
    version, mined = world.pick("random", 9, pool, looked=False)
    assert mined.table.num_rows == 6 and "3 pictures are near-duplicates of others or of what is known" in mined.notes
    # known under other bytes: neither it nor its twin comes
    save(tmp_path / "seen/a.jpg", 0)
    seen = pond(world.store, tmp_path / "seen", [], "seen")
    version, mined = world.pick("coverage", 9, pool, looked=False, known=[seen], out="others")
    files = pq.read_table(version.folder / "images.parquet")["file"].to_pylist()
    assert mined.table.num_rows == 5 and not any("000" in name or "twin0" in name for name in files)


def test_a_pool_that_is_all_near_duplicates(world: World, tmp_path: Path) -> None:
    from PIL import Image

    save(tmp_path / "one/a.png", 3)
    for quality in (60, 70, 80, 90):
        Image.open(tmp_path / "one/a.png").save(tmp_path / f"one/{quality}.jpg", quality=quality)
    pool = pond(world.store, tmp_path / "one", [], "one")
    version, mined = world.pick("random", 3, pool, looked=False)
    assert mined.table.num_rows == 1
    assert mined.notes == ["4 pictures are near-duplicates of others or of what is known",
                           "the budget of 3 is larger than what is left of the pool: all 1 are taken"]
    with pytest.raises(DataError, match="nothing is left of the 5 pictures of the pool"):
        world.pick("random", 3, pool, looked=False, known=[version])


def test_the_lines_own_split_is_known(world: World) -> None:
    folder = world.workspace / "data"
    shutil.copytree(world.pool.folder, folder / "split")
    shutil.copytree(world.store.pictures, folder / "raw")
    with pytest.raises(DataError, match="24 pictures are labelled"):
        world.pick("random", 3)
    # rounds say themselves what is labelled
    assert mining.pick(world.pool, world.store, world.workspace, strategy="random", budget=3, known=[], out="rounds",
                       owner="ann", line=False)[1].table.num_rows == 3
    (world.workspace / "params.yaml").write_text("data:\n  version: picked@1\n")
    # where the line reads a version, that one counts, and not what an older line has left
    version, _ = world.pick("random", 3)
    assert [one.ref for one in mining.known_by_default(world.store, world.workspace, "other")] == [version.ref]
    assert [one.ref for one in mining.known_by_default(world.store, world.workspace, "picked")] == [
        "picked@1", "picked@1"]


def test_what_cannot_be_read_is_left_out_and_told(world: World) -> None:
    files = pq.read_table(world.pool.folder / "images.parquet")["file"].to_pylist()
    for name in files[:2]:
        (world.store.pictures / name).chmod(0o644)
        (world.store.pictures / name).unlink()
    shutil.rmtree(world.workspace / ".visionmill/embeddings", ignore_errors=True)
    version, mined = world.pick("random", 50)
    assert mined.table.num_rows == 22 and mined.notes[0] == "2 pictures cannot be read"
    assert not set(files[:2]) & set(pq.read_table(version.folder / "images.parquet")["file"].to_pylist())


def test_without_prelabels_the_pool_keeps_its_own_labels(world: World, tmp_path: Path) -> None:
    from tasks.data.classes import ClassList
    from tasks.data.store.importing import Importing, bring_in

    raw = make_voc(tmp_path / "voc", cells(5))
    pool = bring_in(world.store, Importing(raw, "voc", "here", ClassList([])), "ann").version
    version, _ = world.pick("random", 50, pool, looked=False)
    got = read_dataset(version.folder)
    assert got.meta.classes == ["cat", "dog"] and set(got.annotations["source"].to_pylist()) == {"import"}
    assert version.meta.recipe["labels"]["by"] == "nobody"
    assert labels_of(held([pool, version], world.store), ["dog", "bird", "cat"]).tolist() == [2, 0, 5]


def test_a_pick_has_the_classes_of_what_is_labelled_or_of_the_workspace(world: World, tmp_path: Path) -> None:
    assert world.pick("random", 3, looked=False)[0].meta.classes == []
    (world.workspace / "conf").mkdir()
    (world.workspace / "conf/classes.yaml").write_text("classes:\n- name: bird\n")
    assert world.pick("random", 3, looked=False)[0].meta.classes == ["bird"]
    labelled, _ = publish_labels(world.store, world.pool, out="done", owner="ann", said={"by": "ann"},
                                 classes=["x", "y"], annotations=ANNOTATIONS.empty_table(), keep=np.arange(2))
    assert world.pick("random", 3, looked=False, known=[labelled])[0].meta.classes == ["x", "y"]


def test_known_pictures_that_are_not_on_this_machine_are_told(world: World, tmp_path: Path) -> None:
    away = pond(world.store, tmp_path / "away", range(60, 63), "away")
    shutil.rmtree(world.store.pictures / "away-1", onerror=lambda *_: None)
    _, mined = world.pick("random", 3, known=[away])
    assert mined.notes == ["3 known pictures cannot be read here: near-duplicates of them are not left out"]


def test_labels_that_a_model_alone_made_do_not_count(world: World) -> None:
    version, _ = world.pick("entropy", 5)
    assert labels_of(held([version], world.store), CLASSES).sum() == 0
    rows = read_dataset(version.folder).annotations.to_pylist()
    seen = [row | {"reviewed_by": "ann"} for row in rows if row["class_id"] == 0]
    table = ANNOTATIONS.empty_table().from_pylist([*seen, *(row for row in rows if row["class_id"])], ANNOTATIONS)
    done, _ = publish_labels(world.store, version, out="done", owner="ann", said={"by": "ann"}, annotations=table)
    assert labels_of(held([version, done], world.store), CLASSES).tolist() == [len(seen), 0]


def test_what_a_strategy_lacks_names_the_command(world: World) -> None:
    for name, words in {"aldd": "label auto pool@1 --model models:/reader/1 --for aldd",
                        "cald": "label auto pool@1 --model models:/reader/1 --for cald",
                        "failures": "visionmill run, or take another strategy"}.items():
        with pytest.raises(UserError) as error:
            world.pick(name)
        assert words in str(error.value)
    with pytest.raises(UserError, match=r"mixed: no model has looked at pool@1[\s\S]*label auto pool@1 --model NAME"):
        world.pick("mixed", looked=False)
    plain = looked_at(world.pool, world.store, world.workspace, flip=False)
    with pytest.raises(UserError, match=r"flip: the pre-labels of pool@1[\s\S]*/reader/1, without --no-flip"):
        world.pick("flip", prelabels=plain)
    assert world.store.names() == ["pool"]


def test_prelabels_of_another_version(world: World) -> None:
    grown = pond(world.store, world.workspace.parent / "grown", range(COUNT + 2), "pool")
    with pytest.raises(DataError, match=r"pre-labels are of pool@1, and the pool is pool@2[\s\S]*auto pool@2 --model"):
        world.pick("entropy", 5, grown, prelabels=world.prelabels)
    assert prelabels_of(grown, world.store, world.workspace) == (grown, None)
    with pytest.raises(UserError, match="pool@2 has not been pre-labelled by other@1"):
        prelabels_of(grown, world.store, world.workspace, "other@1")


def test_the_version_that_label_auto_wrote_means_its_pool(world: World) -> None:
    auto, _ = world.prelabels.version(world.store, "pool-auto", "ann")
    pool, found = prelabels_of(auto, world.store, world.workspace)
    assert pool.ref == "pool@1" and found is not None and found.name == "reader@1"


def test_bad_words(world: World, tmp_path: Path) -> None:
    for words, told in (({"strategy": "entrpy"}, "no strategy 'entrpy'[\\s\\S]*did you mean 'entropy'"),
                        ({"budget": 0}, "budget: at least 1"), ({"chunk": 0}, "chunk: at least 1"),
                        ({"values": {"moost": 3}}, "unknown parameter 'moost'"),
                        ({"values": {"epsilon": 2}}, "epsilon: Input should be less than or equal to 1")):
        with pytest.raises(ParamsError, match=told):
            world.pick(**words)
    empty, _ = publish_labels(world.store, world.pool, out="x", owner="ann", said={"by": "me"},
                              annotations=ANNOTATIONS.empty_table(), keep=np.array([0]))
    table = pq.read_table(empty.folder / "images.parquet")
    target = tmp_path / "none"
    shutil.copytree(empty.folder, target)
    (target / "images.parquet").chmod(0o644)
    pq.write_table(table.slice(0, 0), target / "images.parquet")
    with pytest.raises(DataError, match="the pool has no pictures"):
        world.pick(pool=Version("none", 1, target), looked=False)


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


def test_the_list_names_all_strategies_with_their_parameters() -> None:
    told = "\n".join(strategies())
    assert all(f"{name:9} {one.about}" in told for name, one in STRATEGIES.items())
    assert "--set times=4.0" in told and "needs: pre-labels by label auto --for aldd" in told
    assert "needs: nothing" in told
