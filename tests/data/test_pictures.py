from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageOps

from tasks.base.errors import DataError
from tasks.data import crew, pictures
from tasks.data.pictures import (
    AHEAD,
    Member,
    find_flaw,
    find_flaws,
    measure,
    measure_all,
    over_pictures,
    read_picture,
)
from tests.data.folders import HEIGHT, WIDTH, photograph, put, save_picture


def bomb(path: Path, side: int = 50_000) -> Path:
    """A PNG of a few bytes whose header asks for 7.5 GB."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return put(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
               + chunk(b"IEND", b""))


def test_pixels_are_rgb_bytes(tmp_path: Path) -> None:
    Image.fromarray(photograph()[:20, :30]).save(tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png")
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, photograph()[:20, :30])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(photograph()[:20, :30]).convert(mode).save(path)
    assert read_picture(path).shape == (20, 30, 3)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = photograph()[:20, :30, 0].astype(np.uint16) << 8
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png")[..., 0], photograph()[:20, :30, 0])


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_orientation_is_applied(tmp_path: Path, orientation: int, turned: bool) -> None:
    path = save_picture(tmp_path / "a.jpg", orientation=orientation)
    shape = (WIDTH, HEIGHT) if turned else (HEIGHT, WIDTH)
    assert read_picture(path).shape[:2] == shape
    found = measure(path)
    assert (found.height, found.width, found.orientation) == (*shape, orientation)
    upright = read_picture(save_picture(tmp_path / "b.jpg")).astype(int)
    back = np.rot90(read_picture(path), {1: 0, 3: 2, 6: 1, 8: 3}[orientation]).astype(int)
    assert np.abs(back - upright).mean() < 1


def test_measured_without_decoding(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "a.jpg")
    found = measure(path)
    assert (found.bytes, found.digest) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert measure(put(tmp_path / "b.jpg", "text")).width == 0


def test_a_sound_picture_has_no_flaw(tmp_path: Path) -> None:
    assert find_flaw(save_picture(tmp_path / "a.jpg")) is None


@pytest.mark.parametrize(("kind", "content"), [
    ("zero_size", b""), ("unreadable", b"this is no picture\n"), ("truncated", b"\xff\xd8\xff\xe0\x00\x10JF"),
    ("unreadable", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")])
def test_flaws_of_files(tmp_path: Path, kind: str, content: bytes) -> None:
    path = put(tmp_path / "a.jpg", content)
    assert (find_flaw(path) or ("",))[0] == kind
    mend = rf"replace or remove the picture; in a line: validate\.{kind}: drop"
    said = rf"picture is {kind.replace('_', ' ')}[\s\S]*a\.jpg[\s\S]*{mend}"
    with pytest.raises(DataError, match=said):
        read_picture(path)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.98])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated(tmp_path: Path, share: float, suffix: str) -> None:
    whole = save_picture(tmp_path / f"whole.{suffix}").read_bytes()
    path = put(tmp_path / f"a.{suffix}", whole[:int(len(whole) * share)])
    assert (find_flaw(path) or ("",))[0] in ("truncated", "unreadable")
    with pytest.raises(DataError):
        read_picture(path)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for side in (50_000, 10_000):
        path = bomb(tmp_path / "a.png", side)
        assert (find_flaw(path) or ("",))[0] == "too_large"
        with pytest.raises(DataError, match="too large"):
            read_picture(path)
    assert measure(path).bytes < 1000


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_the_size_of_a_bomb_is_known(tmp_path: Path, side: int) -> None:
    found = measure(bomb(tmp_path / "a.png", side))
    assert (found.width, found.height) == (side, side)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_every_orientation_is_turned_as_pillow_does(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = save_picture(tmp_path / f"a.{suffix}", orientation=orientation)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    assert np.array_equal(read_picture(path), expected)
    found = measure(path)
    assert (found.height, found.width, found.orientation) == (*expected.shape[:2], orientation)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_data_turn_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(photograph()[:20, :30]).save(path, exif=b"Exif\0\0rubbish, eight bytes and more")
    assert (read_picture(path).shape, measure(path)[:3], find_flaw(path)) == ((20, 30, 3), (30, 20, 1), None)


def test_cmyk_palettes_with_holes_and_first_frames(tmp_path: Path) -> None:
    first, second = (Image.fromarray(photograph()[k: k + 20, :30]) for k in (0, 100))
    first.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    first.convert("P").save(tmp_path / "hole.png", transparency=0)
    for name in ("film.gif", "film.png", "film.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second], lossless=True)
    for path in tmp_path.iterdir():
        pixels = read_picture(path)
        assert (pixels.shape, pixels.dtype) == ((20, 30, 3), np.uint8)
        assert np.abs(pixels.astype(int) - np.asarray(first)).mean() < 20, path.name
        assert find_flaw(path) is None and measure(path)[:2] == (30, 20)


def member_of(folder: Path, path: Path) -> Member:
    content = path.read_bytes()
    put(folder / "shard.zip", b"0" * 100 + content + b"1" * 100)
    return Member(folder / "shard.zip", 100, len(content), path.name)


def test_pictures_inside_archives(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "a.jpg", orientation=6)
    member = member_of(tmp_path, path)
    assert measure(member) == measure(path) == next(measure_all([member]))
    assert np.array_equal(read_picture(member), read_picture(path))
    assert find_flaw(member) is None
    broken = member_of(tmp_path, put(tmp_path / "b.jpg", "no picture"))
    assert find_flaw(broken) == find_flaw(tmp_path / "b.jpg") == ("unreadable", "cannot identify image file 'b.jpg'")
    with pytest.raises(DataError, match="where: .*shard.zip!b.jpg"):
        read_picture(broken)


def test_a_file_too_large_to_hold_is_measured_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_picture(tmp_path / "a.jpg", orientation=6)
    expected = measure(path)
    monkeypatch.setattr(pictures, "WHOLE", 100)
    assert measure(path) == measure(member_of(tmp_path, path)) == expected


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Pictures enough for processes, with names that a pipe must carry."""
    monkeypatch.setattr(pictures, "FEW", 5)
    monkeypatch.setattr(crew, "CHUNKS", {"measure": 3, "find_flaw": 2})
    names = ["a b.jpg", "#t=1.jpg", "'\".jpg", "new\nline.jpg", "é😀.jpg", "x" * 251 + ".jpg",
             os.fsdecode(b"\xff\xfe.jpg"), *(f"{k}.jpg" for k in range(20))]
    return [save_picture(tmp_path / name, number) for number, name in enumerate(names)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_processes_measure_as_one_does(several: list[Path], tmp_path: Path, workers: int) -> None:
    places = [*several, member_of(tmp_path, several[0])]
    assert list(measure_all(iter(places), workers)) == [measure(place) for place in places]


def test_processes_find_the_same_flaws(several: list[Path], tmp_path: Path) -> None:
    places = [*several, put(tmp_path / "b.jpg", "no picture"), put(tmp_path / "c.jpg", b""), bomb(tmp_path / "d.png")]
    assert list(find_flaws(places, 2)) == list(find_flaws(places, 1)) == [find_flaw(place) for place in places]


def test_a_missing_file_is_named_by_a_process(several: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        list(measure_all([*several, tmp_path / "gone.jpg"], 2))


def test_few_pictures_wait_and_no_process_stays(several: list[Path]) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield several[asked % len(several)]

    found = measure_all(endless(), 2)
    taken = [next(found) for _ in range(60)]
    assert len(taken) == 60 and asked <= 60 + 2 * 3 * crew.WAITING + 3
    started = [child for child in psutil.Process().children() if "crew" in " ".join(child.cmdline())]
    assert len(started) == 2
    found.close()
    assert not any(child.is_running() for child in started)


def test_a_decoder_that_crashes_is_told(several: list[Path]) -> None:
    with crew.Worker() as worker:
        assert worker.ask("measure", several[:1])
        worker._process.kill()
        with pytest.raises(DataError, match=r"crashed[\s\S]*a b.jpg"):
            worker.ask("measure", several[:1])


def test_processes_need_no_main_module(several: list[Path], tmp_path: Path) -> None:
    """A script on standard input, without a guard: it is not run again in each process."""
    script = (f"from pathlib import Path\nfrom tasks.data import pictures\npictures.FEW = 5\nprint('once')\n"
              f"print(len(list(pictures.measure_all(sorted(Path({str(tmp_path)!r}).iterdir()), 2))))\n")
    root = Path(pictures.__file__).parents[2]
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["once", str(len(several))] and not done.stderr


def test_results_come_in_order_and_few_wait() -> None:
    asked = 0

    def square(number: int) -> int:
        nonlocal asked
        asked += 1
        return number * number

    found = over_pictures(square, range(1000), threads=1)
    assert next(found) == 0 and asked <= AHEAD + 2
    assert list(found) == [number * number for number in range(1, 1000)]
    assert list(over_pictures(abs, [])) == []
