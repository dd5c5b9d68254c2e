"""Tiling of masks, references, archives and pictures of every mode."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.files import digest_tree
from tasks.data.ops.tile import Params
from tasks.data.pictures import read_picture
from tests.data.ops.scenes import (
    attributes,
    by_file,
    content,
    label,
    parent,
    picture,
    save,
)
from tests.data.ops.test_tile import ELL, masked, tile


def test_masks_of_class_ids_and_references_are_cut_alike(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 100, 80)
    picture(tmp_path / "gold.png", 100, 80, 2)
    ids = (np.arange(8000).reshape(80, 100) % 3).astype(np.uint8)
    palette = Image.fromarray(ids, "L").convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.putdata(ids.ravel().tolist())
    save(tmp_path / "ids.png", palette)
    of = parent(tmp_path, {"a.png": []}, {"a.png": {"mask": "ids.png", "reference": "gold.png"}}, problem="semantic")
    made = tile(of, Params(size=64, overlap=0.25, edge="pad", keep_empty=0))
    found = content(made)
    assert len(found) == 4
    gold = read_picture(tmp_path / "gold.png")
    for row in found:
        x, y = (attributes(row)["tile"][key] for key in "xy")
        w, h = min(64, 100 - x), min(64, 80 - y)
        mask = np.asarray(Image.open(tmp_path / row.image["mask"]))
        assert np.array_equal(mask[:h, :w], ids[y:y + h, x:x + w]) and (mask[h:] == 255).all()
        assert (mask[:, w:] == 255).all() and mask.shape == (64, 64)
        golden = read_picture(tmp_path / row.image["reference"])
        assert np.array_equal(golden[:h, :w], gold[y:y + h, x:x + w])
        assert (read_picture(tmp_path / row.image["file"])[h:] == 114).all()


def test_two_pictures_share_the_tiles_of_their_reference(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", 100, 80, number)
    of = parent(tmp_path, {"0.png": [], "1.png": []}, {f"{n}.png": {"reference": "2.png"} for n in (0, 1)},
                problem="pairs")
    made = tile(of)
    assert len(list(made.pictures.iterdir())) == 12
    assert len({row.image["reference"] for row in content(made)}) == 4


def test_a_picture_may_be_its_own_mask_or_reference(tmp_path: Path) -> None:
    ids = (np.arange(8000).reshape(80, 100) // 500).astype(np.uint8)
    palette = Image.fromarray(ids).convert("P")
    palette.putpalette([value * 5 % 256 for value in range(768)])
    save(tmp_path / "a.png", palette)
    of = parent(tmp_path, {"a.png": []}, {"a.png": {"mask": "a.png", "reference": "a.png"}}, problem="semantic")
    image = content(tile(of))[0].image
    mask = np.asarray(Image.open(tmp_path / image["mask"]))
    assert mask.max() < 16 and (read_picture(tmp_path / image["file"]) != mask[..., None]).any()
    assert image["reference"] == image["file"] != image["mask"]


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("P", ".png"), ("1", ".png"), ("RGBA", ".png"),
                                              ("CMYK", ".jpg"), ("CMYK", ".tif"), ("I;16", ".png"), ("L", ".webp")])
def test_pictures_of_every_mode(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = (np.arange(8000).reshape(80, 100) * 7 % 256).astype(np.uint8)
    pixels = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    save(tmp_path / f"a{suffix}", pixels)
    found = content(tile(parent(tmp_path, {f"a{suffix}": [label(1, 1, 9, 9)]})))
    first = read_picture(tmp_path / found[0].image["file"])
    assert np.array_equal(first, read_picture(tmp_path / f"a{suffix}")[:64, :64])
    grey = bool((first == first[..., :1]).all())
    assert Image.open(tmp_path / found[0].image["file"]).mode == ("L" if grey else "RGB")


def test_a_turned_picture_is_cut_as_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = Image.open(picture(tmp_path / "plain.png", 100, 80))
    save(tmp_path / "a.jpg", source, exif=exif)
    made = tile(parent(tmp_path, {"a.jpg": []}))
    found = content(made)
    assert [(attributes(row)["tile"]["x"], attributes(row)["tile"]["y"]) for row in found] == [
        (0, 0), (0, 36), (16, 0), (16, 36)]
    assert np.array_equal(read_picture(tmp_path / found[-1].image["file"]), read_picture(tmp_path / "a.jpg")[36:, 16:])


def test_a_picture_in_an_archive(tmp_path: Path) -> None:
    path = picture(tmp_path / "loose/a.png", 100, 80)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "a.png")
        offset = archive.infolist()[0].header_offset + 30 + len("a.png")
    of = parent(tmp_path, {"loose/a.png": [label(1, 1, 9, 9)]}, {"loose/a.png": {"shard": "all.zip", "offset": offset}})
    path.unlink()
    found = content(tile(of))
    assert len(found) == 4 and found[0].image["shard"] is None and len(found[0].boxes) == 1


def test_made_twice_it_is_the_same_to_the_byte(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        picture(tmp_path / name / "a b#t=1.png", 100, 80)
        save(tmp_path / name / "a b#t=1.jpg", Image.open(tmp_path / name / "a b#t=1.png"))
        row = label(0, 0, 80, 80) | masked("rle", ELL, 100, 80)
        made = tile(parent(tmp_path / name, {"a b#t=1.png": [row], "a b#t=1.jpg": [label(9, 9, 9, 9)]}))
        assert len(list(made.pictures.iterdir())) == 8
        digests.append((digest_tree(made.folder), digest_tree(made.pictures)))
    assert digests[0] == digests[1]


def test_names_are_of_any_file_systems_letters(tmp_path: Path) -> None:
    names = ["ß 'x'/" + "é" * 120 + ".png", "..png.png", "A.png", "a.png", "x" * 250 + ".png"]
    for number, name in enumerate(names):
        picture(tmp_path / name, 70, 60, number)
    made = tile(parent(tmp_path, dict.fromkeys(names, ())))
    found = [path.name for path in made.pictures.iterdir()]
    assert len(found) == 10 and all(name.isascii() and len(name) < 130 and not name.startswith(".") for name in found)
    assert len({name.lower() for name in found}) == 10
    assert {row.image["group"] for row in by_file(made).values()} == set(names)
