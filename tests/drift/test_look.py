"""A whole look: planted drift is seen, none is not invented, and what cannot be known is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError, UserError
from tasks.drift.arriving import arrived, state_of
from tasks.drift.asked import find_detector, find_reference
from tasks.drift.look import Look, Settings, look_for_drift
from tasks.drift.predictions import Model
from tasks.drift.words import PREDICTED, QUESTIONS, report, sentence
from tasks.reporting.drift.page import build_page

from .pictures import write_dataset, write_pictures

OLD, NEW = 120, 60


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a split and its pictures, nothing else."""
    folder = tmp_path_factory.mktemp("line")
    write_dataset(folder / "data/split", folder / "data/raw", OLD, np.random.default_rng(0))
    return folder


@pytest.fixture
def look(line: Path) -> Callable[..., Look]:
    def make(folder: Path, model: Model | None = None, **settings: object) -> Look:
        return look_for_drift(folder, find_reference(line), line, Settings(**settings), model)  # type: ignore[arg-type]

    return make


def alarms(look: Look) -> set[str]:
    return {test.name for test in look.tests if test.alarm}


def test_pictures_of_the_same_source_give_no_alarm(look: Callable[..., Look], tmp_path: Path) -> None:
    """Five looks at one in a hundred: three alarms or more would come once in 100,000."""
    verdicts = []
    for seed in range(5):
        write_pictures(tmp_path / str(seed), NEW, np.random.default_rng(10 + seed))
        verdicts.append(look(tmp_path / str(seed)).verdict)
    assert verdicts.count("drift") <= 2
    assert "none seen" in verdicts


def test_brighter_pictures_are_seen_and_the_page_says_so(look: Callable[..., Look], tmp_path: Path) -> None:
    write_pictures(tmp_path / "a/b", NEW, np.random.default_rng(1), light=40)
    found = look(tmp_path)
    assert found.verdict == "drift" and "brightness" in alarms(found)
    assert "brightness is higher" in sentence(found)
    [test] = [test for test in found.tests if test.name == "brightness"]
    assert test.chance.p <= test.threshold <= 0.01 and test.gap and test.gap > 0.5
    page = build_page(found)
    assert "brightness is higher" in page and "<script src" not in page and "http" not in page.replace(
        "http-equiv", "").replace("http://www.w3.org", "")
    assert all(f">{QUESTIONS[name][0]}<" in page for name in found.untested)
    assert found.to_json()["verdict"] == "drift" and "Brightness" in report(found.to_json())


def test_blurred_and_resized_pictures_are_seen(look: Callable[..., Look], tmp_path: Path) -> None:
    write_pictures(tmp_path / "blurred", NEW, np.random.default_rng(1), blur=2)
    assert "sharpness" in alarms(look(tmp_path / "blurred"))
    write_pictures(tmp_path / "large", NEW, np.random.default_rng(1), side=64)
    found = look(tmp_path / "large")
    assert "size" in alarms(found) and found.untested["aspect"].startswith("the same for all")


def test_strangers_among_many_are_seen_and_shown(look: Callable[..., Look], tmp_path: Path) -> None:
    write_pictures(tmp_path / "new", NEW, np.random.default_rng(1))
    rng = np.random.default_rng(5)
    for number in range(NEW // 3):
        stripes = np.tile((np.arange(48) // 6 % 2 * 200).astype(np.uint8), (48, 1)) // 2
        picture = (stripes + rng.integers(0, 60, (48, 48))).astype(np.uint8)
        Image.fromarray(np.roll(picture, int(rng.integers(6)), 1)).save(tmp_path / f"new/s{number}.png")
    found = look(tmp_path / "new")
    assert found.verdict == "drift"
    assert any(one.entry.name.startswith("s") for one in found.strangers)
    assert len(found.strangers) == 12 and found.strangers[0].distance >= found.strangers[-1].distance


@pytest.mark.parametrize("count", [1, 3, 8])
def test_too_few_to_tell_is_no_no(look: Callable[..., Look], tmp_path: Path, count: int) -> None:
    write_pictures(tmp_path, count, np.random.default_rng(2))
    found = look(tmp_path)
    assert found.verdict == "too few" and found.smallest and found.smallest > 1
    assert "Too few to tell" in sentence(found) and "No drift" not in sentence(found)


def test_a_few_very_different_pictures_are_drift_all_the_same(look: Callable[..., Look], tmp_path: Path) -> None:
    write_pictures(tmp_path, 8, np.random.default_rng(2), light=120)
    assert look(tmp_path).verdict == "drift"


def test_an_empty_folder_is_too_few_and_no_folder_is_an_error(look: Callable[..., Look], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".half.png").write_bytes(b"")
    found = look(tmp_path)
    assert found.verdict == "too few" and "no pictures" in sentence(found) and found.arrived.others == 1
    assert set(found.untested) == set(QUESTIONS) and "Too few to tell" in build_page(found)
    with pytest.raises(UserError, match="no folder of pictures"):
        look(tmp_path / "nowhere")


def test_unreadable_pictures_are_listed_and_stop_nothing(look: Callable[..., Look], tmp_path: Path) -> None:
    files = write_pictures(tmp_path, NEW, np.random.default_rng(3))
    files[0].write_bytes(b"")
    files[1].write_text("<script>alert(1)</script>")
    files[2].write_bytes(files[3].read_bytes()[:-200])
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "<b>bad.png").write_bytes(b"x")
    found = look(tmp_path)
    assert {name for name, _ in found.unreadable} == {"0000.png", "0001.png", "0002.png", "gone.jpg", "<b>bad.png"}
    assert all(reason for _, reason in found.unreadable) and found.looked[1] == NEW - 3
    assert "&lt;b&gt;bad.png" in build_page(found) and "<b>bad.png" not in build_page(found)


def test_a_burst_counts_once(look: Callable[..., Look], tmp_path: Path) -> None:
    """Sixty frames of one scene are one observation; taken as sixty they would be drift."""
    [scene] = write_pictures(tmp_path, 1, np.random.default_rng(4))
    pixels = np.asarray(Image.open(scene)).astype(int)
    for frame in range(59):
        noise = np.random.default_rng(frame).integers(-3, 4, pixels.shape)
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(tmp_path / f"f{frame}.png")
    found = look(tmp_path)
    assert found.counted[1] < 5 and found.looked[1] == 60 and found.verdict == "too few"


def test_pictures_of_the_dataset_itself_are_left_out(look: Callable[..., Look], line: Path, tmp_path: Path) -> None:
    found = look(line / "data/raw")
    assert found.copies == OLD and found.verdict == "too few" and "in the dataset already" in sentence(found)
    inside = line / "data/raw/incoming"
    shutil.copytree(line / "data/raw", tmp_path / "copies")
    try:
        write_pictures(inside, NEW, np.random.default_rng(6), light=60)
        shutil.copytree(tmp_path / "copies", inside / "again")
        found = look(inside)
    finally:
        shutil.rmtree(inside)
    assert found.copies == OLD and found.counted[1] == NEW and found.verdict == "drift"


def test_predictions_are_compared_with_held_out_pictures(look: Callable[..., Look], line: Path, quarters: Path,
                                                         tmp_path: Path) -> None:
    write_pictures(tmp_path, NEW, np.random.default_rng(7), light=60)
    found = look(tmp_path, Model(quarters, "quarters", line))
    held = {"val", "test"}
    assert found.held == (sum(1 for split in found.reference.images["split"].to_pylist() if split in held), NEW)
    assert {"scores", "boxes", "classes"} & {test.name for test in found.tests}
    assert "scores" in alarms(found) and found.classes == ["red", "green"]
    assert "held out" in build_page(found)


def test_without_a_model_or_held_out_pictures_it_is_said(look: Callable[..., Look], line: Path, quarters: Path,
                                                         tmp_path: Path) -> None:
    write_pictures(tmp_path / "new", NEW, np.random.default_rng(8))
    found = look(tmp_path / "new")
    assert {found.untested[name] for name in PREDICTED} == {"there is no model yet"}
    assert find_detector(line)[0] is None and find_detector(line, "none")[1] == "no model was asked for"
    write_dataset(tmp_path / "split", tmp_path / "raw", 30, np.random.default_rng(9), held=0)
    reference = find_reference(line, str(tmp_path / "split"), tmp_path / "raw")
    found = look_for_drift(tmp_path / "new", reference, tmp_path, Settings(), Model(quarters, "q", tmp_path))
    assert all("did not learn from" in found.untested[name] for name in PREDICTED)


def test_a_reference_that_was_not_pulled_says_how(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data/split", tmp_path / "data/raw", 20, np.random.default_rng(0))
    shutil.rmtree(tmp_path / "data/raw")
    write_pictures(tmp_path / "new", 10, np.random.default_rng(1))
    with pytest.raises(DataError, match="cannot be read") as told:
        look_for_drift(tmp_path / "new", find_reference(tmp_path), tmp_path, Settings())
    assert "dvc pull" in str(told.value.mend)
    with pytest.raises(DataError, match="no dataset to compare with"):
        find_reference(tmp_path / "new")


def test_many_pictures_are_drawn_by_the_seed_and_measured_once(look: Callable[..., Look], line: Path, tmp_path: Path
                                                               ) -> None:
    write_pictures(tmp_path, NEW, np.random.default_rng(3))
    first = look(tmp_path, arrived=20, reference=50)
    kept = sorted((line / ".visionmill/drift").rglob("*.npz"))
    assert first.looked == (50, 20) and first.arrived.found == NEW and kept
    times = [path.stat().st_mtime_ns for path in kept]
    again = look(tmp_path, arrived=20, reference=50)
    assert again.to_json() == first.to_json()
    assert [path.stat().st_mtime_ns for path in kept] == times
    kept[0].write_bytes(b"torn")
    assert look(tmp_path, arrived=20, reference=50).to_json() == first.to_json()


def test_whether_anything_arrived_is_known_without_reading(tmp_path: Path) -> None:
    files = write_pictures(tmp_path, 3, np.random.default_rng(0))
    before = state_of(tmp_path)
    assert state_of(tmp_path) == before
    (tmp_path / "note.txt").write_text("x")
    assert state_of(tmp_path) == before
    files[0].write_bytes(b"other")
    assert state_of(tmp_path) != before
    assert arrived(tmp_path, 10, 0).found == 3
