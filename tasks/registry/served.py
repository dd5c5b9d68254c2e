"""The code of a registered model, run by MLflow: `mlflow models serve` gives it pictures and it answers with boxes.

`tasks.registry.alone` makes one file of this and of all that it uses here, which stands in the model by itself: numpy,
Pillow, onnxruntime, pandas and mlflow are all it needs.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel

from tasks.runtime.choosing import NMS_IOU, choose
from tasks.runtime.letterbox import letterbox
from tasks.serving.coded import BadPicture, from_base64
from tasks.serving.decoding import decode, thresholds_of

TOP_K = 1000
MAX_PICTURES = 256  # a request


class ServedDetector(PythonModel):
    """One ONNX file with its classes, input size and thresholds read from its own metadata."""

    def load_context(self, context: Any) -> None:
        self.session = onnxruntime.InferenceSession(context.artifacts["model"], providers=["CPUExecutionProvider"])
        facts = self.session.get_modelmeta().custom_metadata_map
        self.classes: list[str] = json.loads(facts["classes"])
        self.size = int(facts["height"]), int(facts["width"])
        self.thresholds = thresholds_of(json.loads(facts.get("thresholds", "null")), self.classes)
        self.rule = {"iou": NMS_IOU, "top_k": TOP_K, **json.loads(facts.get("suppression") or "{}")}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Detect in base64-coded pictures.

        Args:
            context: of MLflow, not used.
            model_input: column `image`, one JPEG, PNG, … in base64 a row.
            params: `score_threshold` in 0..1, negative for those that the file carries; `max_detections`.

        Returns:
            One row a picture: boxes [[x0, y0, x1, y1], …] in pixels of the picture, classes (names), scores in 0..1.

        Raises:
            MlflowException: a row is no picture; the server answers 400 with that reason.
        """
        given = params or {}
        asked = float(given.get("score_threshold", -1.0))
        limits = self.thresholds if asked < 0 else np.full(len(self.classes), asked, dtype=np.float32)
        most = int(given.get("max_detections", 100))
        rows = list(model_input["image"])
        if len(rows) > MAX_PICTURES:
            raise MlflowException(f"{len(rows)} pictures in one request, at most {MAX_PICTURES}", BAD_REQUEST)
        pictures = [read(text, row) for row, text in enumerate(rows)]
        return pd.DataFrame([self._detect(picture, limits, most) for picture in pictures],
                            columns=["boxes", "classes", "scores"])

    def _detect(self, picture: np.ndarray, limits: np.ndarray, most: int) -> dict[str, list[Any]]:
        canvas, scale = letterbox(picture, self.size)
        image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
        boxes, scores = self.session.run(["boxes", "scores"], {"images": image})
        found, values, ids = choose(boxes[0], scores[0], (picture.shape[0], picture.shape[1]), scale, limits,
                                    self.rule["iou"], self.rule["top_k"], most)
        return {"boxes": found.tolist(), "classes": [self.classes[i] for i in ids], "scores": values.tolist()}


def read(text: Any, row: int) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned upright, of one base64-coded picture; addresses are not fetched.

    Raises:
        MlflowException: it is none; 400 for the client.
    """
    try:
        return decode(from_base64(text))
    except BadPicture as error:
        raise MlflowException(f"image {row} {error}", BAD_REQUEST) from None
