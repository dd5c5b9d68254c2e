"""Labels of a model or of people as a version of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.base.errors import DataError, UserError
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.store.recipes import replay
from tasks.data.table import read_dataset

VOC = ("<annotation><filename>{name}</filename><size><width>32</width><height>24</height></size><object><name>cat"
       "</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, Version]:
    raw = tmp_path / "raw"
    for at, name in enumerate(("a", "b", "c")):
        (raw / "JPEGImages").mkdir(parents=True, exist_ok=True)
        (raw / "Annotations").mkdir(exist_ok=True)
        Image.new("RGB", (32, 24), (at * 40, 9, 9)).save(raw / "JPEGImages" / f"{name}.png")
        (raw / "Annotations" / f"{name}.xml").write_text(VOC.format(name=f"{name}.png"))
    store = Store(tmp_path / "store")
    wanted = Importing(raw, "pool", "here", ClassList([]))
    return store, bring_in(store, wanted, "me").version


def labels(*rows: tuple[int, int, float]) -> pa.Table:
    image, label, x = zip(*rows, strict=True) if rows else ((), (), ())
    count = len(rows)
    return pa.table({"image_id": pa.array(image, pa.int64()), "class_id": pa.array(label, pa.int32()),
                     "x": pa.array(x, pa.float64()), "y": pa.array(np.full(count, 1.0)),
                     "w": pa.array(np.full(count, 4.0)), "h": pa.array(np.full(count, 5.0)),
                     "source": pa.array(["human"] * count, pa.string())})


def test_the_pictures_stay_and_the_labels_are_new(made: tuple[Store, Version]) -> None:
    store, pool = made
    version, new = publish_labels(store, pool, out="again", owner="me", said={"by": "people"}, keep=np.array([2, 0]),
                                  annotations=labels((2, 0, 3.0), (0, 0, 1.0), (2, 0, 2.0)),
                                  pictures={2: {"review": {"by": "ann"}}})
    got = read_dataset(version.folder)
    assert new and version.ref == "again@1" and got.images["image_id"].to_pylist() == [0, 1]
    assert [Path(name).stem for name in got.images["file"].to_pylist()] == ["a", "c"]
    # by picture, in the order in which they came
    assert got.annotations["image_id"].to_pylist() == [0, 1, 1] and got.annotations["x"].to_pylist() == [1, 3, 2]
    assert got.annotations["area"].to_pylist() == [20.0] * 3
    assert got.annotations["annotation_id"].to_pylist() == [0, 1, 2]
    assert attributes_of(version, "review") == {1: {"by": "ann"}} and attributes_of(pool, "review") == {}
    assert got.meta.recipe == {"labels": {"by": "people"}, "parents": [{"ref": pool.ref, "digest": pool.digest}]}
    assert got.meta.classes == ["cat"] and got.images["digest"].to_pylist()[0] == read_dataset(
        pool.folder).images["digest"].to_pylist()[0]


def test_attributes_are_joined_key_by_key(made: tuple[Store, Version]) -> None:
    store, pool = made
    first, _ = publish_labels(store, pool, out="x", owner="me", said={"by": "m"}, annotations=labels(),
                              pictures={0: {"mined": {"rank": 1}}})
    second, _ = publish_labels(store, first, out="y", owner="me", said={"by": "m"}, annotations=labels(),
                               pictures={0: {"review": {"by": "ann"}}})
    text = read_dataset(second.folder).images["attributes"].to_pylist()[0]
    assert json.loads(text) == {"mined": {"rank": 1}, "review": {"by": "ann"}}


def test_the_same_again_is_nothing_new(made: tuple[Store, Version]) -> None:
    store, pool = made
    for number, (x, new) in enumerate([(1.0, True), (1.0, False), (2.0, True), (1.0, True)]):
        version, fresh = publish_labels(store, pool, out="x", owner="me", said={"by": "p"},
                                        annotations=labels((0, 0, x)))
        assert (fresh, version.number) == (new, (1, 1, 2, 3)[number])
    with pytest.raises(UserError, match="labelled by p"):
        replay(store, version)


@pytest.mark.parametrize(("rows", "keep", "pictures", "what"), [
    ([(9, 0, 1.0)], None, None, "labels: picture 9"), ([(1, 0, 1.0)], [0], None, "labels: picture 1"),
    ([(0, 1, 1.0)], None, None, "class 1"), ([(0, -1, 1.0)], None, None, "class -1"),
    ([], [7], None, "to keep: picture 7"), ([], [], None, "no picture"), ([], [0], {1: {"a": 1}}, "described pictures"),
])
def test_what_does_not_fit_is_refused(made: tuple[Store, Version], rows: list, keep: list | None,
                                      pictures: dict | None, what: str) -> None:
    store, pool = made
    with pytest.raises(DataError, match=what):
        publish_labels(store, pool, out="x", owner="me", said={"by": "p"}, annotations=labels(*rows),
                       keep=None if keep is None else np.array(keep, int), pictures=pictures)
    assert store.of("x") == []
