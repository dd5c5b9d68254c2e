"""Videos in and out: time stamps, turned and broken ones, and what is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.runtime.video import Video, writing


def write_video(path: Path, pictures: list[np.ndarray], rate: int = 10, codec: str = "libx264",
                options: dict[str, str] | None = None, turned: int = 0) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "5"})
        stream.height, stream.width = pictures[0].shape[:2] if pictures else (48, 64)
        stream.pix_fmt = "yuv420p"
        if turned:
            stream.set_display_rotation(turned)
        container.start_encoding()
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if pictures:
            container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def greys(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Frame i is of grey level 6 i, with a texture that takes bytes."""
    rng = np.random.default_rng(0)
    return [np.clip(6 * i + rng.integers(-8, 9, (*size, 3)), 0, 255).astype(np.uint8) for i in range(count)]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"),
                                             ("a.webm", "libvpx-vp9")])
@pytest.mark.parametrize("every", [1, 7])
def test_frames_come_in_order_with_their_times(tmp_path: Path, name: str, codec: str, every: int) -> None:
    video = Video(write_video(tmp_path / name, greys(30), codec=codec))
    frames = list(video.frames(every))
    assert [frame.number for frame in frames] == list(range(0, 30, every))
    assert [frame.time for frame in frames] == pytest.approx([0.1 * n for n in range(0, 30, every)], abs=0.002)
    assert all(abs(float(frame.picture.mean()) - max(6 * frame.number, 3)) < 6 for frame in frames)
    assert frames[0].picture.shape == (48, 64, 3)
    assert (video.read, video.flaw, video.facts.about) == (30, None, 30)


def test_a_video_may_be_read_twice(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", greys(8)))
    assert [len(list(video.frames())), len(list(video.frames(3))), video.read] == [8, 3, 8]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_a_phones_video_is_upright(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    """Turned counterclockwise by 90 degrees, what is top left comes to lie bottom left."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    frame = next(Video(write_video(tmp_path / "a.mp4", [picture] * 2, turned=degrees)).frames())
    assert frame.picture.shape == ((64, 48, 3) if degrees != 180 else (48, 64, 3))
    row, column = (5 if at == 0 else -6 for at in corner)
    assert frame.picture[row, column].min() > 200
    assert (frame.picture[[5, 5, -6, -6], [5, -6, 5, -6]].mean(axis=1) > 128).sum() == 1


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("a.mkv", "libx264", {}), ("a.avi", "mpeg4", {}), ("a.mp4", "libx264", {"movflags": "faststart"})])
def test_of_a_broken_off_video_what_is_there_is_read(tmp_path: Path, name: str, codec: str,
                                                     options: dict[str, str]) -> None:
    whole = write_video(tmp_path / name, greys(40), codec=codec, options=options).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 6 // 10])
    video = Video(tmp_path / name)
    frames = list(video.frames())
    assert 4 <= len(frames) < 36
    assert video.read == len(frames)
    assert video.flaw is not None
    assert " s of " in video.flaw or "announces" in video.flaw


def test_damage_in_the_middle_is_told_and_passed(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", greys(40))
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle:middle + len(content) // 10] = bytes(len(content) // 10)
    file.write_bytes(content)
    video = Video(file)
    numbers = [frame.number for frame in video.frames()]
    assert 20 < len(numbers) < 40
    assert video.flaw is not None
    assert "cannot be decoded" in video.flaw


@pytest.mark.parametrize(("content", "words"), [
    (b"hello\n" * 100, "not a video"), (b"", "not a video"),
    (b"#EXTM3U\n#EXTINF:10,\nother.mp4\n", "not a video")])
def test_a_text_called_mp4_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    """A playlist too, which FFmpeg would follow to other files."""
    write_video(tmp_path / "other.mp4", greys(3))
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=words):
        Video(tmp_path / "a.mp4")


def test_a_video_whose_index_is_cut_off_is_told(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", greys(20))
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(DataError, match="broken off before its index"):
        Video(file)


def test_videos_without_frames_are_told(tmp_path: Path) -> None:
    for file in (write_video(tmp_path / "empty.mp4", []), write_sound(tmp_path / "sound.mp4"),
                 write_video(tmp_path / "empty.avi", [], codec="mpeg4")):
        with pytest.raises(DataError, match="without frames"):
            Video(file)


def test_a_missing_video_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such video"):
        Video(tmp_path / "a.mp4")


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_what_is_written_is_read_again(tmp_path: Path, size: tuple[int, int]) -> None:
    times = [0.0, 0.1, 0.5, 0.52, 1.7]
    with writing(tmp_path / "out.mp4", Fraction(10)) as write:
        for number, time in enumerate(times):
            write(np.full((*size, 3), 40 * number + 20, np.uint8), time)
    frames = list(Video(tmp_path / "out.mp4").frames())
    assert [frame.time for frame in frames] == pytest.approx(times, abs=0.001)
    assert [frame.picture.mean() for frame in frames] == pytest.approx([20, 60, 100, 140, 180], abs=3)
    assert frames[0].picture.shape == (48, 64, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_frame_of_another_size_is_scaled(tmp_path: Path) -> None:
    with writing(tmp_path / "out.mp4", Fraction(10)) as write:
        write(np.zeros((48, 64, 3), np.uint8), 0.0)
        write(np.full((96, 128, 3), 200, np.uint8), 0.0)  # and at the same time
    assert [frame.picture.shape for frame in Video(tmp_path / "out.mp4").frames()] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("frames", [0, 3])
def test_what_fails_leaves_the_old_file(tmp_path: Path, frames: int) -> None:
    (tmp_path / "out.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError), writing(tmp_path / "out.mp4", Fraction(10)) as write:  # noqa: PT012
        for number in range(frames):
            write(np.zeros((48, 64, 3), np.uint8), number / 10)
        raise RuntimeError
    assert (tmp_path / "out.mp4").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
