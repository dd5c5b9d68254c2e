"""The outline of a mask as polygons of few corners, none of which leaves the mask's edge by more than stated."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1.0  # pixels
LEAST = 0.02  # of the largest piece; what is smaller is a speckle of the network
FEW = 4  # pixels; nor is less than that a piece


def outlines(mask: np.ndarray, tolerance: float = TOLERANCE, least: float = LEAST) -> list[list[float]]:
    """Polygons [x1, y1, x2, y2, …] in pixels, the largest piece first; pixel (0, 0) covers 0..1.

    Pieces are connected by edges. Holes are filled: the table's polygons of one object are added up. No ring crosses
    itself, and every corner of the exact edge lies within `tolerance` of the ring.

    Args:
        mask: bool [H, W].
        tolerance: pixels; 0 keeps the exact edge.
        least: share of the largest piece from which a piece is kept.
    """
    from scipy import ndimage

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top:rows[-1] + 1, left:columns[-1] + 1]
    labels, count = ndimage.label(inside)
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)[1:]
    kept = [piece for piece in np.argsort(-sizes, kind="stable") if sizes[piece] >= max(FEW, least * sizes.max())]
    slices = ndimage.find_objects(labels)
    found = []
    for piece in kept:
        y, x = slices[piece]
        edge = trace(ndimage.binary_fill_holes(labels[y, x] == piece + 1))
        ring = simplify(edge, tolerance) + np.array([left + x.start, top + y.start])
        found.append([float(value) for value in ring.reshape(-1)])
    return found


def trace(piece: np.ndarray) -> np.ndarray:
    """The edge of one piece without holes, connected by edges: its corners, float64 [n, 2] x y, clockwise on screen."""
    ring = np.pad(piece, 1)
    height, width = piece.shape
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    inside = ring[1:-1, 1:-1]
    for beside, start, step in ((ring[:-2, 1:-1], (0, 0), (1, 0)), (ring[1:-1, 2:], (1, 0), (0, 1)),
                                (ring[2:, 1:-1], (1, 1), (-1, 0)), (ring[1:-1, :-2], (0, 1), (0, -1))):
        ys, xs = np.nonzero(inside & ~beside)
        for x, y in zip((xs + start[0]).tolist(), (ys + start[1]).tolist(), strict=True):
            follow[x, y] = (x + step[0], y + step[1])
    # no vertex has two edges that begin there: where two pixels of the piece touch at a corner alone, the piece goes
    # around one of the two pixels beside, which then is a hole, and holes are filled
    first = min(follow, key=lambda point: (point[1], point[0]))
    points, at = [first], follow[first]
    while at != first:
        points.append(at)
        at = follow[at]
    edge = np.array(points, float)
    turned = np.any(np.roll(edge, -1, axis=0) - edge != edge - np.roll(edge, 1, axis=0), axis=1)
    return edge[turned]


def simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed ring of fewer corners (Douglas and Peucker 1973), split where it is widest.

    A tolerance that makes the ring cross itself or fall flat is halved, down to the ring as it was.

    Args:
        ring: float64 [n, 2].
        tolerance: pixels; each corner that is left out lies within it of the side that takes its place.
    """
    while tolerance >= 0.25 and len(ring) > 4:
        kept = ring[_kept(ring, tolerance)]
        if len(kept) >= 3 and _area(kept) > 0 and not crosses(kept):
            return kept
        tolerance /= 2
    return ring


def crosses(ring: np.ndarray) -> bool:
    """Whether two sides of a ring that are not neighbours meet."""
    a, b = ring, np.roll(ring, -1, axis=0)
    count = len(ring)
    i, j = np.triu_indices(count, 2)
    apart = ~((i == 0) & (j == count - 1))
    i, j = i[apart], j[apart]
    one, two = _side(a[i], b[i], a[j]), _side(a[i], b[i], b[j])
    three, four = _side(a[j], b[j], a[i]), _side(a[j], b[j], b[i])
    across = (one * two <= 0) & (three * four <= 0)
    near = np.all((np.minimum(a[i], b[i]) <= np.maximum(a[j], b[j])) &
                  (np.minimum(a[j], b[j]) <= np.maximum(a[i], b[i])), axis=1)
    return bool(np.any(across & near))


def _kept(ring: np.ndarray, tolerance: float) -> np.ndarray:
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(ring), bool)
    keep[[0, far]] = True
    open_parts = [(0, far), (far, len(ring))]
    while open_parts:
        start, end = open_parts.pop()
        if end - start < 2:
            continue
        away = _distance(closed[start + 1:end], closed[start], closed[end])
        worst = int(np.argmax(away))
        if away[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            open_parts += [(start, middle), (middle, end)]
    return keep


def _distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From points to the segment a b."""
    along = b - a
    length = float(along @ along)
    share = ((points - a) @ along / length).clip(0, 1) if length else np.zeros(len(points))
    return np.sqrt(((points - a - share[:, None] * along) ** 2).sum(axis=1))


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    return np.sign((b[:, 0] - a[:, 0]) * (point[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (point[:, 0] - a[:, 0]))
