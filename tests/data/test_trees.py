from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_tree
from tasks.data import trees
from tasks.data.catalogue import Wheel, obtain, read_entry
from tasks.data.pictures import read_picture
from tests.data.folders import photograph, put
from tests.data.ops.scenes import save


def carried(folder: Path, size: tuple[int, int] = (500, 420)) -> Path:
    """What the wheel carries, smaller: a picture for each source, with crowns of 20 x 30 pixels."""
    for number, name in enumerate(trees.SOURCES):
        pixels = np.roll(photograph(), 50 * number, axis=1)[:size[1], :size[0]]
        save(folder / f"{name}.png", np.ascontiguousarray(pixels))
        put(folder / f"{name}.xml", xml("Dead" if number % 2 else "Tree", [(0, 0), (300, 200), (395, 100), (480, 390)]))
    put(folder / "LICENSE", "MIT")
    return folder


def xml(name: str, corners: list[tuple[int, int]]) -> str:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + 20}</xmax>"
        f"<ymax>{y + 30}</ymax></bndbox></object>" for x, y in corners)
    return f"<annotation><filename>elsewhere.tif</filename>{objects}</annotation>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw folder of the files in `carried` beside it."""
    folder = tmp_path_factory.mktemp("trees")
    (folder / "made").mkdir()
    trees.arrange(carried(folder / "carried"), folder / "made")
    return folder / "made"


def read(folder: Path, split: str) -> dict[str, list[dict[str, object]]]:
    return json.loads((folder / f"annotations/instances_{split}.json").read_text())


def test_each_picture_is_in_one_split_and_its_tiles_are_a_group(made: Path) -> None:
    groups = {split: {row["group"] for row in read(made, split)["images"]} for split in ("train", "val", "test")}
    assert groups == {split: {name for name, of in trees.SOURCES.items() if of == split} for split in groups}
    for split in groups:
        content = read(made, split)
        assert [c["name"] for c in content["categories"]] == ["tree"]
        assert sorted(str(row["file_name"]) for row in content["images"]) == sorted(
            path.name for path in (made / split).iterdir())
    assert (made / "LICENSE").read_text() == "MIT"


def test_tiles_are_the_pictures_pixels_and_boxes(made: Path) -> None:
    name = "OSBS_029"
    content = read(made, "val")
    assert [row["file_name"] for row in content["images"] if row["group"] == name] == [
        f"{name}_{x:04d}_{y:04d}.png" for x, y in ((0, 0), (100, 0), (0, 20), (100, 20))]
    whole = read_picture(made.parent / f"carried/{name}.png")
    assert (read_picture(made / "val" / f"{name}_0100_0020.png") == whole[20:, 100:]).all()
    assert {row["category_id"] for row in content["annotations"]} == {1} and len(content["images"]) == 8
    boxes = [row["bbox"] for row in content["annotations"] if row["image_id"] == 0]
    assert boxes == [[0, 0, 20, 30], [300, 200, 20, 30]]  # of the crown at 395 a quarter is left: 5 of 20 pixels
    last = [row["bbox"] for row in content["annotations"] if row["image_id"] == 3]
    assert last == [[200, 180, 20, 30], [295, 80, 20, 30], [380, 370, 20, 30]]


def test_made_again_it_is_the_same(made: Path, tmp_path: Path) -> None:
    trees.arrange(made.parent / "carried", tmp_path)
    assert digest_tree(tmp_path) == digest_tree(made)


@pytest.mark.parametrize(("file", "content", "message"), [
    ("OSBS_029.xml", None, "there is no OSBS_029.xml"),
    ("OSBS_029.xml", "<annotation>", "not Pascal VOC"),
    ("OSBS_029.xml", '<!DOCTYPE a [<!ENTITY e "x">]><annotation>&e;</annotation>', "not Pascal VOC"),
    ("OSBS_029.xml", xml("Tree", [(1, 1)]).replace(">21<", ">many<"), "not Pascal VOC"),
    ("SOAP_061.png", None, "picture is unreadable"),
    ("SOAP_061.png", "<html>", "picture is unreadable"),
    ("LICENSE", None, "there is no LICENSE"),
])
def test_what_is_damaged_is_told(tmp_path: Path, file: str, content: str | None, message: str) -> None:
    source = carried(tmp_path / "carried", (60, 50))
    (source / file).unlink()
    if content is not None:
        put(source / file, content)
    (tmp_path / "made").mkdir()
    with pytest.raises(DataError, match=message):
        trees.arrange(source, tmp_path / "made")


def test_the_entry_takes_all_sources_out_of_the_wheel() -> None:
    wheel = next(place for place in read_entry("trees").places if isinstance(place, Wheel))
    from tasks.data.archive import matches

    wanted = [f"{name}{suffix}" for name in trees.SOURCES for suffix in (".png", ".xml")]
    assert all(matches(name, wheel.members) for name in [*wanted, "LICENSE"])
    assert not any(matches(name, wheel.members) for name in ("OSBS_029.tif", "SOAP_031.png", "OSBS_029.csv"))


@pytest.mark.slow
def test_the_real_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = subprocess.run(["pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path / "wheel"),
                            "deepforest==2.1.0"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"pip has no index here: {found.stderr.strip().splitlines()[-1]}")
    (tmp_path / "raw").mkdir()
    try:
        assert obtain("trees", read_entry("trees"), tmp_path / "raw") == "pip download deepforest==2.1.0"
    except UserError as error:
        pytest.fail(str(error))
    counts = {split: (len(content["images"]), len(content["annotations"]))
              for split in ("train", "val", "test") if (content := read(tmp_path / "raw", split))}
    assert counts == {"train": (64, 1126), "val": (2, 98), "test": (16, 574)}
    if PIL.__version__.split(".")[0] == "13":
        assert "made with other versions" not in capsys.readouterr().out
