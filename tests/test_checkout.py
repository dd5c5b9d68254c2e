"""The stage `checkout`: a version of the store becomes what the line reads, and no picture is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import checkout, validate
from tasks.base.errors import DataError, ParamsError, UserError
from tasks.data.linking import clone
from tasks.data.store.layout import Store
from tasks.data.table import read_dataset
from tests.data.folders import box, coco, image, make_coco
from tests.data.store.test_importing import bring


@pytest.fixture(params=[20_000, 1], ids=["loose", "archives"])
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Store:
    monkeypatch.setenv("VISIONMILL_STORE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    content = coco([image(i) for i in (1, 2, 3)], [box(i, i) for i in (1, 2, 3)])
    bring(store, make_coco(tmp_path / "raw", content), shard_over=request.param)
    return store


def test_the_line_validates_what_was_checked_out(store: Store, tmp_path: Path) -> None:
    params = checkout.Params(version="cats@1", digest=store.find("cats").digest)
    checkout.run(params, pictures=tmp_path / "pictures", out=tmp_path / "ingested")
    validate.run(validate.Params(), raw=tmp_path / "pictures", data=tmp_path / "ingested", out=tmp_path / "valid")
    valid = read_dataset(tmp_path / "valid")
    assert valid.images.num_rows == 3 and valid.annotations.num_rows == 3
    assert valid.images.equals(read_dataset(store.find("cats").folder).images)


def test_pictures_are_linked_and_not_copied(store: Store, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    if clone(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this file system shares blocks: a link cannot be told from a copy by its number")
    checkout.run(checkout.Params(version="cats"), pictures=tmp_path / "pictures", out=tmp_path / "ingested")
    for path in (path for path in (tmp_path / "pictures").rglob("*") if path.is_file()):
        assert path.samefile(store.pictures / path.relative_to(tmp_path / "pictures"))


def test_the_same_version_gives_the_same_bytes(store: Store, tmp_path: Path) -> None:
    for name in "ab":
        checkout.run(checkout.Params(version="cats@1"), pictures=tmp_path / f"p{name}", out=tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_no_version_another_digest_and_a_lost_picture_stop_it(store: Store, tmp_path: Path) -> None:
    def run(**params: str) -> None:
        checkout.run(checkout.Params(**params), pictures=tmp_path / "pictures", out=tmp_path / "ingested")

    with pytest.raises(ParamsError, match="no dataset version is chosen"):
        run()
    with pytest.raises(UserError, match="did you mean 'cats'"):
        run(version="cat@1")
    with pytest.raises(DataError, match="not the version that params.yaml means"):
        run(version="cats@1", digest="0" * 64)
    next(path for path in store.pictures.rglob("*") if path.is_file()).unlink()
    with pytest.raises(DataError, match="visionmill data pull cats@1"):
        run(version="cats@1")
    assert not (tmp_path / "pictures").exists() and not (tmp_path / "ingested").exists()
