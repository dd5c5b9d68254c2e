"""Inside the graph: what a letterboxed picture shows, stretched over the whole input, as some models were trained.

Our letterbox pads at the right and bottom with one exact grey. Where the last row and the last column of another value
are, there the picture ends; a picture whose own edge is that grey loses nothing but that edge. The boxes go back by the
same two factors, so they are in pixels of the letterboxed input.
"""

from __future__ import annotations

import numpy as np

from tasks.foreign.emit import Emit, floats, ints

SEEN = 1e-3  # half of a grey level is 4e-3 in our normalised pixels


def extent(emit: Emit, pixels: str, grey: float, size: tuple[int, int]) -> str:
    """Width and height in pixels of what `pixels` [1, 3, H, W] shows, as [1, 1, 2].

    Args:
        grey: the padding's value among `pixels`.
    """
    other = emit("Abs", emit("Sub", pixels, floats(grey)))
    sides = []
    for axis, count in ((2, size[1]), (3, size[0])):
        strongest = emit("ReduceMax", other, ints(1, axis), keepdims=0)
        seen = emit("Cast", emit("Greater", strongest, floats(SEEN)), to=1)
        numbered = emit("Mul", seen, np.arange(1, count + 1, dtype=np.float32)[None])
        sides.append(emit("ReduceMax", numbered, ints(1), keepdims=1))
    # a picture that is all grey is as large as one pixel
    return emit.reshape(emit("Max", emit.join(sides, 1), floats(1)), 1, 1, 2)


def stretch(emit: Emit, pixels: str, shown: str, size: tuple[int, int]) -> str:
    """What `pixels` [1, C, H, W] show up to `shown`, scaled bilinearly to the whole of H × W."""
    down, across = np.meshgrid((np.arange(size[0]) + 0.5) / size[0], (np.arange(size[1]) + 0.5) / size[1],
                               indexing="ij")
    middle = (2 * np.stack([across, down], axis=-1)).astype(np.float32)[None]
    share = emit("Div", shown, np.array([[[size[1], size[0]]]], np.float32))
    grid = emit("Sub", emit("Mul", middle, emit.reshape(share, 1, 1, 1, 2)), floats(1))
    return emit("GridSample", pixels, grid, mode="linear", padding_mode="border", align_corners=0)


def unstretch(emit: Emit, boxes: str, shown: str, size: tuple[int, int]) -> str:
    """Boxes [1, A, 4] in pixels of the stretched picture as pixels of the letterboxed one."""
    factor = emit("Div", shown, np.array([[[size[1], size[0]]]], np.float32))
    return emit("Mul", boxes, emit.join([factor, factor], 2))
