"""What lies between raw candidates and detections: python -m benchmarks.postprocess [--runs 200]

Ours against the same steps in torch and torchvision (threshold → top-k → boxes back to the picture → `batched_nms` →
the best 100), at equal settings: 8,400 candidates x 80 classes, scores above 0.05, the best 1,000 enter the
suppression. Two threads, in turns in one process, medians in microseconds; `equal` compares boxes, scores and classes.

Scores of a trained detector are sparse: a few hundred candidates around a few objects, the rest near 0. `dense` is what
an untrained one gives, nearly all above the threshold. NMS-free is timed too, without a counterpart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else torch's waiting threads slow down whoever is next

import numpy as np
import torch
from torchvision.ops import batched_nms

from tasks.runtime.postprocess import Suppression, detections_of

CANDIDATES, CLASSES, SIZE, SCALE = 8400, 80, (960, 1280), 0.5
THRESHOLD, RULE = 0.05, Suppression(iou=0.55, top_k=1000, max_detections=100)
LIMIT = 0.5  # of torchvision's time


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--runs", type=int, default=200)
    runs = words.parse_args().runs
    torch.set_num_threads(2)
    print(f"{'scores':26} {'above':>8} {'out':>5} {'torchvision':>12} {'ours':>8} {'share':>6}  equal   NMS-free")
    good = [row(name, boxes, scores, runs) for name, (boxes, scores) in scenes().items()]
    print(f"at most {LIMIT} of torchvision's time, equal results: {'yes' if all(good) else 'NO'}")
    return 0 if all(good) else 1


def row(name: str, boxes: np.ndarray, scores: np.ndarray, runs: int) -> bool:
    """One line of the table; whether its numbers are as they should be."""
    tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
    free = Suppression(iou=None, top_k=RULE.top_k, max_detections=RULE.max_detections)
    theirs, mine, without = in_turns([lambda: torchvision_path(*tensors), lambda: ours(boxes, scores, RULE),
                                      lambda: ours(boxes, scores, free)], runs)
    equal = all(np.array_equal(a, b) for a, b in zip([t.numpy() for t in torchvision_path(*tensors)],
                                                     ours(boxes, scores, RULE), strict=True))
    above, out = int((scores > THRESHOLD).sum()), len(ours(boxes, scores, RULE)[0])
    print(f"{name:26} {above:>8,} {out:>5} {theirs:>12,.0f} {mine:>8,.0f} {mine / theirs:>6.2f}  "
          f"{'yes' if equal else 'NO ':5} {without:>10,.0f}")
    return equal and mine <= LIMIT * theirs


def ours(boxes: np.ndarray, scores: np.ndarray, rule: Suppression) -> tuple[np.ndarray, ...]:
    found = detections_of(boxes, scores, size=SIZE, scale=SCALE, score_threshold=THRESHOLD, suppression=rule)
    return found.boxes, found.scores, found.class_ids


@torch.inference_mode()
def torchvision_path(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As torchvision's detectors do it, over all classes at once."""
    flat = scores.flatten()
    places = torch.nonzero(flat > THRESHOLD).squeeze(1)
    best, order = flat[places].topk(min(RULE.top_k, len(places)))
    places = places[order]
    found, classes = boxes[places // CLASSES] / SCALE, places % CLASSES
    found = torch.minimum(found.clamp(min=0), torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]]))
    kept = batched_nms(found, best, classes, float(RULE.iou or 0))[: RULE.max_detections]
    return found[kept], best[kept], classes[kept]


def in_turns(functions: list[Callable[[], Any]], runs: int) -> list[float]:
    """Median microseconds of each."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(runs + 5):
        for function, mine in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if turn >= 5:  # the first calls allocate
                mine.append(time.perf_counter() - start)
    return [float(np.median(mine)) * 1e6 for mine in times]


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Raw candidates of several densities; no two scores are equal, since `topk` orders equal ones as it likes."""
    rng = np.random.default_rng(0)
    return {
        "empty picture": trained(rng, 0), "5 objects, trained": trained(rng, 5),
        "20 objects, trained": trained(rng, 20), "100 objects, trained": trained(rng, 100),
        "noisy, few classes": trained(rng, 60, noise=-4.5, classes=3),
        "middling": (candidates(rng), distinct(rng.random((CANDIDATES, CLASSES)) ** 30)),
        "dense": (candidates(rng), distinct(rng.random((CANDIDATES, CLASSES)))),
        "dense, one spot": (trained(rng, 1, candidates_each=8000)[0], distinct(rng.random((CANDIDATES, CLASSES)))),
    }


def candidates(rng: np.random.Generator) -> np.ndarray:
    corner = rng.uniform(0, 560, (CANDIDATES, 2))
    return np.concatenate([corner, corner + rng.uniform(8, 150, (CANDIDATES, 2))], axis=1).astype(np.float32)


def trained(rng: np.random.Generator, objects: int, noise: float = -8.0, classes: int = CLASSES,
            candidates_each: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Objects that many candidates see, each with its own error; all else is low."""
    boxes, logits = candidates(rng), rng.normal(noise, 1, (CANDIDATES, CLASSES))
    for _ in range(objects):
        near = rng.choice(CANDIDATES, candidates_each, replace=False)
        boxes[near] = boxes[near[0]] + rng.normal(0, 4, (candidates_each, 4))
        logits[near, rng.integers(classes)] = rng.normal(0, 2, candidates_each)
    return boxes, distinct(1 / (1 + np.exp(-logits)))


def distinct(wanted: np.ndarray) -> np.ndarray:
    """float32 scores as near to the wanted ones as can be with none above the threshold twice."""
    flat = np.sort(wanted.ravel()).astype(np.float32)
    bits = flat.view(np.int32)
    at = np.arange(len(bits), dtype=np.int32)
    bits = np.maximum.accumulate(bits - at) + at  # the next float up is the next whole number
    order = np.argsort(wanted.ravel(), kind="stable")
    out = np.empty_like(flat)
    out[order] = bits.view(np.float32)
    return out.reshape(wanted.shape)


if __name__ == "__main__":
    raise SystemExit(main())
