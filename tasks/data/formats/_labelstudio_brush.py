"""Brush strokes of Label Studio: run lengths of the four channels of a picture, packed bit by bit.

32 bits: number of values (4 x width x height, rows first); 5: bits of a value, less 1; 4 x 4: bits of a run's length,
less 1, in four sizes. Then runs: 1 bit (the same value repeated, or values one by one), 2 bits (which size), the
length less 1, the value or values. Defined by `decode` of
https://github.com/thi-ng/umbrella/blob/develop/packages/rle-pack/src/index.ts; the fourth channel is the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.data.pictures import MAX_PIXELS

SIZES = (3, 4, 8, 16)
CHANNELS = 4


def decode_brush(packed: Any, width: int, height: int) -> np.ndarray | None:
    """The mask, bool [height, width]; None where the runs are damaged or do not fill exactly this size."""
    count = CHANNELS * width * height
    if not isinstance(packed, list) or not 0 < count <= CHANNELS * MAX_PIXELS:
        return None
    try:
        bits = _Bits(bytes(packed))
        if bits.read(32) != count:
            return None
        lengths, values = _runs(bits, count)
    except (TypeError, ValueError, EOFError):
        return None
    return np.repeat(np.array(values, bool), np.array(lengths, np.int64)).reshape(height, width)


def encode_brush(mask: np.ndarray) -> list[int]:
    """Bytes of a mask, bool [height, width]."""
    flat = np.asarray(mask, bool).ravel()
    edges = np.r_[0, np.flatnonzero(np.diff(flat)) + 1, len(flat)]
    bits = [f"{CHANNELS * len(flat):032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for start, length in zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True):
        bits += _run(CHANNELS * length, 255 * int(flat[start]))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, count: int) -> int:
        """The next bits as a number.

        Raises:
            EOFError: there are fewer.
        """
        start, self.at = self.at, self.at + count
        if self.at > 8 * len(self.data):
            raise EOFError
        last = (self.at + 7) // 8
        return int.from_bytes(self.data[start // 8:last], "big") >> (8 * last - self.at) & ((1 << count) - 1)


def _runs(bits: _Bits, count: int) -> tuple[list[int], list[bool]]:
    """Lengths in pixels and whether they are inside; raises ValueError where a run is too long."""
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(CHANNELS)]
    lengths, values, at = list[int](), list[bool](), 0
    while at < count:
        repeated = bits.read(1)
        end = at + 1 + bits.read(sizes[bits.read(2)])
        if end > count:
            raise ValueError("a run goes beyond the picture")
        if repeated:
            lengths.append(end // CHANNELS - at // CHANNELS)
            values.append(bits.read(word) > 0)
        else:
            for place in range(at, end):
                value = bits.read(word)
                if place % CHANNELS == CHANNELS - 1:
                    lengths.append(1)
                    values.append(value > 0)
        at = end
    return lengths, values


def _run(length: int, value: int) -> list[str]:
    longest = 1 << SIZES[-1]
    parts = [longest] * (length // longest) + [length % longest] * bool(length % longest)
    found = []
    for part in parts:
        kind = next(kind for kind, size in enumerate(SIZES) if part <= 1 << size)
        found.append(f"1{kind:02b}{part - 1:0{SIZES[kind]}b}{value:08b}")
    return found
