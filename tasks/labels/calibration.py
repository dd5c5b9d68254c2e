"""How likely a box is right, learnt from boxes that people have reviewed; near the prior while these are few."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import read_json, write_json
from tasks.base.params import Params
from tasks.labels.columns import boxes_of, optional
from tasks.labels.curves import Kind, calibration_error, knots, log_loss, logistic, logit, sigmoid
from tasks.metrics.detections import Boxes
from tasks.metrics.matching import IGNORED, TRUE, coco_outcomes

IOU = 0.5
EXTRAS = ("margin", "flip", "spread")
PRIOR_LOW, PRIOR_SLOPE = 0.04, 0.9
ENOUGH = 100_000  # reviewed boxes that are learnt from: more do not change a curve of two hundred corners
SMALL = 1e-3  # a choice must lower the log loss by as much as this before it goes before a simpler one


class Settings(Params):
    """How a calibration is learnt.

    Attributes:
        prior_weight: how many reviewed boxes the prior weighs as much as.
        folds: parts of the pictures that cross-validation leaves out in turn.
        ridge: how strongly the weights of further features are held at 0, in reviewed boxes.
        seed: of the folds.
    """

    prior_weight: float = Field(default=20.0, gt=0, description="reviewed boxes that the prior weighs as much as")
    folds: int = Field(default=5, ge=2, le=20, description="parts of the pictures, each left out in turn")
    ridge: float = Field(default=5.0, gt=0, description="how strongly further features are held back")
    seed: int = 0


@dataclass(frozen=True)
class Calibration:
    """From the columns of a box to the probability that it is right: its IoU with an object of its class is ≥ 0.5.

    z = sigmoid(Σ weights · features + offset of the class), then a curve from z to the probability.

    Attributes:
        kind: `prior`, `isotonic` or `beta`.
        features: columns beside the score that are used; `weights` of 1, logit(score) and these.
        offsets: of each class, 0 for those that come later.
        x, p: corners of the curve.
        evidence: reviewed boxes whose probability is within 0.1, at each corner.
        reviewed, pictures: boxes and pictures that were learnt from.
        scores: mean log loss of each choice on pictures that were left out.
        error: the calibration error (`curves.calibration_error`) on pictures that were left out; None for the prior.
        prior_weight: as in `Settings`.
    """

    kind: str
    features: tuple[str, ...]
    weights: tuple[float, ...]
    offsets: tuple[float, ...]
    x: tuple[float, ...]
    p: tuple[float, ...]
    evidence: tuple[float, ...]
    reviewed: int
    pictures: int
    scores: dict[str, float]
    error: float | None
    prior_weight: float

    def probability(self, found: pa.Table) -> np.ndarray:
        """float64 [n] in 0..1 for detections with the columns class_id, score and `features`."""
        return np.interp(self._position(found), self.x, self.p)

    def interval(self, found: pa.Table, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The middle `level` of what the probability may be, low and high: float64 [n] each.

        Jeffreys' interval (Brown, Cai and DasGupta 2001): quantiles of Beta(m p + ½, m (1 − p) + ½), m the number of
        reviewed boxes whose probability is within 0.1, and two for the prior. Boxes of one picture are taken as
        independent.
        """
        from scipy.stats import beta

        at = self._position(found)
        p, many = np.interp(at, self.x, self.p), np.interp(at, self.x, self.evidence) + 2
        low, high = (beta.ppf(q, many * p + 0.5, many * (1 - p) + 0.5) for q in ((1 - level) / 2, (1 + level) / 2))
        return np.minimum(low, p), np.maximum(high, p)

    def write(self, path: Path) -> None:
        """As JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """What `write` wrote.

        Raises:
            DataError: the file is missing or is no calibration.
        """
        mend = "calibrate again from the reviewed labels"
        try:
            told: dict[str, Any] = read_json(path)
            lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
            return cls(**(told | lists))
        except FileNotFoundError:
            raise DataError("no calibration there", where=path, mend=mend) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"this is no calibration: {error}", where=path, mend=mend) from None

    def _position(self, found: pa.Table) -> np.ndarray:
        for name in self.features:
            if name not in found.column_names:
                raise DataError(f"the calibration was learnt with the column {name!r}, which these boxes lack",
                                where=", ".join(found.column_names), mend="calibrate again without it, or compute it")
        terms = _terms(found, self.features)
        label = optional(found, "class_id", -1).astype(np.int64)
        known = np.append(np.array(self.offsets), 0.0)
        places = np.where((label >= 0) & (label < len(self.offsets)), label, len(self.offsets))
        return sigmoid(terms @ np.array(self.weights) + known[places])


def prior(score: np.ndarray) -> np.ndarray:
    """The probability before anything is reviewed: 0.04 + 0.9 · score, so 0.94 at most.

    A score is taken nearly as it is; but no score alone makes a box easy (0.95): that takes reviewed labels.
    """
    return PRIOR_LOW + PRIOR_SLOPE * np.clip(score, 0, 1)


def unreviewed() -> Calibration:
    """The prior as a calibration."""
    x = np.linspace(0, 1, 201)
    return Calibration("prior", (), (0.0, 1.0), (), tuple(x.tolist()), tuple(prior(x).tolist()), (0.0,) * len(x), 0, 0,
                       {}, None, 0.0)


def right_boxes(found: Boxes, reviewed: Boxes, iou: float = IOU) -> np.ndarray:
    """Whether each detection is right: 1, 0, or −1 where it is on a crowd and counts for nothing; int8 [n].

    Right: IoU ≥ `iou` with a reviewed box of its class, one to one, the best score first, as COCO matches.
    """
    return coco_outcomes(reviewed, found, iou)


def calibrate(found: pa.Table, reviewed: pa.Table, pictures: np.ndarray, settings: Settings | None = None,
              iou: float = IOU) -> Calibration:
    """Learn from the detections on reviewed pictures.

    Both curves are tried, on the score alone and with the features and the classes; the choice with the least log loss
    on pictures that were left out is kept, a simpler one where it is as good. Into each fit go pseudo-boxes along the
    prior that weigh `prior_weight` boxes together: with nothing reviewed the prior comes out, with 20 about halfway.

    Args:
        found: detections in the columns of results/evaluate/detections, and margin, flip, spread where there are any.
        reviewed: the labels of people, as annotations.
        pictures: image_ids of all reviewed pictures, those without a label too.

    Returns:
        A calibration; the prior where no detection is on a reviewed picture.
    """
    settings = settings or Settings()
    found = found.filter(pa.array(np.isin(found["image_id"].to_numpy(), pictures)))
    truth = reviewed.filter(pa.array(np.isin(reviewed["image_id"].to_numpy(), pictures)))
    outcome = right_boxes(boxes_of(found, "detections"), boxes_of(truth, "reviewed labels"), iou)
    found, right = found.filter(pa.array(outcome != IGNORED)), (outcome[outcome != IGNORED] == TRUE).astype(np.float64)
    if not len(right):
        return unreviewed()
    found, right = _some(found, right, settings.seed)
    image = found["image_id"].to_numpy()
    fold = _folds(image, settings)
    extras = tuple(name for name in EXTRAS if name in found.column_names)
    left_out = {name: _left_out(found, right, fold, kind, used, settings) for name, (kind, used) in
                _choices(extras).items()}
    scores = {name: log_loss(p, right) for name, p in left_out.items()}
    best = min(scores.values())
    chosen = next(name for name, value in scores.items() if value <= best + SMALL)
    fitted = _fit(found, right, *_choices(extras)[chosen], settings)
    return replace(fitted, scores=scores, error=calibration_error(left_out[chosen], right), reviewed=len(right),
                   pictures=len(np.unique(image)))


def _choices(extras: tuple[str, ...]) -> dict[str, tuple[Kind, tuple[str, ...] | None]]:
    """Simple ones first; None: the score alone, without the classes."""
    alone: dict[str, tuple[Kind, tuple[str, ...] | None]] = {"beta": ("beta", None), "isotonic": ("isotonic", None)}
    return alone | {"beta with features": ("beta", extras), "isotonic with features": ("isotonic", extras)}


def _fit(found: pa.Table, right: np.ndarray, kind: Kind, used: tuple[str, ...] | None,
         settings: Settings) -> Calibration:
    features = used or ()
    terms, score = _terms(found, features), optional(found, "score", 0.0)
    label = optional(found, "class_id", 0).astype(np.int64)
    count = 0 if used is None else int(label.max()) + 1
    weights = np.concatenate([[0.0, 1.0], np.zeros(len(features) + count)])
    if used is not None:
        classes = np.zeros((len(label), count))
        classes[np.arange(len(label)), label] = 1
        held = np.full(len(weights), settings.ridge)
        weights = logistic(np.concatenate([terms, classes], axis=1), right, np.ones(len(right)), weights, held)
    split = 2 + len(features)
    z = sigmoid(terms @ weights[:split] + (weights[split:][label] if count else 0.0))
    # pseudo-boxes where the boxes are, and at both ends, where there may be none
    at = np.concatenate([np.quantile(score, np.linspace(0.01, 0.99, 25)), np.linspace(0.02, 0.98, 25)])
    weight = np.full(len(at), settings.prior_weight / len(at))
    x, p = knots(kind, np.concatenate([z, at]), np.concatenate([right, prior(at)]),
                 np.concatenate([np.ones(len(z)), weight]))
    mine = np.sort(np.interp(z, x, p))
    evidence = np.searchsorted(mine, p + 0.1, "right") - np.searchsorted(mine, p - 0.1, "left")
    told, offsets, corners, curve, known = (
        tuple(float(value) for value in column) for column in (weights[:split], weights[split:], x, p, evidence))
    return Calibration(kind, features, told, offsets, corners, curve, known, len(right), 0, {}, None,
                       settings.prior_weight)


def _left_out(found: pa.Table, right: np.ndarray, fold: np.ndarray, kind: Kind, used: tuple[str, ...] | None,
              settings: Settings) -> np.ndarray:
    """The probability of each box by what was learnt from the other folds."""
    p = prior(optional(found, "score", 0.0))
    for number in np.unique(fold):
        held = fold == number
        if not held.all():
            fitted = _fit(found.filter(pa.array(~held)), right[~held], kind, used, settings)
            p[held] = fitted.probability(found.filter(pa.array(held)))
    return p


def _folds(image: np.ndarray, settings: Settings) -> np.ndarray:
    """A fold for each box, the same for all of a picture."""
    ids, place = np.unique(image, return_inverse=True)
    return (np.random.default_rng(settings.seed).permutation(len(ids)) % settings.folds)[place]


def _some(found: pa.Table, right: np.ndarray, seed: int) -> tuple[pa.Table, np.ndarray]:
    if len(right) <= ENOUGH:
        return found, right
    rows = np.sort(np.random.default_rng(seed).choice(len(right), ENOUGH, replace=False))
    return found.take(pa.array(rows)), right[rows]


def _terms(found: pa.Table, features: tuple[str, ...]) -> np.ndarray:
    score = optional(found, "score", 0.0)
    # a missing value says nothing: it stands at 0, where its weight counts for nothing
    return np.stack([np.ones(len(score)), logit(score), *(optional(found, name, 0.0) for name in features)], axis=1)
