"""Versions as recipes: made twice they are the same table, and nothing is listed of one that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import read_json, write_json
from tasks.data.store.counts import counts
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.store.recipes import make, replay
from tests.data.folders import box, coco, image, make_coco
from tests.data.store.test_importing import bring


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    first = coco([image(1), image(2), image(3)], [box(1, 1), box(2, 2), box(3, 2, 2), box(4, 3)])
    bring(store, make_coco(tmp_path / "first", first), "first")
    second = coco([image(4), image(5)], [box(1, 4, 2), box(2, 5)])
    bring(store, make_coco(tmp_path / "second", second), "second")
    return store


def operate(store: Store, name: str, parents: list[str], out: str = "made", **params: object) -> tuple[Version, bool]:
    return make(store, name, [store.find(ref) for ref in parents], params, out=out, owner="ann")


def test_a_recipe_replays_to_the_same_table(store: Store) -> None:
    merged, new = operate(store, "merge", ["first", "second"])
    assert new and counts(merged.folder) == (5, 6)
    assert merged.meta.parents == ["first@1", "second@1"]
    assert merged.meta.recipe["operation"] == "merge"
    assert replay(store, merged) == merged.digest == table_digest(merged.folder)


def test_the_same_recipe_again_makes_nothing_and_another_one_a_version(store: Store) -> None:
    operate(store, "sample", ["first"], count=2)
    again, new = operate(store, "sample", ["first"], count=2)
    assert (again.ref, new) == ("made@1", False)
    other, new = operate(store, "sample", ["first"], count=2, seed=1)
    assert (other.ref, new) == ("made@2", True)


def test_no_picture_is_copied(store: Store) -> None:
    operate(store, "merge", ["first", "second"])
    assert sorted(path.name for path in store.pictures.iterdir()) == ["first-1", "second-1"]


def test_what_an_operation_refuses_is_not_listed(store: Store) -> None:
    with pytest.raises(UserError, match="no operation is called 'mrge'"):
        operate(store, "mrge", ["first"])
    with pytest.raises(ParamsError, match="unknown parameter 'cuont'"):
        operate(store, "sample", ["first"], cuont=2)
    with pytest.raises(UserError):
        operate(store, "filter", ["first"], expression="class = 'catt'")
    assert store.names() == ["first", "second"]


def test_an_import_has_nothing_to_replay(store: Store) -> None:
    with pytest.raises(UserError, match="first@1 was imported"):
        replay(store, store.find("first"))


def test_a_replay_tells_when_a_parent_or_the_table_is_another(store: Store) -> None:
    made, _ = operate(store, "sample", ["first"], count=2)
    facts = made.folder / "version.json"
    facts.chmod(0o644)
    said = read_json(facts)
    write_json(facts, said | {"digest": "0" * 64})
    with pytest.raises(DataError, match="does not replay"):
        replay(store, store.find("made"))
    write_json(facts, said)
    parent = store.find("first").folder / "version.json"
    parent.chmod(0o644)
    write_json(parent, read_json(parent) | {"digest": "0" * 64})
    with pytest.raises(DataError, match="first@1 is not the table"):
        replay(store, store.find("made"))
