"""Imports: versions, flaws, classes, archives; and what is left after one that failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.base.files import read_json, write_json
from tasks.data.classes import ClassList, Entry, read_classes, save_classes
from tasks.data.pictures import locate, read_picture
from tasks.data.store.counts import counts, describe
from tasks.data.store.importing import Imported, Importing, bring_in
from tasks.data.store.layout import Store
from tasks.data.table import read_dataset
from tests.data.folders import box, coco, image, make_coco, put

CONTENT = coco([image(1), image(2), image(3)],
               [box(1, 1), box(2, 2), box(3, 2, 2), box(4, 3, segmentation=[[2, 3, 20, 3, 20, 30]])])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_coco(tmp_path / "raw", CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def bring(store: Store, folder: Path, name: str = "cats", classes: ClassList | None = None, who: str = "ann",
          **more: object) -> Imported:
    return bring_in(store, Importing(folder, name, str(folder), classes or ClassList([]), **more), who)  # type: ignore[arg-type]


def test_an_import_is_version_1_and_the_same_again_is_not_a_second(store: Store, raw: Path) -> None:
    first = bring(store, raw)
    assert (first.version.ref, first.new, counts(first.version.folder)) == ("cats@1", True, (3, 4))
    assert first.version.meta.problem == "segment" and first.version.meta.classes == ["cat", "dog"]
    again = bring(store, raw)
    assert (again.version.ref, again.new) == ("cats@1", False)
    assert [version.ref for version in store.all()] == ["cats@1"]


def test_a_changed_label_is_version_2_and_pictures_stay_where_they_were(store: Store, raw: Path) -> None:
    bring(store, raw)
    put(raw / "annotations.json", (raw / "annotations.json").read_text().replace('"bbox": [2, 3, 18, 27]',
                                                                                '"bbox": [2, 3, 18, 26]', 1))
    second = bring(store, raw).version
    assert second.ref == "cats@2" and second.digest != store.find("cats@1").digest
    dataset = read_dataset(second.folder)
    assert dataset.images["file"].to_pylist() == [f"cats-2/images/{i}.jpg" for i in (1, 2, 3)]
    assert all(place.is_file() for place in locate(store.pictures, dataset.images) if isinstance(place, Path))


def test_pictures_of_an_import_cannot_be_written_and_the_source_can(store: Store, raw: Path) -> None:
    bring(store, raw)
    assert (store.pictures / "cats-1/images/1.jpg").stat().st_mode & 0o222 == 0
    assert (raw / "images/1.jpg").stat().st_mode & 0o200


def test_many_pictures_go_into_archives_and_read_the_same(store: Store, raw: Path) -> None:
    loose = read_dataset(bring(store, raw, "loose").version.folder)
    packed = read_dataset(bring(store, raw, "packed", shard_over=2).version.folder)
    assert packed.images["shard"].to_pylist() == ["packed-1/shard-00000.zip"] * 3
    assert [path.name for path in (store.pictures / "packed-1").iterdir()] == ["shard-00000.zip"]
    for one, other in zip(locate(store.pictures, loose.images), locate(store.pictures, packed.images), strict=True):
        assert (read_picture(one) == read_picture(other)).all()
    with zipfile.ZipFile(store.pictures / "packed-1/shard-00000.zip") as archive:
        assert archive.testzip() is None and archive.namelist() == ["images/1.jpg", "images/2.jpg", "images/3.jpg"]
    assert packed.images["digest"].equals(loose.images["digest"])


def test_archives_are_the_same_bytes_each_time(tmp_path: Path, raw: Path) -> None:
    made = [Store(tmp_path / name) for name in "ab"]
    for store in made:
        bring(store, raw, shard_over=1)
    first, second = ((store.pictures / "cats-1/shard-00000.zip").read_bytes() for store in made)
    assert first == second and made[0].find("cats").digest == made[1].find("cats").digest


def test_flaws_stop_an_import_and_are_listed_when_they_are_allowed(store: Store, tmp_path: Path) -> None:
    flawed = coco([image(1), image(2)], [box(1, 1), box(2, 9)])
    raw = make_coco(tmp_path / "flawed", flawed)
    (raw / "images/2.jpg").unlink()
    with pytest.raises(DataError, match="1 dangling, 1 missing_picture") as raised:
        bring(store, raw)
    assert "annotations[1]" in str(raised.value) and "--allow dangling missing_picture" in str(raised.value)
    assert store.all() == [] and not store.pictures.exists()
    found = bring(store, raw, allow=["dangling", "missing_picture"])
    assert counts(found.version.folder) == (1, 1)
    assert [note["kind"] for note in read_json(found.version.folder / "notes.json")] == ["missing_picture", "dangling"]


def test_one_list_of_classes_with_aliases(store: Store, raw: Path, tmp_path: Path) -> None:
    classes = ClassList([Entry(name="tiger", aliases=["cat"]), Entry(name="dog")])
    assert bring(store, raw, classes=classes).version.meta.classes == ["dog", "tiger"]
    known = [Entry(name="tiger", aliases=["cat"])]
    with pytest.raises(DataError, match=r"class 'dog' is not in the workspace's list") as raised:
        bring(store, raw, "other", ClassList(known))
    assert "annotations[2]" in str(raised.value)
    ignored = ClassList(known, "ignore")
    assert counts(bring(store, raw, "less", ignored).version.folder) == (3, 3) and ignored.ignored == {"dog": 1}
    added = ClassList(known, "add")
    assert bring(store, raw, "more", added).version.meta.classes == ["dog", "tiger"] and added.added == ["dog"]
    save_classes(tmp_path, added)
    assert [entry.name for entry in read_classes(tmp_path).entries] == ["dog"]


def test_a_name_that_stands_for_two_classes_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "conf/classes.yaml", "classes:\n  - {name: car, aliases: [auto]}\n  - {name: auto}\n")
    with pytest.raises(DataError, match="'auto' stands for two classes"):
        read_classes(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "x" * 101])
def test_names_that_no_folder_may_have(store: Store, raw: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a dataset's name"):
        bring(store, raw, name)


def test_in_a_shared_store_a_name_is_its_makers(store: Store, raw: Path) -> None:
    bring(store, raw)
    write_json(store.root / "store.json", {"schema": 1, "shared": True})
    with pytest.raises(UserError, match="cats is ann's, and you are bob"):
        bring(store, raw, who="bob")
    assert bring(store, raw, "bobs", who="bob").version.ref == "bobs@1"


def test_two_commands_do_not_write_at_once(store: Store, raw: Path) -> None:
    with store.locked(), pytest.raises(WorkspaceBusy, match="another command writes"):
        bring(store, raw)


def test_unknown_names_offer_the_nearest(store: Store, raw: Path) -> None:
    bring(store, raw)
    with pytest.raises(UserError, match="did you mean 'cats'"):
        store.find("cat")
    with pytest.raises(UserError, match="cats has no version '7'"):
        store.find("cats@7")


def test_what_a_version_holds(store: Store, raw: Path) -> None:
    said = describe(bring(store, raw).version.folder)
    assert said["classes"] == {"cat": {"labels": 3, "pictures": 3}, "dog": {"labels": 1, "pictures": 1}}
    assert (said["pictures"], said["labels"], said["splits"], said["sources"]) == (3, 4, {"none": 3}, {})


KILLED = """
import sys, signal, threading, os
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.data.store.test_importing import bring
from tasks.data.store.layout import Store
import tasks.data.store.layout as layout, tasks.data.store.importing as importing
calls = 0
def trap(frame, event, argument):
    # a line of ours: the files that an import is made of
    global calls
    if event == "call" and "/tasks/data/store/" in frame.f_code.co_filename:
        calls += 1
        if calls == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
    return None
sys.setprofile(trap)
bring(Store(Path({store!r})), Path({raw!r}), shard_over={over})
"""


@pytest.mark.parametrize(("at", "over"), [(3, 20000), (8, 20000), (12, 20000), (16, 2), (20, 2), (24, 20000), (28, 2),
                                          (32, 2)])
def test_killed_anywhere_the_next_import_finishes_and_none_is_half(store: Store, raw: Path, at: int, over: int) -> None:
    root = str(Path(__file__).resolve().parents[3])
    code = KILLED.format(root=root, at=at, store=str(store.root), raw=str(raw), over=over)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    for version in store.all():
        dataset = read_dataset(version.folder)
        assert all(read_picture(place).size for place in locate(store.pictures, dataset.images))
    found = bring(store, raw, shard_over=over)
    assert counts(found.version.folder) == (3, 4) and [version.ref for version in store.all()] == ["cats@1"]
    dataset = read_dataset(found.version.folder)
    assert all(read_picture(place).size for place in locate(store.pictures, dataset.images))
    assert not (store.root / ".staging").exists() or not list((store.root / ".staging").iterdir())


def test_a_version_whose_tables_are_elsewhere_says_how_to_get_them(store: Store, raw: Path) -> None:
    version = bring(store, raw).version
    put(version.folder.with_name("1.dvc"), "outs: []\n")
    for path in version.folder.iterdir():
        path.chmod(0o644)
    shutil.rmtree(version.folder)
    with pytest.raises(DataError, match="not on this machine") as raised:
        _ = store.find("cats").meta
    assert "visionmill data pull cats@1" in str(raised.value)


def test_the_tables_have_ids_without_gaps_and_in_order(store: Store, raw: Path) -> None:
    folder = bring(store, raw).version.folder
    images, annotations = (pq.read_table(folder / f"{name}.parquet") for name in ("images", "annotations"))
    assert images["image_id"].to_pylist() == [0, 1, 2] and annotations["annotation_id"].to_pylist() == [0, 1, 2, 3]
    assert annotations["image_id"].to_pylist() == [0, 1, 1, 2]
    assert annotations["polygons"].to_pylist() == [None, None, None, [[2, 3, 20, 3, 20, 30]]]
