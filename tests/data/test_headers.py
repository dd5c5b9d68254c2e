"""Headers read without a decoder: what Pillow says of the same bytes, or nothing."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tasks.data.headers import read_header
from tasks.data.pictures import _header
from tests.data.folders import photograph

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged EXIF data
WIDTH, HEIGHT = 31, 22
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x010F] = "a camera"
    data[0x0112] = orientation
    return data.tobytes()


def coded(form: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    parts = [Image.fromarray(photograph()[k: k + HEIGHT, :WIDTH]).convert(mode) for k in range(frames)]
    out = io.BytesIO()
    more: dict[str, Any] = {"save_all": True, "append_images": parts[1:]} if frames > 1 else {}
    parts[0].save(out, form, **more, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(at_end: bytes, frames: int = 1) -> bytes:
    return coded("PNG", frames=frames)[:-12] + at_end + chunk(b"IEND", b"")


def texts(**of: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, text in of.items():
        info.add_text(key, text)
    return info


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_with(*segments: bytes) -> bytes:
    whole = coded("JPEG")
    return whole[:2] + b"".join(segments) + whole[2:]


@cache
def plain() -> dict[str, bytes]:
    """Files that need no decoder."""
    made = {
        "jpeg": coded("JPEG"), "progressive": coded("JPEG", progressive=True), "grey": coded("JPEG", "L"),
        "cmyk": coded("JPEG", "CMYK"), "mpo": coded("MPO", frames=2), "comment": coded("JPEG", comment=b"hello"),
        "xmp": coded("JPEG", xmp=b"<x/>"), "profile": coded("JPEG", icc_profile=b"0" * 70_000),
        "png": coded("PNG"), "palette": coded("PNG", "P"), "clear palette": coded("PNG", "P", transparency=3),
        "bits": coded("PNG", "1"), "alpha": coded("PNG", "RGBA"), "deep": coded("PNG", "I;16"),
        "apng": coded("PNG", frames=3), "text": coded("PNG", pnginfo=texts(Title="a")),
        "gif": coded("GIF"), "frames": coded("GIF", frames=3, loop=0), "gif comment": coded("GIF", comment=b"x" * 300),
        "bmp": coded("BMP"), "bmp 8": coded("BMP", "P"), "bmp 1": coded("BMP", "1"), "bmp 32": coded("BMP", "RGBA"),
        "webp": coded("WEBP"), "lossless": coded("WEBP", lossless=True), "webp alpha": coded("WEBP", "RGBA"),
        "animated": coded("WEBP", frames=3), "webp xmp": coded("WEBP", xmp=b"<x/>"),
    }
    for k in range(1, 9):
        made |= {f"{form} {k}": coded(form, exif=exif(k)) for form in ("JPEG", "PNG", "WEBP")}
    return made


@cache
def unusual() -> dict[str, bytes]:
    """Files that Pillow must be asked about."""
    down = bytearray(coded("BMP"))
    down[14:18] = struct.pack("<I", 64)
    wide = bytearray(coded("GIF"))
    wide[6:10] = struct.pack("<HH", 5, 5)
    tag = struct.pack("<HHIHH", 0x0112, 3, 2, 6, 3)
    two = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + b"\0\0\0\0"
    return {
        "jpeg xmp": coded("JPEG", xmp=XMP), "webp xmp": coded("WEBP", xmp=XMP),
        "two exifs": jpeg_with(segment(0xE1, exif(6)), segment(0xE1, exif(8))),
        "two numbers": jpeg_with(segment(0xE1, two)), "odd exif": jpeg_with(segment(0xE1, b"Exif\0\0rubbish")),
        "junk": jpeg_with(b"\0\0\0"), "padding": jpeg_with(b"\xff\xff"), "restart": jpeg_with(b"\xff\xd0"),
        "raw profile": coded("PNG", pnginfo=texts(**{"Raw profile type exif": f"\nexif\n8\n{exif(6).hex()}\n"})),
        "png xmp": coded("PNG", pnginfo=texts(**{"XML:com.adobe.xmp": XMP.decode()})),
        "late exif": png_with(chunk(b"eXIf", exif(8)[6:])),
        "exif of another frame": png_with(chunk(b"eXIf", exif(8)[6:]), frames=2),
        "os/2": bytes(down), "larger frame": bytes(wide), "tiff": coded("TIFF", exif=exif(6)), "ppm": coded("PPM"),
        "gif without": coded("GIF")[:13] + b"!\xff\0" + coded("GIF")[13:],
    }


def upside_down() -> bytes:
    whole = bytearray(coded("BMP"))
    whole[22:26] = struct.pack("<i", -HEIGHT)
    return bytes(whole)


def pillow(data: bytes) -> tuple[int, int, int] | None:
    found = _header(io.BytesIO(data))
    return found if found[0] else None


@pytest.mark.parametrize("name", sorted(plain()))
def test_plain_files_need_no_decoder(name: str) -> None:
    found = read_header(plain()[name])
    assert found == pillow(plain()[name])
    turn = name.split()[-1]
    assert found == (WIDTH, HEIGHT, int(turn) if turn.isdigit() and name[0].isupper() else found[2])


def test_a_bitmap_from_the_top_down() -> None:
    assert read_header(upside_down()) == (WIDTH, HEIGHT, 1) == pillow(upside_down())


@pytest.mark.parametrize("name", sorted(unusual()))
def test_of_unusual_files_nothing_else_is_said(name: str) -> None:
    assert read_header(unusual()[name]) in (None, pillow(unusual()[name]))


@pytest.mark.parametrize("name", sorted(plain()))
def test_cut_anywhere(name: str) -> None:
    whole = plain()[name]
    for length in [*range(min(len(whole), 200)), *range(200, len(whole), 97)]:
        _agree(whole[:length])


STARTS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBPVP8X",
          b"RIFF\0\0\0\0WEBPVP8L", b""]
ORIGINALS = st.sampled_from([*plain().values(), *unusual().values(), upside_down()])
EDITS = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.sampled_from(["over", "in", "out"])),
                 min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@given(whole=ORIGINALS, edits=EDITS)
def test_mutated_files(whole: bytes, edits: list[tuple[int, bytes, str]]) -> None:
    _mutated(whole, edits)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@given(whole=ORIGINALS, edits=EDITS)
def test_mutated_files_at_length(whole: bytes, edits: list[tuple[int, bytes, str]]) -> None:
    _mutated(whole, edits)


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_any_bytes(start: bytes, rest: bytes) -> None:
    _agree(start + rest)


def _mutated(whole: bytes, edits: list[tuple[int, bytes, str]]) -> None:
    data = bytearray(whole)
    for at, content, how in edits:
        at = min(at, len(data))
        data[at: at + (0 if how == "in" else len(content))] = b"" if how == "out" else content
    _agree(bytes(data))


def _agree(data: bytes) -> None:
    found, said = read_header(data), pillow(data)
    assert found is None or said is None or found == said
