"""Decoded pictures on disk, for sets that do not fit into memory: one mapped file that several processes share.

Every picture has its place in the file, which its number and the sizes in the table give. So nobody has to agree with
anybody: two processes that decode the same picture write the same bytes to the same place. A mark beside it, written
after the pixels, has their checksum; whoever reads a picture for the first time compares it. A process that is killed,
or a machine that loses its power, leaves places without a mark or with a wrong one, and they are decoded again.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from tasks.base.files import digest_value
from tasks.data.table import FULL_DISK

VERSION = 1  # of the code that makes the pixels
MARK = np.dtype("<u8")
PRESENT = 1 << 32  # above the 32 bits of a checksum


def cache_key(digests: Sequence[str], *settings: object) -> str:
    """Names the pixels that are made of these pictures, in this order, by these settings and this decoder."""
    decoders = PIL.__version__, features.version("libjpeg_turbo"), features.version("webp")
    return digest_value([VERSION, decoders, settings, list(digests)])[:32]


class PixelCache:
    """Pictures of known sizes, uint8 [height, width, 3] each.

    Args:
        folder: where the two files are; made when missing.
        key: names what the pixels are made of: the same key must mean the same pixels.
        sizes: height and width of each picture, int [n, 2].
        room: bytes that the file may take; pictures beyond are not kept.
    """

    def __init__(self, folder: Path, key: str, sizes: np.ndarray, room: int) -> None:
        self.sizes = np.asarray(sizes, np.int64).reshape(-1, 2)
        ends = np.cumsum(3 * self.sizes.prod(1))
        self._starts = ends - 3 * self.sizes.prod(1)
        self._kept = int(np.searchsorted(ends, room, side="right"))
        self._paths = folder / f"{key}.pixels", folder / f"{key}.marks"
        self._bytes = int(ends[self._kept - 1]) if self._kept else 0
        self._checked = np.zeros(self._kept, bool)
        self._writable = True
        self._open()

    def _open(self) -> None:
        self._paths[0].parent.mkdir(parents=True, exist_ok=True)
        sizes = self._bytes, self._kept * MARK.itemsize
        self._files = [_sized(path, size) for path, size in zip(self._paths, sizes, strict=True)]
        # shared, so that pixels which another process writes are seen, and nothing is copied
        maps = [mmap.mmap(file, size) if size else b"" for file, size in zip(self._files, sizes, strict=True)]
        self._pixels, self._marks = np.frombuffer(maps[0], np.uint8), np.frombuffer(maps[1], MARK)

    def __getstate__(self) -> dict[str, object]:
        """Another process opens the files anew."""
        opened = ("_files", "_pixels", "_marks")
        return {name: value for name, value in vars(self).items() if name not in opened}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._open()

    def __del__(self) -> None:
        for file in getattr(self, "_files", []):
            os.close(file)

    def get(self, index: int) -> np.ndarray | None:
        """The pixels of a picture, or None where they are not there; not to be written to."""
        if index >= self._kept or not self._marks[index]:
            return None
        height, width = self.sizes[index]
        start = self._starts[index]
        pixels = self._pixels[start: start + 3 * height * width]
        if not self._checked[index]:
            if self._marks[index] != PRESENT | zlib.crc32(pixels.data):
                return None
            self._checked[index] = True
        return pixels.reshape(height, width, 3)

    def put(self, index: int, pixels: np.ndarray) -> None:
        """Keep a picture's pixels, if they have a place and the disk has room."""
        if not self._writable or index >= self._kept or pixels.shape != (*self.sizes[index], 3) or not pixels.size:
            return
        content = np.ascontiguousarray(pixels)
        try:
            _write(self._files[0], content.data.cast("B"), int(self._starts[index]))
            mark = np.array(PRESENT | zlib.crc32(content.data), MARK)
            _write(self._files[1], memoryview(mark.tobytes()), index * MARK.itemsize)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            # by a mapping it would be a signal that ends the process
            self._writable = False
            print("the disk is full: the other pictures are decoded in every epoch")


def _sized(path: Path, size: int) -> int:
    """An open file of that size, without bytes on the disk until they are written."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(file, size)
    return file


def _write(file: int, content: memoryview, at: int) -> None:
    while content:
        written = os.pwrite(file, content, at)
        content, at = content[written:], at + written
