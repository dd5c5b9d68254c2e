"""The code of a registered model, run by MLflow: `mlflow models serve` gives it pictures and it answers with boxes.

This file is copied into the model and used alone: numpy, Pillow, onnxruntime and mlflow are all it needs. What it
does between file and boxes equals `tasks.data.pictures` and `tasks.runtime` (tests compare the answers).
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel
from PIL import Image, ImageOps

FILL = 114
NMS_IOU = 0.55
TOP_K = 1000
DEFAULT_THRESHOLD = 0.5
# the decoders that a picture may choose
DECODERS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
MAX_PIXELS = 90_000_000  # a bomb unpacks to more
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
        pictures = [decode(text, row) for row, text in enumerate(rows)]
        return pd.DataFrame([self._detect(picture, limits, most) for picture in pictures],
                            columns=["boxes", "classes", "scores"])

    def _detect(self, picture: np.ndarray, limits: np.ndarray, most: int) -> dict[str, list[Any]]:
        canvas, scale = letterbox(picture, self.size)
        image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
        boxes, scores = self.session.run(["boxes", "scores"], {"images": image})
        found, values, ids = detections_of(boxes[0], scores[0], picture.shape[:2], scale, limits, most, self.rule)
        return {"boxes": found.tolist(), "classes": [self.classes[i] for i in ids], "scores": values.tolist()}


def decode(text: Any, row: int) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned upright, of one base64-coded picture."""
    try:
        content = text if isinstance(text, bytes) else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise MlflowException(f"image {row} is not base64", BAD_REQUEST) from None
    try:
        with Image.open(io.BytesIO(content), formats=DECODERS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MlflowException(f"image {row} has {image.width} x {image.height} pixels, too many", BAD_REQUEST)
            return np.asarray(eight_bit(ImageOps.exif_transpose(image)).convert("RGB"))
    except MlflowException:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        reason = str(error).split(" <")[0][:120]
        raise MlflowException(f"image {row} is not a picture that can be read: {reason}", BAD_REQUEST) from None


def eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit pictures scaled to 8 bits: convert("RGB") would clip them to white."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    return picture


def thresholds_of(stated: Any, classes: list[str]) -> np.ndarray:
    """float32 [K] from one number, a list, or class name → number; 0.5 where nothing is stated."""
    if stated is None:
        stated = DEFAULT_THRESHOLD
    if isinstance(stated, dict):
        stated = [stated.get(name, DEFAULT_THRESHOLD) for name in classes]
    return np.broadcast_to(np.asarray(stated, dtype=np.float32), (len(classes),)).copy()


def letterbox(picture: np.ndarray, into: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Scale with the aspect kept, put top left, pad; returns the canvas and the factor."""
    height, width = picture.shape[:2]
    scale = min(into[0] / height, into[1] / width)
    size = (min(into[1], max(1, round(width * scale))), min(into[0], max(1, round(height * scale))))
    if size != (width, height):
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    canvas = np.full((*into, 3), FILL, dtype=np.uint8)
    canvas[: size[1], : size[0]] = picture
    return canvas, scale


def detections_of(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], scale: float,
                  limits: np.ndarray, most: int,
                  rule: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [n, 4] in picture pixels, scores [n], class ids [n], best first, of raw candidates [A, 4] and [A, K].

    `rule` has `iou`, null for a network that needs no suppression, and `top_k`, the candidates that enter it.
    """
    cells, classes = np.nonzero(scores > limits)
    found = scores[cells, classes]
    order = np.argsort(-found, kind="stable")[: rule["top_k"]]
    cells, classes, found = cells[order], classes[order], found[order]
    limit = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
    candidates = np.clip(boxes[cells] / np.float32(scale), 0, limit)
    # boxes of different classes are moved apart, so that one pass suppresses within each class only
    apart = classes[:, None].astype(np.float32) * (float(limit.max()) + 1.0)
    kept = suppress(candidates + apart, most, rule["iou"]) if rule["iou"] is not None else np.arange(len(found))[:most]
    return candidates[kept], found[kept], classes[kept]


def suppress(boxes: np.ndarray, most: int, iou: float) -> np.ndarray:
    """Indices that greedy non-maximum suppression keeps; boxes [n, 4] best first."""
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[left, :2], boxes[best, :2])
        sides = np.maximum(np.minimum(boxes[left, 2:], boxes[best, 2:]) - corner, 0)
        inner = sides[:, 0] * sides[:, 1]
        left = left[inner <= iou * np.maximum(area[left] + area[best] - inner, 1e-9)]
    return np.asarray(kept, dtype=np.int64)


mlflow.models.set_model(ServedDetector())
