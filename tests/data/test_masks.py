from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.formats import masks
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading, Source
from tasks.data.table import Meta
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import exported, make_table, plain, read_all, round_trip

PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]


def pixels(*values: int) -> np.ndarray:
    """Stripes of these values."""
    return np.repeat(np.resize(np.array(values, np.uint8), WIDTH)[None], HEIGHT, axis=0)


def save_mask(path: Path, *values: int, palette: list[int] | None = None) -> Path:
    picture = Image.fromarray(pixels(*values))
    if palette:
        picture = picture.convert("P")
        picture.putdata(pixels(*values).ravel())
        picture.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def make(root: Path, count: int = 2, pictures: str = "images/{}.jpg", named: str = "masks/{}.png",
         values: tuple[int, ...] = (0, 1, 2), palette: list[int] | None = None) -> Path:
    for number in range(count):
        save_picture(root / pictures.format(number), number)
        save_mask(root / named.format(number), *values, palette=palette)
    return root


def found(root: Path) -> list[str]:
    return [source.path.relative_to(root).as_posix() for source in masks.find(FolderIndex(root))]


@pytest.mark.parametrize(("pictures", "named", "folder"), [
    ("images/{}.jpg", "masks/{}.png", "masks"), ("images/{}.jpg", "masks/{}_mask.png", "masks"),
    ("images/train/{}.jpg", "labels/train/{}.png", "labels"), ("train/images/{}.png", "train/gt/{}.png", "train/gt"),
    ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "SegmentationClass"),
    ("train/{}.jpg", "train/{}_mask.png", "train"),
    ("{}.jpg", "{}_mask.png", "."), ("{}.jpg", "annotations/{}.png", "annotations"),
    ("images/{}.jpg", "images/masks/{}.bmp", "images/masks"), ("imgs/a #t=1/{}.jpg", "mask/a #t=1/{}.png", "mask")])
def test_layouts(tmp_path: Path, pictures: str, named: str, folder: str) -> None:
    make(tmp_path / "in", pictures=pictures, named=named)
    assert found(tmp_path / "in") == [folder]
    made, into = read_all(masks, tmp_path / "in")
    assert [(picture.file, picture.mask) for picture in made] == [(pictures.format(i), named.format(i)) for i in (0, 1)]
    assert into.problem == "semantic" and into.ids == {"class_0": 0, "class_1": 1, "class_2": 2} and not into.notes
    assert {picture.split for picture in made} == {"train" if "train" in pictures else None}
    before, after = round_trip(masks, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    for one, other in zip(before, after, strict=True):
        assert one.mask and other.mask
        assert (tmp_path / "in" / one.mask).read_bytes() == (tmp_path / "out" / other.mask).read_bytes()


@pytest.mark.parametrize("make_it", [
    lambda root: make(root, named="depth/{}.png"), lambda root: make(root, named="masks/{}.jpg"),
    lambda root: make(root, pictures="images/{}.jpg", named="masks/x{}.png"),
    lambda root: make(root, pictures="a/{}.jpg"),
    lambda root: [save_picture(root / "images/1.png"), save_picture(root / "masks/1.png", 2)]])
def test_folders_that_are_something_else(tmp_path: Path, make_it: Any) -> None:
    make_it(tmp_path)
    assert found(tmp_path) == []


def test_maps_of_instances_have_16_bits_and_are_left_alone(tmp_path: Path) -> None:
    save_picture(tmp_path / "images/1.jpg")
    (tmp_path / "labels").mkdir()
    Image.fromarray(pixels(1, 2).astype(np.uint16)).save(tmp_path / "labels/1.png")
    assert found(tmp_path) == []
    into = Reading()
    picture, = masks.read(FolderIndex(tmp_path), Source("masks", tmp_path / "labels", None), into)
    assert picture.mask is None and [note.kind for note in into.notes] == ["bad_mask"] and "16" in into.notes[0].detail


def test_nuclei_are_left_alone(mirror: Path) -> None:
    assert masks.find(FolderIndex(mirror / "datasets/nuclei_256")) == []


@pytest.mark.parametrize(("file", "text"), [
    ("classes.txt", "sky\nsea\nland\n"), ("classes.txt", "0: sky\n1: sea\n2: land"),
    ("classes.csv", "value,name\n2,land\n0,sky\n1,sea\n"),
    ("_classes.csv", "Pixel Value, Class\n0, sky\n1, sea\n2, land\n"),
    ("masks/classes.csv", "name\nsky\nsea\nland"), ("masks/classes.txt", "\ufeffsky\r\nsea\r\nland\r\n\r\n")])
def test_lists_of_classes(tmp_path: Path, file: str, text: str) -> None:
    put(make(tmp_path) / file, text)
    _, into = read_all(masks, tmp_path)
    assert into.ids == {"sky": 0, "sea": 1, "land": 2} and not into.notes


@pytest.mark.parametrize(("file", "text", "says"), [
    ("classes.txt", "sky\nsky\n", "listed twice"), ("classes.txt", "sky\n\nsea\n", "cannot be"),
    ("classes.csv", "value,name\n300,sky\n", "cannot be"), ("classes.csv", "value,name\nx,sky\n", "not a whole number"),
    ("classes.csv", "a,b\n1,2\n", "lacks a name"), ("classes.csv", "", "lacks a name"),
    ("classes.txt", b"\xff\xfe", "UTF-8"),
    ("labelmap.txt", "sky:300,1,1::\n", "cannot be"), ("classes.txt", "x" * (2 << 20), "more than 1 MiB")])
def test_lists_that_are_damaged(tmp_path: Path, file: str, text: Any, says: str) -> None:
    put(make(tmp_path) / file, text)
    with pytest.raises(DataError, match=says):
        read_all(masks, tmp_path)


@pytest.mark.parametrize("name", ["null", "a/b", "🐈", "with, comma", "1st", "#5", "a\nb"])
def test_strange_names_of_classes_come_through(tmp_path: Path, name: str) -> None:
    quoted = '"' + name + '"'
    put(make(tmp_path / "in") / "classes.csv", f"value,name\n0,sky\n1,{quoted}\n2,land\n")
    exported(masks, tmp_path / "in", tmp_path)
    assert read_all(masks, tmp_path / "out")[1].ids == {"sky": 0, name: 1, "land": 2}


def test_a_value_that_is_not_listed(tmp_path: Path) -> None:
    put(make(tmp_path, values=(0, 1, 7, 255)) / "classes.txt", "sky\nsea\n")
    _, into = read_all(masks, tmp_path)
    assert [(note.kind, note.file, note.detail) for note in into.notes] == [
        ("unknown_class", "masks/0.png", "value 7 is not in classes.txt")]


@pytest.mark.parametrize(("values", "text", "ids"), [
    ((0, 255), None, {"class_0": 0, "class_255": 255}), ((0, 1, 255), None, {"class_0": 0, "class_1": 1}),
    ((0, 255), "no\nyes\n", {"no": 0, "yes": 255}), ((0, 1, 255), "no\nyes\n", {"no": 0, "yes": 1})])
def test_255_counts_for_nothing_unless_it_is_all_there_is(tmp_path: Path, values: Any, text: Any, ids: Any) -> None:
    make(tmp_path / "in", values=values)
    if text:
        put(tmp_path / "in/classes.txt", text)
    assert read_all(masks, tmp_path / "in")[1].ids == ids
    exported(masks, tmp_path / "in", tmp_path)
    assert read_all(masks, tmp_path / "out")[1].ids == ids


MAP = "# label:color_rgb:parts:actions\nsky:128,128,0::\nsea:128,0,0::\nnone:0,0,0::\n"


def test_a_label_map_names_the_colours_of_a_palette(tmp_path: Path) -> None:
    put(make(tmp_path, values=(0, 1, 3), palette=PALETTE) / "labelmap.txt", MAP)
    _, into = read_all(masks, tmp_path)
    assert into.ids == {"none": 0, "sea": 1, "sky": 3} and not into.notes and not into.attributes


def coloured(root: Path, text: str | None = MAP) -> Path:
    make(root, 1)
    rgb = np.array([[128, 128, 0], [128, 0, 0], [0, 0, 0]], np.uint8)[pixels(0, 1, 2)]
    Image.fromarray(rgb).save(root / "masks/0.png")
    if text:
        put(root / "labelmap.txt", text)
    return root


def meta_of(pictures: list[Picture], into: Reading) -> Meta:
    return Meta(name="a", problem="semantic", classes=sorted(into.labels),
        attributes=into.attributes | {"ids": into.ids})


def test_a_label_map_names_colours(tmp_path: Path) -> None:
    pictures, into = read_all(masks, coloured(tmp_path / "in"))
    assert into.ids == {"sky": 0, "sea": 1, "none": 2} and not into.notes
    meta = meta_of(pictures, into)
    read = masks.read_mask(tmp_path / "in/masks/0.png", meta)
    assert [meta.classes[value] for value in read[0, :3]] == ["sky", "sea", "none"] and read.dtype == np.uint8
    before, after = round_trip(masks, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    assert read_all(masks, tmp_path / "out")[1] == into and (tmp_path / "out/labelmap.txt").read_text() == MAP


def test_colours_that_nobody_named(tmp_path: Path) -> None:
    assert found(coloured(tmp_path / "a", None)) == []
    into = Reading()
    picture, = masks.read(FolderIndex(tmp_path / "a"), Source("masks", tmp_path / "a/masks", None), into)
    assert picture.mask is None and "what its colours mean" in into.notes[0].detail
    with pytest.raises(DataError, match=r"labelmap\.txt"):
        masks.read_mask(tmp_path / "a/masks/0.png", Meta(name="a", classes=["x"]))
    pictures, into = read_all(masks, coloured(tmp_path / "b", "sky:128,128,0::\n"))
    assert masks.read_mask(tmp_path / "b/masks/0.png", meta_of(pictures, into))[0, :3].tolist() == [0, 255, 255]


def test_grey_masks_saved_as_colours(tmp_path: Path) -> None:
    make(tmp_path, 1)
    Image.fromarray(pixels(0, 4)).convert("RGB").save(tmp_path / "masks/0.png")
    pictures, into = read_all(masks, tmp_path)
    assert into.ids == {"class_0": 0, "class_4": 4} and pictures[0].mask == "masks/0.png"
    assert masks.read_mask(tmp_path / "masks/0.png", meta_of(pictures, into))[0, :2].tolist() == [0, 1]


def test_masks_of_one_bit(tmp_path: Path) -> None:
    make(tmp_path, 1)
    Image.fromarray(pixels(0, 1).astype(bool)).save(tmp_path / "masks/0.png")
    assert read_all(masks, tmp_path)[1].ids == {"class_0": 0, "class_1": 1}


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize("spoil", [damage, lambda path: path.write_bytes(b""),
    lambda path: Image.new("L", (9, 9)).save(path)])
def test_masks_that_are_damaged_or_of_another_size(tmp_path: Path, spoil: Any) -> None:
    spoil(make(tmp_path) / "masks/1.png")
    pictures, into = read_all(masks, tmp_path)
    assert [picture.mask for picture in pictures] == ["masks/0.png", None]
    assert [(note.kind, note.file, note.picture) for note in into.notes] == [("bad_mask", "masks/1.png",
        "images/1.jpg")]


def test_a_turned_picture_has_its_mask_as_displayed(tmp_path: Path) -> None:
    save_picture(make(tmp_path) / "images/1.jpg", 1, orientation=6)
    assert [note.kind for note in read_all(masks, tmp_path)[1].notes] == ["bad_mask"]
    Image.fromarray(pixels(0, 1).T).save(tmp_path / "masks/1.png")
    assert not read_all(masks, tmp_path)[1].notes


def test_a_mask_without_a_picture(tmp_path: Path) -> None:
    save_mask(make(tmp_path) / "masks/other.png", 0)
    pictures, into = read_all(masks, tmp_path)
    assert len(pictures) == 2 and [(note.kind, note.file) for note in into.notes] == [("missing_picture",
        "masks/other.png")]


def test_splits_by_folder_and_by_list(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        make(tmp_path / "a", pictures=f"{split}/images/{{}}.jpg", named=f"{split}/masks/{{}}.png")
    assert [(source.path.parent.name, source.split) for source in masks.find(FolderIndex(tmp_path / "a"))] == [
        ("train", "train"), ("valid", "val")]
    make(tmp_path / "b", 3, "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    put(tmp_path / "b/ImageSets/Segmentation/train.txt", "0\n1\n")
    put(tmp_path / "b/ImageSets/Segmentation/test.txt", "1\n")
    assert [picture.split for picture in read_all(masks, tmp_path / "b")[0]] == ["train", "test", None]


def test_a_folder_for_each_patient_is_one_source(tmp_path: Path) -> None:
    for number in range(10):
        make(tmp_path, 1, f"p{number}/{{}}.jpg", f"p{number}/{{}}_mask.png")
    assert found(tmp_path) == ["."] and len(read_all(masks, tmp_path)[0]) == 10


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(["classes.txt", "classes.csv", "labelmap.txt", "masks/0.png"]),
       content=st.binary(max_size=60) | st.text("0123,:;\"\n\tabrg#", max_size=60).map(str.encode),
       keep=st.integers(0, 200))
def test_changed_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes,
                                           keep: int) -> None:
    root = make(tmp_path_factory.mktemp("fuzz"))
    before = (root / name).read_bytes()[:keep] if (root / name).exists() else b"value,name\n"[:keep]
    put(root / name, before + content)
    into = Reading()
    try:
        pictures = list(masks.read(FolderIndex(root), Source("masks", root / "masks", None), into))
    except DataError:
        return
    assert len(pictures) == 2 and all(0 <= value < 256 for value in into.ids.values())
    make_table(pictures, into, root, root / "table")
