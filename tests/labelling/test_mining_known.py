"""What is left out of a pick: past rounds, near-duplicates, what the line uses, what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError
from tasks.data.store.labelled import publish_labels
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.labelling import mining
from tasks.labelling.picking.known import held, labels_of
from tests.labelling.ponds import CLASSES, folder_of, pond, save
from tests.labelling.worlds import COUNT, World, digests


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
    with pytest.raises(DataError, match="nothing is left of the 25 pictures.*25 pictures are labelled or were picked"
                       ) as told:
        world.pick("random", 10, again, looked=False, known=[first, second, third])
    # what to do: other pictures, or those of earlier picks again
    assert told.value.where == "pool@2"
    assert "visionmill data import FOLDER --format pictures --name pool; or mine with another --out" in str(told.value)
    assert "what is in picked@1, picked@2, picked@3 may be picked again" in str(told.value)
    assert world.pick("random", 3, again, looked=False, out="other")[1].table.num_rows == 3
    # rounds have no --out
    with pytest.raises(DataError, match="nothing is left of the 25") as told:
        world.pick("random", 10, again, looked=False, known=[first, second, third], line=False)
    assert "--name pool" in str(told.value) and "--out" not in str(told.value)


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


def test_black_frames_do_not_take_the_budget(world: World, tmp_path: Path) -> None:
    from PIL import Image

    raw = folder_of(tmp_path / "night", range(8))
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = np.full((48, 48, 3), 2 + number % 3, np.uint8)
        pixels[tuple(rng.integers(0, 48, 2))] = rng.integers(0, 60)
        Image.fromarray(pixels).save(raw / f"black{number}.png")
    pool = pond(world.store, raw, [], "night")
    version, _ = world.pick("coverage", 8, pool, looked=False, values={"epsilon": 0})
    files = pq.read_table(version.folder / "images.parquet")["file"].to_pylist()
    assert sum("black" in name for name in files) <= 2


def test_a_known_picture_that_cannot_be_read_is_like_none(world: World, tmp_path: Path) -> None:
    from PIL import Image

    raw = folder_of(tmp_path / "night", [])
    for number in range(2):
        raw.mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 48, 3), number, np.uint8)).save(raw / f"{number}.png")
    pool = pond(world.store, raw, [], "night")
    away = pond(world.store, tmp_path / "away", range(60, 63), "away")
    shutil.rmtree(world.store.pictures / "away-1", onerror=lambda *_: None)
    _, mined = world.pick("coverage", 1, pool, looked=False, known=[away])
    assert mined.table.num_rows == 1 and "fewer" not in " ".join(mined.notes)
