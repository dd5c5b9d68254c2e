"""From a request to its answer, inside a model's process."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.runtime.detections import Detections
from tasks.runtime.detector import open_detector
from tasks.serving.coded import BadPicture
from tasks.serving.decoding import decode, thresholds_of
from tasks.serving.forms import Asked, UnknownType, asked_of, invoked_of, refusal
from tasks.serving.settings import BadRequest, Settings


class Answering:
    """A model that answers requests.

    Args:
        path: of the file or the model folder.
        facts: `name`, `version`, `artefact`, `sha256`: they stand in each answer.
        threads: cores to use; all when None.

    Raises:
        VisionmillError: the model does not open.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], threads: int | None = None) -> None:
        self.detector = open_detector(path, threads)
        self.classes = self.detector.classes
        self.own = thresholds_of(self.detector.thresholds or None, self.classes)
        self.facts = {**facts, "provider": self.detector.provider}
        # what the first picture would wait for: Pillow's decoders, the first run of a graph
        Image.preinit()
        self.detector.predict([np.zeros((self.detector.height, self.detector.width, 3), np.uint8)])

    def __call__(self, head: Mapping[str, Any], body: memoryview) -> tuple[dict[str, Any], bytes]:
        """The answer to a request.

        Args:
            head: `form` (`predict` or `invocations`), `type` (content type), `query`.
            body: of the request.

        Returns:
            `status`, `pictures`, `decode_ms` and `infer_ms`; and the JSON text that the client gets.
        """
        invoked = head["form"] == "invocations"
        try:
            asked = invoked_of(body, head["type"], self.classes) if invoked \
                else asked_of(body, head["type"], head["query"], self.classes)
            rows, times = self._looked(asked)
        except (BadRequest, BadPicture) as error:
            return {"status": 415 if isinstance(error, UnknownType) else 400}, refusal(str(error), invoked)
        except DataError as error:  # of the runtime itself
            return {"status": 500}, refusal(str(error.what), invoked, "INTERNAL_ERROR")
        return {"status": 200, "pictures": len(rows), **times}, self._written(rows, times, asked.alone, invoked)

    def _looked(self, asked: Asked) -> tuple[list[dict[str, Any]], dict[str, float]]:
        limits, rows, spent = self.limits(asked.settings), [], {"decode_ms": 0.0, "infer_ms": 0.0}
        for row, content in enumerate(asked.pictures):
            start = time.perf_counter()
            try:
                picture = decode(content)
            except BadPicture as error:
                raise BadPicture(f"the picture {error}" if asked.alone else f"image {row} {error}") from None
            middle = time.perf_counter()
            found = self.detector.predict([picture], limits, asked.settings.max_detections)[0]
            spent["decode_ms"] += (middle - start) * 1000
            spent["infer_ms"] += (time.perf_counter() - middle) * 1000
            rows.append({"height": picture.shape[0], "width": picture.shape[1], "found": found})
        return rows, {name: round(value, 3) for name, value in spent.items()}

    def limits(self, settings: Settings) -> np.ndarray:
        """Score thresholds float32 [K]."""
        one = settings.score_threshold
        limits = self.own.copy() if one is None else np.full(len(self.classes), one, np.float32)
        for name, value in settings.thresholds.items():
            limits[self.classes.index(name)] = value
        return limits

    def _written(self, rows: list[dict[str, Any]], times: Mapping[str, float], alone: bool, invoked: bool) -> bytes:
        if invoked:
            return json.dumps({"predictions": [self._columns(row["found"]) for row in rows]}).encode()
        told = [{"width": row["width"], "height": row["height"], "detections": self._rows(row["found"])}
                for row in rows]
        content = told[0] if alone else {"pictures": told}
        spent = {"decode": times["decode_ms"], "infer": times["infer_ms"]}
        return json.dumps({**self.facts, **content, "milliseconds": spent}, ensure_ascii=False).encode()

    def _rows(self, found: Detections) -> list[dict[str, Any]]:
        return [{"class": self.classes[name], "score": score, "box": box} for box, score, name in
                zip(found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)]

    def _columns(self, found: Detections) -> dict[str, list[Any]]:
        return {"boxes": found.boxes.tolist(), "classes": [self.classes[name] for name in found.class_ids],
                "scores": found.scores.tolist()}
