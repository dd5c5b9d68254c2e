"""COCO evaluation against pycocotools, side by side in one process.

Asked: at least 8 times faster on 5,000 images, 500,000 detections, 80 classes; AP equal to 1e-4.

Run:  python -m benchmarks.evaluator [--images 5000] [--detections 500000] [--classes 80] [--seed 0]
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.scenes import arguments, scene
from tasks.data.table import Dataset, to_coco
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.voc import evaluate_voc


def pycocotools(dataset: Dataset, detections: pa.Table) -> dict[str, Any]:
    """AP, AP50, AP75 and per class, from the same tables."""
    truth, found = COCO(), COCO()
    truth.dataset = to_coco(dataset)
    columns = detections.to_pydict()
    found.dataset = {**truth.dataset, "annotations": [
        {"id": n + 1, "image_id": i, "category_id": k + 1, "bbox": [x, y, w, h], "area": w * h,
         "score": s, "iscrowd": 0}
        for n, (i, k, x, y, w, h, s) in enumerate(zip(*columns.values(), strict=True))]}
    truth.createIndex()
    found.createIndex()
    judge = COCOeval(truth, found, "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    each = [judge.eval["precision"][:, :, k, 0, 2] for k in range(len(dataset.meta.classes))]
    names = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
    return {**dict(zip(names, judge.stats[:6].tolist(), strict=True)),
            **{f"class {k}": float(p[p > -1].mean()) for k, p in enumerate(each) if (p > -1).any()}}


def ours(dataset: Dataset, detections: pa.Table) -> dict[str, Any]:
    summary = evaluate_coco(dataset, detections)
    classes = {name: one["AP"] for name, one in summary.pop("per_class").items()}
    return {key: value for key, value in {**summary, **classes}.items() if value is not None}


def timed(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        result = call(*arguments, **named)
    return time.perf_counter() - start, result


def main() -> None:
    chosen = arguments(__doc__, "images", "detections", "classes", "seed")
    dataset, detections = scene(chosen.images, chosen.detections, chosen.classes, chosen.seed)
    ours(*scene(10, 100, 3, 0))  # the library is imported before the clock starts
    print(f"{chosen.images} images, {dataset.annotations.num_rows} objects, {detections.num_rows} detections, "
          f"{chosen.classes} classes")
    before, mine = timed(ours, dataset, detections)
    slow, theirs = timed(pycocotools, dataset, detections)
    after, _ = timed(ours, dataset, detections)
    voc, _ = timed(evaluate_voc, dataset, detections, mode="integrate")
    difference = max(abs(mine[key] - value) for key, value in theirs.items())
    print(f"pycocotools          {slow:7.1f} s   AP {theirs['AP']:.6f}  AP50 {theirs['AP50']:.6f}")
    print(f"evaluate_coco        {before:7.1f} s and {after:.1f} s   AP {mine['AP']:.6f}  AP50 {mine['AP50']:.6f}")
    print(f"evaluate_voc         {voc:7.1f} s")
    print(f"ratio                {slow / max(before, after):7.1f} x   asked: at least 8")
    print(f"largest difference   {difference:9.1e}   of {len(theirs)} APs; asked: at most 1e-4")


if __name__ == "__main__":
    main()
