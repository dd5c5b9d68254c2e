"""Models from elsewhere on real pictures: python -m benchmarks.imported [--models NAME …] [--int8] [--pictures N]

Imports the catalogue's models from the folder that VISIONMILL_MIRROR names and measures COCO's AP and AP50 on both
halves of datasets/coco_tiny (80 pictures each), at a score threshold of 0.05, beside the numbers that the catalogue
states. A model that was trained on stretched pictures is measured once more with pictures stretched outside: what
finding and stretching them inside the file costs it. With --int8 also the INT8 copy, calibrated on the
first half, and all files' times in turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from tasks.base import presets
from tasks.data.pictures import locate, over_pictures, read_picture
from tasks.data.table import Dataset, read_dataset
from tasks.foreign.bring import bring
from tasks.foreign.description import known, read_description, read_labels
from tasks.foreign.eight_bit import add_int8
from tasks.ingest import Params, run
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.metrics.latency import in_turns, summary, timed
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector, open_detector
from tasks.runtime.letterbox import resize
from tasks.runtime.postprocess import detections_of

THRESHOLD = 0.05
ROUNDS = 15


def stretched(detector: Detector, picture: np.ndarray) -> Detections:
    """Detections of one picture whose aspect is not kept, as the model was trained."""
    canvas = resize(picture, (detector.height, detector.width))
    boxes, scores = detector.raw(np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]))
    found = detections_of(boxes[0], scores[0], size=canvas.shape[:2], scale=1.0, score_threshold=THRESHOLD,
                          suppression=detector.suppression)
    across, down = picture.shape[1] / detector.width, picture.shape[0] / detector.height
    return Detections(found.boxes * np.array([across, down, across, down], np.float32), found.scores, found.class_ids)


def accuracy(detector: Detector, dataset: Dataset, pictures: list[np.ndarray], fit: str) -> str:
    ids = dataset.images["image_id"].to_pylist()
    found = {image: stretched(detector, picture) if fit == "stretch" else
             detector.predict([picture], score_threshold=THRESHOLD)[0]
             for image, picture in zip(ids, pictures, strict=True)}
    ap, ap50 = quick_ap(dataset, detections_table(found))
    return f"{ap:.3f}/{ap50:.3f}"


def measure(name: str, halves: dict[str, tuple[Dataset, list[np.ndarray]]], folder: Path, int8: bool,
            raw: Path) -> None:
    """Print one model's rows: a column for each half, then milliseconds."""
    described = read_description(name)
    made = bring(name, folder / name)
    detectors = {"letterbox": open_detector(made.folder / "model.onnx")}
    if int8:
        small, _ = add_int8(made, raw / "train2017")
        print(f"{name:15} {'; '.join(small.notes)}")
        detectors["int8"] = open_detector(small.folder / "model.onnx")
    rows = {way: [accuracy(detector, *half, "letterbox") for half in halves.values()]
            for way, detector in detectors.items()}
    if described.input.fit == "stretch":
        rows["stretch"] = [accuracy(detectors["letterbox"], *half, "stretch") for half in halves.values()]
    image = detectors["letterbox"].fit(halves["val"][1][0])[0]
    times = in_turns({way: timed(lambda d=detector: d.raw(image)) for way, detector in detectors.items()}, ROUNDS)
    stated = [f"{one.AP:.3f}/{one.AP50:.3f}" for one in described.measured]
    print(f"{name:15} {'stated':10} {'  '.join(stated)}")
    for way, numbers in rows.items():
        took = f"   {summary(times[way])['median_ms']:6.1f} ms" if way in times else ""
        print(f"{name:15} {way:10} {'  '.join(numbers)}{took}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", nargs="+", default=[name for name, one in known().items() if one.file])
    arguments.add_argument("--int8", action="store_true")
    arguments.add_argument("--pictures", type=int, default=80, help="of each half")
    options = arguments.parse_args()
    raw = Path(os.environ["VISIONMILL_MIRROR"]).resolve() / "datasets/coco_tiny"
    with tempfile.TemporaryDirectory() as name:
        # in the order of the models' outputs
        run(Params(classes=read_labels(presets.PACKAGE / "import/labels/coco.txt")), raw=raw, out=Path(name) / "table")
        whole = read_dataset(Path(name) / "table")
        halves = {}
        for split in ("train", "val"):
            half = whole.subset(split)
            images = half.images.slice(0, options.pictures)
            half = Dataset(images, half.annotations, half.meta)
            halves[split] = (half, list(over_pictures(read_picture, locate(raw, images))))
        print(f"{'model':15} {'as':10} {'train AP/AP50':13}  val AP/AP50")
        for model in options.models:
            measure(model, halves, Path(name), options.int8, raw)


if __name__ == "__main__":
    main()
