"""Augmentation of whole versions: draws, splits, groups, and the pixels of what comes out."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.ops._drawing import Draw
from tasks.data.pictures import read_picture
from tests.data.ops.scenes import (
    attributes,
    box,
    by_file,
    content,
    label,
    parent,
    picture,
    report,
    save,
)
from tests.data.ops.test_augment import TRAIN, augment, ell


def test_each_picture_has_a_draw_of_its_own_and_two_copies_differ(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(4)]
    for number, file in enumerate(files):
        picture(tmp_path / file, number=number)
    of = parent(tmp_path, {file: [label(40, 30, 20, 20)] for file in files}, dict.fromkeys(files, TRAIN))
    made = augment(of, copies=2, rotate=20, brightness=0.3)
    drawn = [attributes(row)["augment"] for row in content(made) if row.image["attributes"]]
    assert len(drawn) == 8 and len({one["rotate"] for one in drawn}) == 8
    assert {(one["of"], one["copy"]) for one in drawn} == {(file, copy) for file in files for copy in (0, 1)}
    assert report(made, "augment") == {"pictures": 4, "copies": 8, "repeated": 0, "labels": 8, "left": 0,
                                       "empty_masks": 0, "named": []}


def test_made_twice_it_is_the_same_and_another_seed_is_another(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        picture(tmp_path / name / "a.png")
        save(tmp_path / name / "b.jpg", Image.open(tmp_path / name / "a.png"), quality=90)
        of = parent(tmp_path / name, {"a.png": [ell("rle")], "b.jpg": [ell("polygons")]},
                    dict.fromkeys(["a.png", "b.jpg"], TRAIN))
        made = augment(of, seed=seed, rotate=20, scale=0.2, hue=30, saturation=0.4, contrast=0.3, blur=1.5)
        digests.append((digest_tree(made.folder), digest_tree(made.pictures)))
    assert digests[0] == digests[1] and digests[0][1] != digests[2][1]


def test_pictures_of_other_splits_stay_as_they_are(tmp_path: Path) -> None:
    splits = {"a.png": "train", "b.png": "val", "c.png": "test", "d.png": None}
    for number, file in enumerate(splits):
        picture(tmp_path / file, number=number)
    of = parent(tmp_path, {file: [label(40, 30, 20, 20)] for file in splits},
                {file: {"split": split} for file, split in splits.items()})
    made = augment(of, keep_original=False, flip_vertical=1)
    found = by_file(made)
    assert {"b.png", "c.png", "d.png"} < found.keys() and len(found) == 4 and "a.png" not in found
    untouched = [found[f"{name}.png"].image for name in "bcd"]
    assert all(image["group"] is None and image["attributes"] is None for image in untouched)
    new = next(row for file, row in found.items() if file.startswith("new-1/"))
    assert [new.image[name] for name in ("split", "group", "width", "height")] == ["train", "a.png", 100, 80]
    assert np.array_equal(read_picture(tmp_path / new.image["file"]), read_picture(tmp_path / "a.png")[::-1])
    assert box(new.boxes[0]) == (40, 30, 20, 20)


def test_a_copy_and_its_original_are_one_group(tmp_path: Path) -> None:
    for number, file in enumerate(["a.png", "b.png"]):
        picture(tmp_path / file, number=number)
    of = parent(tmp_path, {"a.png": [], "b.png": []}, {"a.png": TRAIN, "b.png": TRAIN | {"group": "film 3"}})
    found = content(augment(of, copies=2, rotate=5))
    assert sorted(row.image["group"] for row in found) == ["a.png"] * 3 + ["film 3"] * 3


def test_pictures_without_a_split_must_be_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    of = parent(tmp_path, {"a.png": []})
    with pytest.raises(DataError, match="no picture is in train; there are 1 in none") as raised:
        augment(of, rotate=5)
    assert "--splits none" in str(raised.value)
    (tmp_path / "new-tables").rmdir()
    (tmp_path / "new-1").rmdir()
    assert len(content(augment(of, rotate=5, splits=["none"]))) == 2


def test_what_changes_nothing_is_no_copy(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    of = parent(tmp_path, {"a.png": []}, {"a.png": TRAIN})
    made = augment(of, copies=40, flip_horizontal=0.5)
    assert len(content(made)) == 2 and report(made, "augment")["repeated"] == 39


def test_colours_change_and_labels_do_not(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = ell("polygons") | {"attributes": '{"rotation_y": 1}'}
    of = parent(tmp_path, {"a.png": [row]}, {"a.png": TRAIN})
    found = content(augment(of, keep_original=False, copies=6, hue=90, blur=3))
    before, luma = read_picture(tmp_path / "a.png").astype(float), np.array([0.299, 0.587, 0.114])
    changed = []
    for new in found:
        kept = new.boxes[0].keys() - {"annotation_id", "image_id"}
        assert {name: new.boxes[0][name] for name in kept} == {name: row[name] for name in kept}
        after = read_picture(tmp_path / new.image["file"]).astype(float)
        assert abs((before @ luma).mean() - (after @ luma).mean()) < 4
        changed.append(np.abs(before - after).max())
    assert len(found) == 6 and max(changed) > 20


@pytest.mark.parametrize(("drawn", "given", "found"), [
    (Draw(), (10, 128, 250), (10, 128, 250)),
    (Draw(saturation=0.0), (200, 100, 50), (124, 124, 124)),
    (Draw(contrast=0.5), (28, 128, 228), (78, 128, 178)),
    (Draw(brightness=0.5), (28, 128, 228), (14, 64, 114)),
    (Draw(hue=180.0), (128, 128, 128), (128, 128, 128)),
])
def test_the_colour_matrix(drawn: Draw, given: tuple[int, ...], found: tuple[int, ...]) -> None:
    pixel = np.array(Image.new("RGB", (1, 1), given).convert("RGB", drawn.colour()))[0, 0]
    assert np.abs(pixel - np.array(found)).max() <= 1
    # red becomes green, as in HSV
    assert np.array(Image.new("RGB", (1, 1), (200, 60, 60)).convert("RGB", Draw(hue=120).colour())).argmax() == 1


def test_masks_of_class_ids_and_references_go_along(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "gold.png", number=4)
    ids = (np.indices((80, 100)).sum(axis=0) // 20 % 3).astype(np.uint8)
    save(tmp_path / "ids.png", ids)
    of = parent(tmp_path, {"a.jpg": []}, {"a.jpg": TRAIN | {"mask": "ids.png", "reference": "gold.png"}})
    image = content(augment(of, keep_original=False, rotate=40, blur=2, fill=7))[0].image
    mask = np.asarray(Image.open(tmp_path / image["mask"]))
    assert set(np.unique(mask)) == {0, 1, 2, 255} and image["file"].endswith(".jpg")
    outside = mask == 255
    golden = read_picture(tmp_path / image["reference"])
    assert (golden[outside] == 7).all() and not (golden[~outside] == 7).all(axis=-1).all()
    inner = read_picture(tmp_path / image["file"])[outside]
    assert np.abs(inner.astype(int) - 7).mean() < 3


def test_a_mirrored_picture_is_exact(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 101, 80)
    of = parent(tmp_path, {"a.png": [label(1, 2, 30, 5)]}, {"a.png": TRAIN})
    found = content(augment(of, keep_original=False, flip_horizontal=1))[0]
    assert np.array_equal(read_picture(tmp_path / found.image["file"]), read_picture(tmp_path / "a.png")[:, ::-1])
    assert box(found.boxes[0]) == (70, 2, 30, 5) and attributes(found)["augment"] == {
        "of": "a.png", "copy": 0, "flip_horizontal": True}


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("P", ".gif"), ("CMYK", ".jpg"), ("I;16", ".png")])
def test_pictures_of_every_mode(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = (np.arange(8000).reshape(80, 100) * 7 % 256).astype(np.uint8)
    pixels = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    save(tmp_path / f"a{suffix}", pixels)
    of = parent(tmp_path, {f"a{suffix}": [label(40, 30, 20, 20)]}, {f"a{suffix}": TRAIN})
    found = content(augment(of, keep_original=False, rotate=5, brightness=0.2, hue=5))
    assert len(found[0].boxes) == 1 and read_picture(tmp_path / found[0].image["file"]).std() > 10


def test_a_picture_in_an_archive(tmp_path: Path) -> None:
    path = picture(tmp_path / "loose/a.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "a.png")
        offset = archive.infolist()[0].header_offset + 30 + len("a.png")
    of = parent(tmp_path, {"loose/a.png": []}, {"loose/a.png": TRAIN | {"shard": "all.zip", "offset": offset}})
    path.unlink()
    found = by_file(augment(of, rotate=5))
    assert found["loose/a.png"].image["shard"] == "all.zip" and len(found) == 2
