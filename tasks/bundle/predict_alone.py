"""Finds objects in pictures with the model of this folder: python predict.py a.jpg b.png [--threshold 0.5]

Needs numpy, pillow and onnxruntime, nothing else. From Python: `boxes, scores, ids = Model().predict(picture)`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent


def fail(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(2)


class Model:
    def __init__(self, provider: str | None = None) -> None:
        for line in (HERE / "checksums.txt").read_text(encoding="utf-8").splitlines():
            wanted, name = line.split("  ", 1)
            if not (HERE / name).is_file() or hashlib.sha256((HERE / name).read_bytes()).hexdigest() != wanted:
                fail(f"{name} is missing or was changed since this bundle was made: {HERE}")
        sys.path.insert(0, str(HERE))
        self.told = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
        self.session = self.open(self.told["model"], provider or self.told["providers"][0])
        self.limits = np.array([self.told["thresholds"][name] for name in self.told["classes"]], np.float32)

    def open(self, name: str, provider: str) -> onnxruntime.InferenceSession:
        there = onnxruntime.get_available_providers()
        if provider not in there:
            fail(f"{name} is made for {provider}; onnxruntime offers {', '.join(there)} here: choose with --provider")
        session = onnxruntime.InferenceSession(str(HERE / name), providers=[provider])
        if session.get_providers()[0] != provider:  # onnxruntime would go on with the CPU and say nothing
            fail(f"{provider} does not start here; {session.get_providers()[0]} would: choose with --provider")
        return session

    def predict(self, picture: np.ndarray, limits: float | np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """uint8 [H, W, 3] RGB → boxes float32 [n, 4] xyxy in its pixels, scores [n], class ids [n]; best first."""
        from processing import choose, letterbox  # the file beside this one

        fit, rule = self.told["preprocess"], self.told["postprocess"]
        canvas, scale = letterbox(picture, (fit["height"], fit["width"]))
        image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], self.told["input"]["dtype"])
        boxes, scores = self.session.run(["boxes", "scores"], {"images": image})
        return choose(boxes[0], scores[0], picture.shape[:2], scale, self.limits if limits is None else limits,
                      rule["iou"], rule["top_k"], rule["max_detections"])

    def rows(self, picture: np.ndarray, limits: float | np.ndarray | None = None) -> list[dict[str, Any]]:
        boxes, scores, ids = (array.tolist() for array in self.predict(picture, limits))
        return [{"class": self.told["classes"][k], "score": scores[i], "box": boxes[i]} for i, k in enumerate(ids)]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("pictures", nargs="+")
    words.add_argument("--threshold", type=float, help="one for all classes; each class's own when left out")
    words.add_argument("--provider", help="of onnxruntime; the one the model is made for when left out")
    options = words.parse_args()
    model: Any = Model(options.provider)
    if model.told.get("tiles") or model.told.get("cascade"):
        from extras import Extras

        model = Extras(model)
    from processing import read

    for path in options.pictures:
        try:
            picture = read(path)
        except Exception as error:  # decoders raise errors of many kinds
            fail(f"{path} cannot be read as a picture: {error}")
        print(json.dumps({"picture": path, "detections": model.rows(picture, options.threshold)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
