"""`visionmill predict` on videos: drawn videos, rows with times, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows import cli
from tasks.base.errors import UserError
from tasks.predict import run_predict
from tasks.runtime.video import Video
from tasks.seeing.options import Options

from .quarters import coloured, write_picture
from .runtime.test_video import greys, write_sound, write_video


def test_a_video_becomes_a_drawn_video_and_rows_with_times(quarters: Path, tmp_path: Path) -> None:
    pictures = [coloured(*([0] if number < 6 else [None, 1])) for number in range(12)]
    file = write_video(tmp_path / "clip.mkv", pictures)
    still = write_picture(tmp_path / "still.png", pictures[0])
    said = run_predict([tmp_path], tmp_path / "out", str(quarters), Options(every=2))
    video = said["videos"][str(file)]
    assert [(f["frame"], f["time"]) for f in video["frames"]] == [(n, pytest.approx(n / 10)) for n in range(0, 12, 2)]
    assert [[r["class"] for r in f["detections"]] for f in video["frames"]] == [["red"]] * 3 + [["green"]] * 3
    assert (video["read"], video["every"], video["rate"]) == (12, 2, 10)
    assert "flaw" not in video
    assert list(said["pictures"]) == [str(still)]
    drawn = list(Video(tmp_path / "out/clip.mp4").frames())
    assert [frame.time for frame in drawn] == pytest.approx([0.2 * n for n in range(6)], abs=0.001)
    # the frame of the box is drawn in its class's colour
    assert np.abs(drawn[0].picture[31, 20].astype(int) - pictures[0][31, 20]).max() > 60
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip.mp4", "predictions.json", "still.png"]


def test_of_a_broken_off_video_what_was_read_is_kept_and_said(quarters: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    file = write_video(tmp_path / "clip.mkv", greys(40))
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    assert cli.main(["predict", str(file), "--out", str(tmp_path / "out"), "--model", str(quarters)]) == 0
    told = capsys.readouterr()
    assert "warning: " in told.err
    assert "what could be read is kept" in told.err
    video = json.loads((tmp_path / "out/predictions.json").read_text())["videos"][str(file)]
    assert 0 < len(video["frames"]) == video["read"] < 40
    assert " s of " in video["flaw"]
    assert len(list(Video(tmp_path / "out/clip.mp4").frames())) == video["read"]


@pytest.mark.parametrize(("kind", "words"), [("text", "not a video"), ("empty", "without frames"),
                                             ("sound", "without frames")])
def test_what_is_no_video_is_told_before_anything_is_made(quarters: Path, tmp_path: Path, kind: str, words: str,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in/clip.mp4"
    file.parent.mkdir()
    if kind == "text":
        file.write_text("hello\n" * 50)
    else:
        _ = write_video(file, []) if kind == "empty" else write_sound(file)
    good = write_picture(tmp_path / "in/a.png", coloured(0))
    asked = ["predict", str(good), str(file), "--out", str(tmp_path / "out"), "--model", str(quarters)]
    assert cli.main(asked) == 2
    told = capsys.readouterr().err
    assert words in told
    assert str(file) in told
    assert not (tmp_path / "out").exists()


def test_a_videos_original_is_never_replaced(quarters: Path, tmp_path: Path) -> None:
    file = write_video(tmp_path / "clip.mp4", greys(3))
    before = file.read_bytes()
    with pytest.raises(UserError, match="replace the original"):
        run_predict([file], tmp_path, str(quarters))
    assert file.read_bytes() == before
