"""Tries a bundle with the bundle's own example: smoke_alone.py BUNDLE THRESHOLD [PICTURES]; one JSON object comes out.

It runs in a process of its own, with the time limit of whoever starts it, and imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

CPU = "CPUExecutionProvider"


def made() -> np.ndarray:
    """uint8 [120, 160, 3]: waves of each colour, the same each time."""
    y, x = np.mgrid[0:120, 0:160]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 5), np.sin(y / 3)]
    return ((np.stack(waves, -1) + 1) * 127.5).astype(np.uint8)


def finite(model: Any, picture: np.ndarray) -> bool:
    """Whether the raw outputs are numbers: NaN would pass for a picture without objects."""
    from processing import letterbox  # of the bundle

    fit = model.told["preprocess"]
    canvas, _ = letterbox(picture, (fit["height"], fit["width"]))
    image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], model.told["input"]["dtype"])
    return all(bool(np.isfinite(out).all()) for out in model.session.run(None, {"images": image}))


def main(folder: Path, threshold: float | None, pictures: list[str]) -> None:
    sys.path.insert(0, str(folder))
    import predict  # of the bundle

    own = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["providers"][0]
    provider = own if own in onnxruntime.get_available_providers() else CPU
    model = predict.Model(provider)
    from processing import read

    seen = [read(path) for path in pictures] or [made()]
    answers = [{"finite": finite(model, picture), "detections": model.rows(picture, threshold)} for picture in seen]
    print(json.dumps({"wanted": own, "provider": provider, "answers": answers}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), float(sys.argv[2]) if sys.argv[2] else None, sys.argv[3:])
