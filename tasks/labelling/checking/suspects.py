"""Places where labels are probably wrong: ObjectLab's scores by calibrated predictions, worst first, each once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.base.params import Params
from tasks.data.table import Dataset
from tasks.labels.calibration import Calibration, calibrate, right_boxes
from tasks.labels.columns import boxes_of, iou_of, together
from tasks.labels.difficulty import rate
from tasks.labels.errors import BADLY, BOXES, KINDS, OVERLOOKED, SWAPPED, Found, label_errors
from tasks.labels.errors import Settings as Constants
from tasks.metrics.detections import Boxes

# a place: what `BOXES` says, and the box of the prediction that speaks against the label, null without one
PREDICTED = ("px", "py", "pw", "ph")
PLACES = pa.schema([*BOXES, *(pa.field(name, pa.float64()) for name in PREDICTED)])
SURE = (0.5, 0.95)
APART = 0.1  # a label and a prediction that overlap less are of two objects
SAME = 0.5  # two predictions that overlap by as much speak of one object


class Settings(Params):
    """What counts as suspicious.

    Attributes:
        below: places whose quality is below it are listed.
        sure: a prediction speaks against labels from this probability on; null: from the median of those that the
            labels agree with, but 0.5 at least and 0.95 at most. Wrong labels keep every probability down: where a
            tenth of the labels is wrong, no prediction can be right more often than nine times in ten.
    """

    below: float = Field(default=0.5, ge=0, le=1, description="places whose quality is below it are listed")
    sure: float | None = Field(default=None, ge=0, le=1, description="probability from which a prediction speaks "
                               "against labels")


@dataclass(frozen=True)
class Suspects:
    """What was found.

    Attributes:
        places: in the form of `PLACES`, worst first.
        pictures: all pictures that were looked at, in the form of `PICTURES`, worst first.
        sure: the probability from which predictions spoke against labels.
        usual: the median probability of the predictions that the labels agree with; 0 without one.
        calibration: from the score to the probability, learnt from the labels themselves.
    """

    places: pa.Table
    pictures: pa.Table
    sure: float
    usual: float
    calibration: Calibration

    def counts(self) -> dict[str, int]:
        """Places of each kind."""
        kinds = self.places["kind"].to_pylist()
        return {kind: kinds.count(kind) for kind in KINDS}


def find_suspects(dataset: Dataset, predictions: pa.Table, settings: Settings | None = None,
                  spoken: np.ndarray | None = None) -> Suspects:
    """Compare labels with the predictions of a model that has not seen them.

    Scores become probabilities first (`labels.calibration`), learnt from the very labels in question: a few wrong ones
    among many lower the curve and keep its order. Distances are relative to the pictures' size.

    Args:
        predictions: in the form of `tasks.metrics.detections.SCHEMA`, of low scores too.
        spoken: image_ids that the model has looked at; all when None. The labels of others are not judged.

    Raises:
        DataError: predictions on a picture that is not among these.
    """
    settings = settings or Settings()
    images, labels = dataset.images, dataset.annotations
    if spoken is not None:
        images, labels = (table.filter(pa.array(np.isin(table["image_id"].to_numpy(), spoken)))
                          for table in (images, labels))
    calibration = calibrate(predictions, labels, images["image_id"].to_numpy())
    p = rate(predictions, calibration)["probability"].to_numpy().astype(np.float64)
    agreed = right_boxes(boxes_of(predictions, "predictions"), boxes_of(labels, "labels")) == 1
    usual = float(np.median(p[agreed])) if agreed.any() else 0.0
    sure = float(np.clip(usual, *SURE)) if settings.sure is None else settings.sure
    where = predictions.schema.get_field_index("score")
    likely = predictions.set_column(where, "score", pa.array(p.astype(np.float32)))
    constants = Constants(high=sure, low=min(0.5, sure), distance="relative")
    found = label_errors(images.select(["image_id", "width", "height"]), labels, likely, constants)
    return Suspects(_places(found, likely, agreed, settings.below, sure), found.pictures, sure, usual, calibration)


def _places(found: Found, predictions: pa.Table, agreed: np.ndarray, below: float, sure: float) -> pa.Table:
    """Rows that say something, each label and each overlooked object once, with the box of the prediction."""
    rows = found.boxes.filter(pc.less(found.boxes["quality"], below))
    theirs = boxes_of(predictions, "predictions")
    by = _speaker(rows, theirs)
    rows, by = _contradictions(*_neighbours_told_apart(rows, by, theirs, agreed, sure))
    first = _first_of_each(rows)
    rows, by = rows.take(pa.array(first)), by[first]
    known = by >= 0
    boxes = theirs.xywh[by] if len(theirs) else np.zeros((rows.num_rows, 4))
    for at, name in enumerate(PREDICTED):
        rows = rows.append_column(PLACES.field(name), pa.array(boxes[:, at].astype(np.float64), mask=~known))
    return rows


def _neighbours_told_apart(rows: pa.Table, by: np.ndarray, theirs: Boxes, agreed: np.ndarray,
                           sure: float) -> tuple[pa.Table, np.ndarray]:
    """Where objects stand close together, predictions touch the labels of their neighbours too.

    A prediction that is on a label of its own does not say that its neighbour's lies badly. One that hardly overlaps
    the label and is on no other is an object that was overlooked, if it is sure: ObjectLab has these only where they
    touch nothing, which in a crowd is nowhere.
    """
    badly = pc.equal(rows["kind"], KINDS[BADLY]).to_numpy() & (by >= 0)
    iou = rows["iou"].fill_null(0.0).to_numpy()
    another = np.zeros(len(by), bool)
    another[badly] = agreed[by[badly]] & (iou[badly] < SAME)
    apart = badly & ~another & (iou < APART)
    lost = apart.copy()
    lost[apart] = theirs.score[by[apart]] >= sure
    columns: dict[str, np.ndarray] = {"class_id": theirs.label, **{name: theirs.xywh[:, at] for at, name in
                                                                   enumerate("xywh")}}
    for name, values in columns.items():
        now, field = rows[name].to_numpy().copy(), BOXES.field(name)
        now[lost] = values[by[lost]]
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(now, field.type))
    kind = np.where(lost, KINDS[OVERLOOKED], np.array(rows["kind"].to_pylist(), object))
    number = pc.if_else(pa.array(lost), pa.scalar(None, pa.int64()), rows["annotation_id"])
    rows = rows.set_column(1, BOXES.field("kind"), pa.array(kind.tolist(), pa.string()))
    rows = rows.set_column(rows.schema.get_field_index("annotation_id"), BOXES.field("annotation_id"), number)
    kept = ~another & ~(apart & ~lost)
    return rows.filter(pa.array(kept)), by[kept]


def _contradictions(rows: pa.Table, by: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """Labels that stand in the place of others: a prediction elsewhere in the picture has no part in that."""
    alone = pc.equal(rows["kind"], KINDS[SWAPPED]).to_numpy() & (rows["iou"].fill_null(0.0).to_numpy() < APART)
    for name in ("says", "score", "iou"):
        field = BOXES.field(name)
        silent = pc.if_else(pa.array(alone), pa.scalar(None, field.type), rows[name])
        rows = rows.set_column(rows.schema.get_field_index(name), field, silent)
    return rows, np.where(alone, -1, by)


def _first_of_each(rows: pa.Table) -> np.ndarray:
    """Of rows that speak of one label, or of one place without a label, the worst; int64, ascending."""
    label = rows["annotation_id"].to_pylist()
    seen: set[int] = set()
    kept = []
    for at, number in enumerate(label):
        if number is None or number not in seen:
            kept.append(at)
            seen |= {number} if number is not None else set()
    lost = np.array([at for at in kept if label[at] is None], np.int64)
    doubled = _doubled(boxes_of(rows.take(pa.array(lost, pa.int64())), "places")) if len(lost) else np.zeros(0, bool)
    return np.setdiff1d(np.array(kept, np.int64), lost[doubled])


def _doubled(boxes: Boxes) -> np.ndarray:
    """Which boxes lie on one that comes before them; bool [n]."""
    found = np.zeros(len(boxes), bool)
    for a, b in together(boxes.image, boxes.image):
        before = (a < b) & (iou_of(boxes.xywh[a], boxes.xywh[b]) >= SAME)
        # one that is doubled itself hides nothing
        for first, second in sorted(zip(a[before].tolist(), b[before].tolist(), strict=True)):
            found[second] |= not found[first]
    return found


def _speaker(rows: pa.Table, theirs: Boxes) -> np.ndarray:
    """The row of the prediction that each place rests on, -1 without one; int64 [places].

    A place says its class, its score and its overlap: of the predictions in that picture the nearest to all three.
    """
    ours = boxes_of(rows.drop_columns(["score"]), "places")
    said = rows["says"].fill_null(-1).to_numpy()
    score, iou = (rows[name].fill_null(0.0).to_numpy().astype(np.float64) for name in ("score", "iou"))
    lost = pc.is_null(rows["annotation_id"]).to_numpy()
    best, by = np.full(len(ours), np.inf), np.full(len(ours), -1)
    for a, b in together(ours.image, theirs.image):
        same = said[a] == theirs.label[b]
        a, b = a[same], b[same]
        overlap = iou_of(ours.xywh[a], theirs.xywh[b])
        apart = np.abs(overlap - np.where(lost[a], 1.0, iou[a])) + np.abs(theirs.score[b] - score[a])
        order = np.lexsort((b, apart, a))
        first = order[np.unique(a[order], return_index=True)[1]]
        better = first[apart[first] < best[a[first]]]
        best[a[better]], by[a[better]] = apart[better], b[better]
    return by
