"""Tiles over large pictures, and a classifier that names what was found: as `bundle.json` says. For predict.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tasks.runtime.cascade import crop
from tasks.runtime.detections import Detections
from tasks.runtime.letterbox import letterbox
from tasks.runtime.slicing import predict_sliced


class Extras:
    """A model of predict.py with tiles and a classifier around it."""

    def __init__(self, model: Any) -> None:
        self.model, self.told = model, model.told
        self.height, self.width = self.told["preprocess"]["height"], self.told["preprocess"]["width"]
        self.cascade, tiles = self.told.get("cascade"), self.told.get("tiles")
        self.tiles: Any = SimpleNamespace(**tiles) if tiles else None
        self.session: Any = model.open(self.cascade["model"], self.cascade["providers"][0]) if self.cascade else None

    def predict(self, pictures: list[np.ndarray], score_threshold: float | np.ndarray = 0.05) -> list[Detections]:
        """Detections of each picture as it is, without tiles."""
        return [Detections(*self.model.predict(picture, score_threshold)) for picture in pictures]

    def find(self, picture: np.ndarray, limits: float | np.ndarray) -> Detections:
        """Detections of a picture uint8 [H, W, 3], in tiles where it is larger than one."""
        if self.tiles is None:
            return self.predict([picture], limits)[0]
        return predict_sliced(self, picture, self.tiles, limits, self.told["postprocess"]["iou"])

    def rows(self, picture: np.ndarray, limits: float | np.ndarray | None = None) -> list[dict[str, Any]]:
        """What predict.py prints; with a classifier also `label` and `label_score` of the boxes that it looks at."""
        found, classes = self.find(picture, self.model.limits if limits is None else limits), self.told["classes"]
        rows = [{"class": classes[k], "score": score, "box": box} for box, score, k in
                zip(found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)]
        asked = (self.cascade["only"] or classes) if self.cascade else []
        for row, box in zip(rows, found.boxes, strict=True):
            if row["class"] in asked:
                row["label"], row["label_score"] = self.name(crop(picture, box, self.cascade["margin"]))
        return rows

    def name(self, part: np.ndarray) -> tuple[str, float]:
        """The best class of a cut-out, and its score."""
        canvas, _ = letterbox(part, (self.cascade["preprocess"]["height"], self.cascade["preprocess"]["width"]))
        (scores,) = self.session.run(["scores"], {"images": np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])})
        best = int(np.argmax(np.asarray(scores[0], dtype=np.float32)))
        return self.cascade["classes"][best], float(np.float32(scores[0][best]))
