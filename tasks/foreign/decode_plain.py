"""The families whose boxes are decoded already: DETR, and boxes of any form."""

from __future__ import annotations

from tasks.foreign.decode import Decoded, Misfit, Said, activate, centred, rows, some, without_background
from tasks.foreign.description import Detr, PlainBoxes
from tasks.foreign.emit import Emit, floats, ints


def detr(emit: Emit, how: Detr, said: Said) -> Decoded:
    """One answer a query: class logits, and centre and size as parts of the input."""
    same = PlainBoxes(family="plain-boxes", boxes=how.boxes, scores=how.logits, form="cxcywh", scale="normalised",
                      activation=how.activation, background=how.background)
    return plain_boxes(emit, same, said)


def plain_boxes(emit: Emit, how: PlainBoxes, said: Said) -> Decoded:
    """Boxes of one form and scale, and their scores."""
    boxes, count, width = rows(emit, how.boxes, said, how.layout)
    together = how.scores == how.boxes
    if width < 4 or (width > 4 and not together):
        raise Misfit(f"output {how.boxes!r} has {width} columns, a box has 4", where=said.listed(),
                     mend="name the output with the boxes in decoding.boxes")
    if together:
        first = 5 if how.objectness else 4
        score, columns = emit.columns(boxes, first, max(width, first + 1)), width - first
        some(columns, how.boxes, said)
    else:
        score, columns = _own_scores(emit, how, said, count)
    score, classes = without_background(emit, activate(emit, score, how.activation), columns, how.background)
    if together and how.objectness:
        score = emit("Mul", score, emit.columns(boxes, 4, 5))
    some(classes, how.scores, said)
    return Decoded(_corners(emit, emit.columns(boxes, 0, 4), how, said), score, count, classes)


def _own_scores(emit: Emit, how: PlainBoxes, said: Said, count: int) -> tuple[str, int]:
    score, others, columns = rows(emit, how.scores, said, how.layout)
    if others != count:
        raise Misfit(f"{count} boxes and {others} scores", where=said.listed(),
                     mend="edit decoding.layout, or name the outputs of one another")
    return score, columns


def _corners(emit: Emit, boxes: str, how: PlainBoxes, said: Said) -> str:
    height, width = said.size
    if how.form == "yxyx":
        boxes = emit("Gather", boxes, ints(1, 0, 3, 2), axis=2)
    if how.scale == "normalised":
        boxes = emit("Mul", boxes, floats(width, height, width, height))
    first, second = emit.columns(boxes, 0, 2), emit.columns(boxes, 2, 4)
    if how.form == "cxcywh":
        return centred(emit, first, second)
    # a network may say the second corner before the first: such a box is empty, not of a negative size
    return emit.join([first, emit("Add", first, second) if how.form == "xywh" else emit("Max", first, second)], 2)
