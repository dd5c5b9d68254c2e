"""From a network's own outputs to boxes xyxy in input pixels and scores in 0..1, as nodes of its graph.

Each family checks the shapes before it writes anything, so that trying one costs nothing and says what does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base.errors import UserError
from tasks.foreign.description import (
    AnchorFreeGrid,
    Classify,
    Decoding,
    DistributionFocal,
    FastestDet,
    FcosRaw,
)
from tasks.foreign.emit import Emit, floats, ints


class Misfit(UserError):
    """A description that does not fit the file; `hint` is shown with it."""


@dataclass(frozen=True)
class Said:
    """What a network says: its outputs' shapes, at an input of `size` (height, width) pixels."""

    outputs: Mapping[str, tuple[int, ...]]
    size: tuple[int, int]

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.outputs:
            raise Misfit(f"no output is called {name!r}", where=self.listed(), mend="edit the description's outputs")
        return self.outputs[name]

    def listed(self) -> str:
        return "outputs: " + ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())


@dataclass(frozen=True)
class Decoded:
    """Names of the decoded values, and how many candidates and classes they have; no boxes for a classifier."""

    boxes: str | None
    scores: str
    candidates: int
    classes: int


def decode(emit: Emit, how: Decoding, said: Said) -> Decoded:
    """Write the nodes that decode.

    Raises:
        Misfit: the outputs are not those of the description; says which and what was expected.
    """
    from tasks.foreign.decode_plain import detr, plain_boxes

    families: dict[str, Callable[[Emit, Any, Said], Decoded]] = {
        "fcos-raw": points, "distribution-focal": points, "anchor-free-grid": anchor_free_grid,
        "fastestdet": fastestdet, "detr": detr, "plain-boxes": plain_boxes, "classify": classify}
    return families[how.family](emit, how, said)


def rows(emit: Emit, name: str, said: Said, layout: str) -> tuple[str, int, int]:
    """An output as [1, A, C]; returns its name, A and C."""
    shape = said.shape(name)
    if len(shape) == 4 and shape[0] == 1:
        flat = emit.reshape(name, 1, shape[1], -1)
        return emit("Transpose", flat, perm=[0, 2, 1]), shape[2] * shape[3], shape[1]
    if len(shape) == 2:
        name, shape = emit.reshape(name, 1, *shape), (1, *shape)
    if len(shape) != 3 or shape[0] != 1:
        raise Misfit(f"output {name!r} is {list(shape)}, expected [1, candidates, columns] or [1, columns, h, w]",
                     where=said.listed(), mend="try another decoding.family, or export without suppression")
    if layout == "columns":
        return emit("Transpose", name, perm=[0, 2, 1]), shape[2], shape[1]
    return name, shape[1], shape[2]


def all_rows(emit: Emit, names: list[str], said: Said, layout: str) -> tuple[str, int, int]:
    """Outputs of several levels, one after the other, as [1, A, C]."""
    found = [rows(emit, name, said, layout) for name in names]
    widths = {width for _, _, width in found}
    if len(widths) > 1:
        raise Misfit(f"{', '.join(names)} have {' and '.join(map(str, sorted(widths)))} columns", where=said.listed(),
                     mend="name outputs of one kind, level by level")
    return emit.join([value for value, _, _ in found], 1), sum(count for _, count, _ in found), widths.pop()


def cells(strides: list[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Column and row float32 [1, A, 2] of every cell, and its stride [1, A, 1]; level by level, row by row."""
    found, steps = [], []
    for stride in strides:
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        down, across = np.divmod(np.arange(height * width), width)
        found.append(np.stack([across, down], axis=1))
        steps.append(np.full((height * width, 1), stride))
    return (np.concatenate(found).astype(np.float32)[None], np.concatenate(steps).astype(np.float32)[None])


def counted(candidates: int, strides: list[int], said: Said) -> tuple[np.ndarray, np.ndarray]:
    """`cells`, if there are as many as candidates."""
    places, steps = cells(strides, said.size)
    if places.shape[1] != candidates:
        raise Misfit(f"{candidates} candidates, while strides {', '.join(map(str, strides))} at {said.size[0]} × "
                     f"{said.size[1]} pixels make {places.shape[1]}", where=said.listed(),
                     mend="edit decoding.strides or the input's size")
    return places, steps


def activate(emit: Emit, value: str, activation: str) -> str:
    """Scores in 0..1 of what the network says."""
    if activation == "softmax":
        return emit("Softmax", value, axis=-1)
    return emit("Sigmoid", value) if activation == "sigmoid" else value


def some(columns: int, of: str, said: Said) -> int:
    """The number of classes, if it is one."""
    if columns < 1:
        raise Misfit(f"{of} leaves no column for a class", where=said.listed(), mend="edit the description's outputs")
    return columns


def centred(emit: Emit, centre: str, size: str) -> str:
    """xyxy [1, A, 4] of centres and sizes [1, A, 2]."""
    half = emit("Mul", size, floats(0.5))
    return emit.join([emit("Sub", centre, half), emit("Add", centre, half)], 2)


def points(emit: Emit, how: FcosRaw | DistributionFocal, said: Said) -> Decoded:
    """Distances from points to the four sides; a distribution's distance is its mean."""
    scores, count, columns = all_rows(emit, how.scores, said, how.layout)
    boxes, others, width = all_rows(emit, how.boxes, said, how.layout)
    wanted = 4 * how.bins if isinstance(how, DistributionFocal) else 4
    both = how.scores == how.boxes
    classes = some(width - wanted if both else columns, ", ".join(how.scores), said)
    if others != count:
        raise Misfit(f"{count} candidates with scores and {others} with boxes", where=said.listed(),
                     mend="name scores and boxes of the same levels, in one order")
    if not both and width != wanted:
        raise Misfit(f"boxes have {width} columns, expected {wanted}", where=said.listed(),
                     mend="edit decoding.bins, or name the other outputs")
    places, steps = counted(count, how.strides, said)
    if both:
        score_at, box_at = (0, classes) if how.first == "scores" else (wanted, 0)
        scores = emit.columns(scores, score_at, score_at + classes)
        boxes = emit.columns(boxes, box_at, box_at + wanted)
    score = _weighed(emit, activate(emit, scores, how.activation), how, said, count)
    distances = emit("Mul", _means(emit, boxes, count, how), steps)
    centre = (places + np.float32(how.offset)) * steps
    corners = [emit("Sub", centre, emit.columns(distances, 0, 2)), emit("Add", centre, emit.columns(distances, 2, 4))]
    return Decoded(emit.join(corners, 2), score, count, classes)


def _weighed(emit: Emit, score: str, how: FcosRaw | DistributionFocal, said: Said, count: int) -> str:
    if not how.quality:
        return score
    quality, others, width = all_rows(emit, how.quality, said, how.layout)
    if (others, width) != (count, 1):
        raise Misfit(f"quality is [1, {others}, {width}], expected [1, {count}, 1]", where=said.listed(),
                     mend="name the output that weighs the scores in decoding.quality, or leave it out")
    return emit("Sqrt", emit("Mul", score, emit("Sigmoid", quality)))


def _means(emit: Emit, boxes: str, count: int, how: FcosRaw | DistributionFocal) -> str:
    if not isinstance(how, DistributionFocal):
        return emit("Relu", boxes)  # a side that lies behind its own point would turn the box inside out
    shares = emit("Softmax", emit.reshape(boxes, 1, 4 * count, how.bins), axis=-1)
    means = emit("MatMul", shares, np.arange(how.bins, dtype=np.float32)[:, None])
    return emit.reshape(means, 1, count, 4)


def anchor_free_grid(emit: Emit, how: AnchorFreeGrid, said: Said) -> Decoded:
    """YOLOX: offsets in cells, sizes as logarithms of strides."""
    value, count, columns = all_rows(emit, how.outputs, said, how.layout)
    classes = some(columns - 5, ", ".join(how.outputs), said)
    places, steps = counted(count, how.strides, said)
    centre = emit("Mul", emit("Add", emit.columns(value, 0, 2), places), steps)
    size = emit("Mul", emit("Exp", emit.columns(value, 2, 4)), steps)
    objectness = activate(emit, emit.columns(value, 4, 5), "sigmoid" if how.activation == "sigmoid" else "none")
    score = activate(emit, emit.columns(value, 5, columns), how.activation)
    return Decoded(centred(emit, centre, size), emit("Mul", objectness, score), count, classes)


def fastestdet(emit: Emit, how: FastestDet, said: Said) -> Decoded:
    """FastestDet: one grid whose pitch follows from its size; sizes are parts of the input."""
    shape = said.shape(how.output)
    if len(shape) != 4:
        raise Misfit(f"output {how.output!r} is {list(shape)}, expected [1, 5 + classes, h, w]", where=said.listed(),
                     mend="this description is for FastestDet alone")
    value, count, columns = rows(emit, how.output, said, "columns")
    classes = some(columns - 5, how.output, said)
    down, across = np.divmod(np.arange(count, dtype=np.float32), shape[3])
    places = np.stack([across, down], axis=1)[None].astype(np.float32)
    pitch = floats(said.size[1] / shape[3], said.size[0] / shape[2])
    centre = emit("Mul", emit("Add", emit("Tanh", emit.columns(value, 1, 3)), places), pitch)
    size = emit("Mul", emit("Sigmoid", emit.columns(value, 3, 5)), floats(said.size[1], said.size[0]))
    objectness = emit("Pow", emit.columns(value, 0, 1), floats(how.power))
    score = emit("Pow", emit.columns(value, 5, columns), floats(1 - how.power))
    if how.best_only:
        best = emit("ReduceMax", score, ints(-1), keepdims=1)
        score = emit("Mul", score, emit("Cast", emit("GreaterOrEqual", score, best), to=1))
    return Decoded(centred(emit, centre, size), emit("Mul", objectness, score), count, classes)


def classify(emit: Emit, how: Classify, said: Said) -> Decoded:
    """A classifier: [1, K], or [1, K, 1, 1] as some exports have it."""
    shape = said.shape(how.output)
    if len(shape) < 2 or shape[0] != 1 or shape[1] != int(np.prod(shape)):
        raise Misfit(f"output {how.output!r} is {list(shape)}, expected [1, classes]", where=said.listed(),
                     mend="name the output with the classes in decoding.output")
    score = activate(emit, emit.reshape(how.output, 1, shape[1]), how.activation)
    score, classes = without_background(emit, score, shape[1], how.background)
    return Decoded(None, score, 1, some(classes, how.output, said))


def without_background(emit: Emit, score: str, columns: int, place: str) -> tuple[str, int]:
    """Scores [..., K] without the column that means "nothing", and K."""
    if place == "none":
        return score, columns
    start = 1 if place == "first" else 0
    return emit.columns(score, start, start + columns - 1), columns - 1
