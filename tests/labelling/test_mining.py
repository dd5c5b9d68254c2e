"""Picking from a pool: what a pick carries, what it is made of, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import read_json, write_json
from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.labelling.picking.carried import prelabels_of
from tasks.labelling.picking.known import held, labels_of
from tasks.labelling.picking.telling import picked, strategies
from tasks.labels.mining.registry import STRATEGIES
from tests.data.folders import cells, make_voc
from tests.labelling.ponds import CLASSES, looked_at, pond
from tests.labelling.worlds import COUNT, World, digests


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
    assert told[-1].endswith("; by reader@1")
    assert sum(line.startswith(f"{rank:>4}  ") for line in told for rank in range(1, 9)) == 8


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
    with pytest.raises(UserError, match=r"flip: the pre-labels of pool@1[\s\S]*/reader/1 --flip"):
        world.pick("flip", prelabels=plain)
    assert world.store.names() == ["pool"]
    # it is told before the pictures are compared
    assert not (world.workspace / ".visionmill/embeddings").exists()


def test_the_command_that_makes_what_is_lacking_maps_alike(world: World) -> None:
    facts = world.prelabels.folder / "facts.json"
    told = read_json(facts)
    for note, words in (("1 of the 3 classes of reader@1 are left out: a", "--for aldd and the same --map as before"),
                        ("reader@1 does not know dog: nothing of that kind is pre-labelled", "--for aldd")):
        write_json(facts, told | {"notes": [note]})
        with pytest.raises(UserError) as error:
            world.pick("aldd")
        assert str(error.value).endswith(words)


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


def test_the_list_names_all_strategies_with_their_parameters() -> None:
    told = "\n".join(strategies())
    assert all(f"{name:9} {one.about}" in told for name, one in STRATEGIES.items())
    assert "--set times=4.0" in told and "needs: pre-labels by label auto --for aldd" in told
    assert "needs: nothing" in told
