from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.commands import data
from tasks.base.errors import DataError, ParamsError, UserError
from tasks.data.film import Frames, look, publish_frames
from tasks.data.pictures import measure, read_picture
from tasks.data.store.layout import Store
from tasks.data.table import read_dataset
from tests.runtime.test_video import greys, write_sound, write_video


def scenes(seconds: int = 4, rate: int = 10) -> list[np.ndarray]:
    """Each second another grey, which does not change: a texture keeps the pictures apart."""
    rng = np.random.default_rng(0)
    return [np.clip(60 * (at // rate) + rng.integers(0, 9, (48, 64, 3)), 0, 255).astype(np.uint8)
            for at in range(seconds * rate)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "the clip.mp4", scenes())


@pytest.mark.parametrize(("settings", "numbers"), [
    # a scene lasts ten frames and differs by 60 / 255 from the next
    ({"every": 0}, [0, 10, 20, 30, 39]), ({"every": 0, "change": 0.5}, [0, 30, 39]),
    ({"every": 0.5}, [0, 5, 10, 15, 20, 25, 30, 35, 39]), ({"every": 1.5, "change": 1}, [0, 15, 30, 39]),
    ({"every": 0.5, "most": 3}, [0, 20, 39]), ({"every": 0, "change": 1, "most": 1}, [0])])
def test_frames_by_change_and_by_interval(clip: Path, settings: dict[str, float], numbers: list[int]) -> None:
    film = look(clip, Frames.model_validate(settings))
    assert [number for number, _, _ in film.kept] == numbers
    assert [time for _, time, _ in film.kept] == pytest.approx([number / 10 for number in numbers], abs=0.01)
    assert (film.read, film.flaw) == (40, None) and film.kept[0][2] == "the first frame"


def test_frames_become_a_version(clip: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    version, new, films = publish_frames(store, [clip], Frames(every=0, form="png"), name="street", owner="me",
                                         classes=["car"])
    images = read_dataset(version.folder).images
    assert new and version.ref == "street@1" and version.meta.classes == ["car"]
    assert images["frame"].to_pylist() == [0, 10, 20, 30, 39]
    assert images["time"].to_pylist() == pytest.approx([0, 1, 2, 3, 3.9], abs=0.01)
    assert set(images["group"].to_pylist()) == {films[0].group}
    for number, row in enumerate(images.to_pylist()):
        path = store.pictures / row["file"]
        assert measure(path).digest == row["digest"] and path.parent.name.startswith("the-clip-")
        assert float(read_picture(path).mean()) == pytest.approx(60 * min(number, 3) + 4, abs=4)
    assert json.loads(images["attributes"][1].as_py())["film"]["why"].startswith("changed by 0.23")
    # again, and from elsewhere, it is the version that is there
    other = clip.rename(tmp_path / "renamed.mp4")
    again = publish_frames(store, [other], Frames(every=0, form="png"), name="street", owner="me")
    assert again[:2] == (version, False)
    assert publish_frames(store, [other], Frames(every=0), name="street", owner="me")[0].ref == "street@2"


def test_several_films_are_several_groups(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "b.avi", greys(12), codec="mpeg4")
    store = Store(tmp_path / "store")
    version, _, films = publish_frames(store, [clip, other], Frames(every=0, change=0.5), name="two", owner="me")
    images = read_dataset(version.folder).images
    assert len(films) == 2 and len(set(images["group"].to_pylist())) == 2
    assert images["image_id"].to_pylist() == list(range(images.num_rows))
    with pytest.raises(UserError, match="one film is given twice"):
        publish_frames(store, [clip, clip], Frames(), name="twice", owner="me")


def test_of_a_film_that_breaks_off_what_can_be_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    sound = write_video(tmp_path / "b.mkv", greys(40))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(sound.read_bytes()[:sound.stat().st_size * 6 // 10])
    monkeypatch.setenv("VISIONMILL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("flows.commands.data.film.track", lambda store, version: None)
    monkeypatch.chdir(tmp_path)
    assert data.main(["frames", str(cut), "--name", "cut", "--every", "0.5", "--change", "0.05"]) == 0
    said = capsys.readouterr().out
    version = Store(tmp_path / "store").find("cut")
    frames = read_dataset(version.folder).images["frame"].to_pylist()
    assert "it breaks off: " in said and "what could be read is kept" in said
    assert len(frames) >= 3 and 10 < frames[-1] < 39
    assert list(version.facts["broken_off"]) == ["cut.mkv"]


def test_what_is_no_film_is_told_and_nothing_is_made(clip: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "text.mp4").write_text("no film")
    for path, words in ((tmp_path / "text.mp4", "not a video"), (tmp_path / "gone.mp4", "no such video"),
                        (write_sound(tmp_path / "sound.mp4"), "without frames")):
        with pytest.raises(DataError, match=words):
            publish_frames(store, [clip, path], Frames(), name="a", owner="me")
    assert store.names() == []


@pytest.mark.parametrize("words", [["--change", "2"], ["--every", "-1"], ["--form", "gif"], ["--most", "-3"]])
def test_wrong_settings_are_told(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("VISIONMILL_STORE", str(tmp_path / "store"))
    with pytest.raises(ParamsError, match=words[0].removeprefix("--")):
        data.main(["frames", str(clip), "--name", "a", *words])
