from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import BATCH, find_flaw, measure, over_pictures, read_picture
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


def test_results_come_in_order_over_several_batches() -> None:
    assert list(over_pictures(lambda i: i * i, range(BATCH + 5))) == [i * i for i in range(BATCH + 5)]
    assert list(over_pictures(abs, [])) == []
