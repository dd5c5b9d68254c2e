"""Size and orientation from the first bytes of a picture, without a decoder.

Only what is plainly well formed is answered; for everything else the answer is None and Pillow is asked, so that both
always agree (tests compare them on mutated files).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

ORIENTATION = 0x0112  # EXIF
SHORT = 3  # EXIF's type of 16-bit numbers
# bytes of one value of each of EXIF's types
UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_ORIENTATION = b"tiff:Orientation"
# texts in which a PNG may carry an orientation
PNG_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive JPEG
SEGMENTS = FRAMES | {0xC4, 0xDB, 0xDD, 0xFE} | frozenset(range(0xE0, 0xF0))
BMP_HEADERS = frozenset({40, 52, 56, 108, 124})
LARGEST = 1 << 31


class Header(NamedTuple):
    """Pixels as stored, and the EXIF orientation, 1 to 8, that turns them as displayed."""

    width: int
    height: int
    orientation: int


def read_header(data: bytes) -> Header | None:
    """The header of a whole JPEG, PNG, GIF, BMP or WebP file; None for any other, or when in doubt. Never raises."""
    parser = _parser(data)
    if parser is None:
        return None
    try:
        found = parser(data)
    except (IndexError, struct.error):
        return None
    return found if found and 0 < found.width < LARGEST and 0 < found.height < LARGEST else None


def orientation_in(exif: bytes) -> int | None:
    """The orientation in EXIF data (a TIFF of one directory): 1 where it says none, None where it is unusual.

    Raises:
        struct.error: the data end before the directory does.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    start, total = struct.unpack_from(order + "I", exif, 4)[0], 0
    for number in range(struct.unpack_from(order + "H", exif, start)[0]):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * number)
        if tag == ORIENTATION:
            valid = value if 1 <= value <= 8 else 1
            return valid if (kind, count) == (SHORT, 1) else None
        if (size := count * UNITS.get(kind, 0)) > 4:
            # Pillow stops at a tag whose value is not in the data
            at = struct.unpack_from(order + "I", exif, start + 10 + 12 * number)[0]
            if (total := total + size) > len(exif) or at + size > len(exif):
                return None
    return 1


def _parser(data: bytes) -> Callable[[bytes], Header | None] | None:
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif
    return _bmp if data.startswith(b"BM") else None


def _jpeg(data: bytes) -> Header | None:
    """Walks the segments up to the first scan: the frame's size, and the orientation in the one EXIF segment."""
    size: tuple[int, int] | None = None
    orientation: int | None = None
    at = 2
    while (marker := data[at + 1]) != 0xDA:
        end = at + 2 + (length := data[at + 2] << 8 | data[at + 3])
        if data[at] != 0xFF or marker not in SEGMENTS or length < 2 or end > len(data):
            return None
        if marker in FRAMES:
            if size or length < 8 or data[at + 4] != 8 or data[at + 9] not in (1, 3, 4):
                return None
            size = data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6]
        elif marker == 0xE1:
            found = _app1(data[at + 4: end])
            if found is None or (found and orientation):
                return None
            orientation = found or orientation
        at = end
    return Header(*size, orientation or 1) if size and data[at] == 0xFF else None


def _app1(segment: bytes) -> int | None:
    """The orientation that an APP1 segment gives, 0 for one that is no EXIF, None when in doubt."""
    if segment.startswith(b"Exif\0\0"):
        return orientation_in(segment[6:])
    return None if segment.startswith(XMP) and XMP_ORIENTATION in segment else 0


def _png(data: bytes) -> Header | None:
    """Walks all chunks. EXIF data after the pixels are for Pillow, which takes them where the pixels are sound."""
    width, height = struct.unpack_from(">II", data, 16)
    if data[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        return None
    orientation: int | None = None
    pixels = False
    at = 33
    while (kind := data[at + 4: at + 8]) != b"IEND":
        end = at + 12 + int.from_bytes(data[at: at + 4], "big")
        if end > len(data) or not kind.isalpha() or (kind in (b"tEXt", b"zTXt", b"iTXt") and
                                                     data[at + 8: end].startswith(PNG_TEXTS)):
            return None
        pixels |= kind == b"IDAT"
        if kind == b"eXIf" and (pixels or orientation or not (orientation := orientation_in(data[at + 8: end - 4]))):
            return None
        at = end
    return Header(width, height, orientation or 1) if pixels else None


def _webp(data: bytes) -> Header | None:
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF, 1)
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1)
    if kind != b"VP8X" or len(data) < 30:
        return None
    orientation = _webp_orientation(data)
    width, height = (int.from_bytes(data[at: at + 3], "little") + 1 for at in (24, 27))
    return Header(width, height, orientation) if orientation else None


def _webp_orientation(data: bytes) -> int | None:
    """From the EXIF chunk of an extended file, if it has one."""
    has_exif, has_xmp = bool(data[20] & 8), bool(data[20] & 4)
    found: int | None = None
    at, stop = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= stop:
        kind, size = data[at: at + 4], int.from_bytes(data[at + 4: at + 8], "little")
        content = data[at + 8: at + 8 + size]
        if kind == b"EXIF":
            if found or not (found := orientation_in(content.removeprefix(b"Exif\0\0"))):
                return None
        elif kind == b"XMP " and has_xmp and XMP_ORIENTATION in content:
            return None
        at += 8 + size + (size & 1)
    return (found or 1) if bool(found) == has_exif else None


def _gif(data: bytes) -> Header | None:
    """The screen, or the first picture where it is larger."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at] == 0x21:
        # Pillow reads on past an extension without content
        at = at + 2 if data[at + 2] else len(data)
        if data[at + 1: at + 12] == b"NETSCAPE2.0" and not data[at + 1 + data[at]]:
            return None
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at] != 0x2C:
        return None
    left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
    return Header(max(width, left + wide), max(height, top + high), 1)


def _bmp(data: bytes) -> Header | None:
    size, width, height = struct.unpack_from("<III", data, 14)
    if size not in BMP_HEADERS:
        return None
    return Header(width, (1 << 32) - height if data[25] == 0xFF else height, 1)
