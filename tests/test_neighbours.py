from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import neighbours
from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree
from tasks.base.params import check
from tasks.data.digits import generate
from tasks.data.near import embedding
from tasks.data.near.finding import SHIFTS
from tasks.data.near.search import NEIGHBOURS
from tasks.data.pictures import SUFFIXES
from tests.data.folders import put
from tests.data.near.scenes import copy, save, table


def run(folder: Path, files: list[str], out: str = "near", **params: Any) -> Path:
    """Folder of what the stage writes."""
    data = table(folder, files, folder / "tables")
    neighbours.run(neighbours.Params.model_validate(params), raw=folder, data=data, out=folder / out,
                   cache=folder / "cache")
    return folder / out


def groups(near: Path) -> list[int]:
    rows = pq.read_table(near / "groups.parquet").to_pydict()
    assert rows["image_id"] == list(range(len(rows["image_id"])))
    return list(rows["near"])


def pairs(near: Path) -> list[tuple[int, int, str]]:
    rows = pq.read_table(near / "pairs.parquet").to_pydict()
    assert all(0.5 <= value <= 1 for value in rows["similarity"])
    return list(zip(rows["a"], rows["b"], rows["kind"], strict=True))


def told(near: Path) -> dict[str, Any]:
    return json.loads((near / "neighbours.json").read_text())


@pytest.fixture
def scenes(tmp_path: Path) -> tuple[Path, list[str]]:
    """Ids: 0 and 1 copies, 2 alone, 3 equal to 0, 4 no picture, 5 a copy of 2 mirrored, 6 empty, 7 empty."""
    save(tmp_path / "a.png", 4)
    copy(tmp_path / "b.jpg", 4, "everything")
    save(tmp_path / "c.png", 7)
    put(tmp_path / "d.png", (tmp_path / "a.png").read_bytes())
    put(tmp_path / "e.jpg", "text")
    copy(tmp_path / "f.jpg", 7, "mirrored")
    put(tmp_path / "g.jpg", "")
    put(tmp_path / "h.jpg", "")
    return tmp_path, ["a.png", "b.jpg", "c.png", "d.png", "e.jpg", "f.jpg", "g.jpg", "h.jpg"]


def test_copies_hang_together(scenes: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    near = run(*scenes)
    assert groups(near) == [0, 0, 2, 0, 4, 5, 6, 7]
    assert pairs(near) == [(0, 1, "near"), (0, 3, "exact")]
    schema = pq.read_schema(near / "pairs.parquet")
    assert [str(field.type) for field in schema] == ["int64", "int64", "float", "string"]
    found = told(near)
    assert found["pairs"] == {"exact": 1, "near": 1, "flipped": 0}
    assert (found["pictures"], found["groups"], found["grouped"], found["largest"]) == (8, 1, 3, 3)
    assert found["unreadable"] == {"count": 3, "first": ["e.jpg", "g.jpg", "h.jpg"]}
    assert [(row["a"], row["b"], row["kind"]) for row in found["first"]] == [("a.png", "b.jpg", "near"),
                                                                          ("a.png", "d.png", "exact")]
    printed = capsys.readouterr().out
    assert "1 exact, 1 near, 0 flipped pairs; 3 of 8 pictures" in printed and "3 pictures could not be read" in printed


def test_mirrored_copies_on_request(scenes: tuple[Path, list[str]]) -> None:
    near = run(*scenes, flips=True)
    assert pairs(near) == [(0, 1, "near"), (0, 3, "exact"), (2, 5, "flipped")]
    assert groups(near) == [0, 0, 2, 0, 4, 2, 6, 7]


def test_off_opens_no_picture(scenes: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "thumbnail", lambda *_: pytest.fail("a picture was opened"))
    near = run(*scenes, method="off", calibrate=True)
    assert groups(near) == [0, 1, 2, 0, 4, 5, 6, 7] and not (scenes[0] / "cache").exists()


def test_the_same_bytes_each_time(scenes: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest_tree(run(*scenes))
    assert digest_tree(run(*scenes, out="again")) == first, "from the cache"
    folder, files = scenes
    data = table(folder, files, folder / "tables")
    neighbours.run(neighbours.Params(), raw=folder, data=data, out=folder / "cold", cache=folder / "new")
    assert digest_tree(folder / "cold") == first
    monkeypatch.setattr(neighbours, "SHOWN", 1)
    assert len(told(run(*scenes, out="short"))["first"]) == 1


def test_a_threshold_of_ones_own(scenes: tuple[Path, list[str]]) -> None:
    value = pq.read_table(run(*scenes) / "pairs.parquet")["similarity"][0].as_py()
    assert (0, 1, "near") in pairs(run(*scenes, threshold=round(value - 0.01, 2)))
    assert (0, 1, "near") not in pairs(run(*scenes, threshold=round(value + 0.01, 2)))


def test_calibrated_on_these_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(run(tmp_path, [save(tmp_path / f"{n}.png", n).name for n in range(6)], calibrate=True))
    assert found["threshold"] == found["calibration"]["threshold"] != neighbours.THRESHOLD
    assert found["calibration"]["recall"] >= 0.9 and found["calibration"]["pictures"] == 6
    assert "planted copies of 6 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(("values", "said"), [
    ({"threshold": 0.3}, "threshold"), ({"threshold": 1.5}, "threshold"), ({"method": "magic"}, "method"),
    ({"flips": True, "method": "backbone"}, "method: descriptor"), ({"thresold": 0.9}, "did you mean 'threshold'")])
def test_bad_parameters(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        check(neighbours.Params, values, "params.yaml: neighbours")


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images\.parquet[\s\S]*dvc repro"):
        neighbours.run(neighbours.Params(), raw=tmp_path, data=tmp_path / "none", out=tmp_path / "near")
    put(tmp_path / "bad/images.parquet", "text")
    with pytest.raises(DataError, match="damaged dataset folder"):
        neighbours.run(neighbours.Params(), raw=tmp_path, data=tmp_path / "bad", out=tmp_path / "near")
    assert not (tmp_path / "near").exists()


def test_no_pictures(tmp_path: Path) -> None:
    near = run(tmp_path, [])
    assert groups(near) == [] and pairs(near) == [] and told(near)["largest"] == 0


def test_a_thousand_equal_pictures(tmp_path: Path) -> None:
    data = save(tmp_path / "0000.png", 4).read_bytes()
    files = [put(tmp_path / f"{number:04d}.png", data).name for number in range(1000)]
    near = run(tmp_path, files)
    assert groups(near) == [0] * 1000
    assert pairs(near) == [(0, number, "exact") for number in range(1, 1000)]


def test_hundreds_of_near_copies_are_one_group(tmp_path: Path) -> None:
    files = [copy(tmp_path / f"{number:03d}.jpg", 4, "encoded", seed=number).name for number in range(120)]
    near = run(tmp_path, files)
    assert groups(near) == [0] * 120
    found = told(near)
    assert found["capped"] == 120 - found["pairs"]["exact"] > 40
    assert found["pairs"]["near"] <= 120 * NEIGHBOURS * (1 + len(SHIFTS)) / 2


def test_pictures_of_one_grey_are_counted(tmp_path: Path) -> None:
    from PIL import Image

    for number, level in enumerate((90, 90, 200)):
        Image.new("L", (40 + number, 40), level).save(tmp_path / f"{number}.png")
    near = run(tmp_path, ["0.png", "1.png", "2.png"])
    assert groups(near) == [0, 1, 2] and told(near)["plain"] == 3


def test_a_killed_run_leaves_nothing_half(scenes: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest_tree(run(*scenes))
    monkeypatch.setattr(neighbours, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(*scenes, flips=True)
    assert digest_tree(scenes[0] / "near") == first
    assert sorted(path.name for path in scenes[0].iterdir() if path.name.startswith(".near")) == []


def real(folder: Path, tmp_path: Path) -> tuple[Path, float, list[str]]:
    """What the stage writes for all pictures below a folder, the CPU seconds it took, and the files."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in SUFFIXES)
    data = table(folder, files, tmp_path / "tables")
    start = time.process_time()
    neighbours.run(neighbours.Params(), raw=folder, data=data, out=tmp_path / "near", cache=tmp_path / "cache")
    return tmp_path / "near", time.process_time() - start, files


def test_blood_cells_seven_pairs_of_one_slide(mirror: Path, tmp_path: Path) -> None:
    near, seconds, files = real(mirror / "datasets/bccd/JPEGImages", tmp_path)
    named = {tuple(files[place][-9:-4] for place in pair[:2]) for pair in pairs(near)}
    assert named == {("00037", "00038"), ("00227", "00260"), ("00229", "00258"), ("00230", "00257"),
                     ("00231", "00256"), ("00382", "00395"), ("00386", "00391")}
    assert seconds < 15


def test_scenes_on_two_photographs_are_no_copies(tmp_path: Path) -> None:
    generate(tmp_path / "digits")
    near, seconds, files = real(tmp_path / "digits", tmp_path)
    assert len(files) == 700 and pairs(near) == [] and seconds < 10


def test_boards_hang_together_by_place_not_by_board(mirror: Path, tmp_path: Path) -> None:
    near, _, files = real(mirror / "datasets/deeppcb_300/group00041", tmp_path)
    found = groups(near)
    places = [Path(file).name[:8] for file in files]
    apart = sum(found[i] != found[i + 1] for i in range(len(files) - 1) if places[i] == places[i + 1])
    assert apart == 0, "a board and its template"
    assert np.bincount(found).max() <= 4, "not the whole board"
