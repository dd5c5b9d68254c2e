"""Whether two pictures show the same: their thumbnails are laid over each other and compared block by block.

The overlay is found by the inverse compositional Lucas-Kanade method (Baker and Matthews, 2004), coarse to fine, for
scale and shift along each axis, with gain and offset of the light. The measure is made for what copies undergo: a
watermark changes a few blocks, another scene before the same background changes most of those that show anything.
"""

from __future__ import annotations

import numpy as np

from tasks.data.near.thumbs import block_sums, box_blur

PAIRS = 256
# pixels of a block, and radius of the blur that is taken away: light falls off slowly, pictures differ in detail
BLOCK, RADIUS = 8, 2
# grey levels of noise: blocks without more detail than this count for little
NOISE = 0.25
# agreement at 16 and 32 pixels below which a pair is given up: 99.8 % of 3,948 planted copies of nine sets that pass in
# the end have more than 0.53 and 0.63
GIVE_UP = (0.45, 0.5)
# scale and shift (in shares of the side) that are looked for; a crop by 5 % needs 1.053 and 0.05
SCALES, SHIFTS, STEP = (0.88, 1.14), (-0.12, 0.12), 0.05
STILL = np.array([1, 0, 1, 0], np.float32)


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two thumbnails agree once laid over each other.

    Args:
        first, second: uint8 [n, SIDE, SIDE], the pairs.

    Returns:
        float32 [n] in -1..1, rounded to four decimals: 1 for the same picture, about 0 for two that have nothing in
        common. Pairs that disagree already at a coarse scale have the value of that scale, less than 0.5.
    """
    parts = [_some(first[i:i + PAIRS], second[i:i + PAIRS]) for i in range(0, len(first), PAIRS)]
    return np.concatenate(parts).round(4) if parts else np.empty(0, np.float32)


def _some(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # from their means, since squares of large numbers leave 32 bits no room for small differences
    a, b = (thumbs - thumbs.mean((1, 2), dtype=np.float32)[:, None, None] for thumbs in (first, second))
    warp = np.tile(STILL, (len(a), 1))
    result = np.empty(len(a), np.float32)
    alive = np.arange(len(a))
    for factor, enough in ((4, GIVE_UP[0]), (2, GIVE_UP[1]), (1, -1.0)):
        small = _pool(a[alive], factor), _pool(b[alive], factor)
        warp = _align(*small, warp, 5, robust=factor < 4)
        warp = _align(*small, warp, 4, robust=True) if factor == 2 else warp
        result[alive] = agreement(small[0], *_warped(small[1], warp), max(BLOCK // factor, 4))
        stay = result[alive] >= enough
        warp, alive = warp[stay], alive[stay]
        if not len(alive):
            break
    return result


def agreement(a: np.ndarray, b: np.ndarray, seen: np.ndarray, block: int) -> np.ndarray:
    """Correlation of two pictures' detail: over blocks, sum of <a, b> by sum of |a| |b|.

    Detail that only one of them has counts by its block alone; divided by |a| |b| of the whole it would outweigh the
    rest, as a watermark does on a clear sky.

    Args:
        a, b: float32 [n, side, side]; `seen` is 1 where both are known, else 0.
        block: side of a block in pixels.
    """
    a, b = (a - box_blur(a, RADIUS)) * seen, (b - box_blur(b, RADIUS)) * seen
    floor = NOISE ** 2 * block_sums(seen, block)
    energy = np.sqrt((block_sums(a * a, block) + floor) * (block_sums(b * b, block) + floor) + 1e-9)
    return block_sums(a * b, block).sum((1, 2)) / energy.sum((1, 2))


def _align(a: np.ndarray, b: np.ndarray, warp: np.ndarray, steps: int, robust: bool) -> np.ndarray:
    """Better scales and shifts [n, 4] (x scale, x shift, y scale, y shift) to lay `b` over `a`, both [n, s, s].

    Args:
        robust: pixels that fit badly at the start, of an overlay perhaps, count for less (weights of Cauchy).
    """
    slopes = _slopes(a)
    target = a.reshape(len(a), -1)
    moved, seen = _flat(_warped(b, warp))
    gap = _relit(moved, target, seen) - target
    weight = seen
    if robust:
        scale = 2.5 * np.median(np.abs(gap), axis=1, keepdims=True) + 2
        weight = seen / (1 + (gap / scale) ** 2)
    inverse = _inverse((slopes * weight[:, None]) @ slopes.transpose(0, 2, 1))
    for _ in range(steps):
        moved, seen = _flat(_warped(b, warp))
        gap = _relit(moved, target, weight * seen) - target
        warp = _composed(warp, (inverse @ (slopes @ (gap * weight)[:, :, None]))[:, :, 0])
    return warp


def _slopes(a: np.ndarray) -> np.ndarray:
    """Derivatives of each pixel by the four parameters: [n, 4, s * s]."""
    side = a.shape[1]
    along_y, along_x = (slope * side for slope in np.gradient(a, axis=(1, 2)))
    place = _places(side)
    columns = (along_x * place, along_x, along_y * place[:, None], along_y)
    return np.stack(columns, axis=1).reshape(len(a), 4, -1)


def _inverse(curvature: np.ndarray) -> np.ndarray:
    # damped, since a picture without detail along an axis says nothing about that axis
    size = np.einsum("nii->ni", curvature)
    return np.linalg.inv(curvature + (size * 1e-2 + 1)[:, :, None] * np.eye(4, dtype=np.float32))


def _composed(warp: np.ndarray, step: np.ndarray) -> np.ndarray:
    """`warp` after the inverse of `step`, kept in `SCALES` and `SHIFTS`."""
    step = step.clip(-STEP, STEP)
    scale = warp[:, 0::2] / (1 + step[:, 0::2])
    shift = warp[:, 1::2] - scale * step[:, 1::2]
    together = np.stack([scale.clip(*SCALES), shift.clip(*SHIFTS)], axis=2)
    return together.reshape(len(warp), 4)


def _relit(moved: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`moved` with the gain and offset that bring it closest to `target`; all [n, pixels]."""
    weighed = moved * weight
    total = weight.sum(1) + 1e-6
    middle, aim = weighed.sum(1) / total, _dot(weight, target) / total
    spread = _dot(weighed, moved) - total * middle ** 2 + 1e-3
    gain = ((_dot(weighed, target) - total * middle * aim) / spread).clip(0.3, 3)
    return moved * gain[:, None] + (aim - middle * gain)[:, None]


def _dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.einsum("np,np->n", x, y)


def _warped(b: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`b` moved, by linear interpolation, and 1 where it reaches, else 0: both [n, s, s]."""
    side = b.shape[1]
    across, seen_x = _interpolation(warp[:, 0], warp[:, 1], side)
    down, seen_y = _interpolation(warp[:, 2], warp[:, 3], side)
    return down @ b @ across.transpose(0, 2, 1), seen_y[:, :, None] * seen_x[:, None, :]


def _interpolation(scale: np.ndarray, shift: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the old samples along one axis for each new one [n, s, s], and which new ones lie inside [n, s]."""
    place = (scale[:, None] * _places(side) + shift[:, None] + np.float32(0.5)) * side - np.float32(0.5)
    inside = ((place >= -0.5) & (place <= side - 0.5)).astype(np.float32)
    nearest = place.clip(0, side - 1)[:, :, None]
    return np.maximum(0, 1 - np.abs(nearest - np.arange(side, dtype=np.float32))), inside


def _places(side: int) -> np.ndarray:
    """Middles of the pixels of an axis, -0.5 to 0.5."""
    return ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)


def _flat(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(array.reshape(len(array), -1) for array in arrays)


def _pool(x: np.ndarray, factor: int) -> np.ndarray:
    return block_sums(x, factor) / np.float32(factor * factor)
