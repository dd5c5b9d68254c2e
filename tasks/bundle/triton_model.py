"""What stands behind the detector: raw candidates in, detections out. For Triton's Python backend; needs numpy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

sys.path.insert(0, str(Path(__file__).resolve().parent))
from choosing import choose  # noqa: E402  the file beside this one


class TritonPythonModel:
    """Threshold of each class, the best candidates, suppression within each class."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters of `config.pbtxt`; each is JSON."""
        stated = json.loads(args["model_config"])["parameters"]
        told = {name: json.loads(stated[name]["string_value"]) for name in stated}
        self.classes = np.array([name.encode() for name in told["classes"]], dtype=np.object_)
        self.limits = np.array(told["thresholds"], dtype=np.float32)
        self.input: tuple[int, int] = tuple(told["input"])
        self.rule = told["iou"], int(told["top_k"]), int(told["max_detections"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        boxes, scores, size = (triton.get_input_tensor_by_name(request, name).as_numpy()
                               for name in ("raw_boxes", "raw_scores", "size"))
        if size.size != 2 or (size < 1).any():
            wrong = f"size is the picture's height and width in pixels, got {size.tolist()}"
            return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(wrong))
        height, width = (int(side) for side in size)
        scale = min(self.input[0] / height, self.input[1] / width)
        found, values, ids = choose(boxes[0], scores[0], (height, width), scale, self.limits, *self.rule)
        return triton.InferenceResponse(output_tensors=[
            triton.Tensor("boxes", found), triton.Tensor("scores", values),
            triton.Tensor("class_ids", ids), triton.Tensor("classes", self.classes[ids])])
