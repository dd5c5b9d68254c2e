"""Planted near-duplicates that are found, beside perceptual hashes: python -m benchmarks.duplicates [--sample 80]

Copies of pictures of several sets are planted among them: encoded anew, resized, cropped by up to 5 %, in other light,
with a line of text, all of that together; and mirrored ones, which must not count. For each method: recall by kind, and
the precision, at the threshold that reaches a precision of 0.99 with the best recall (else at the highest); for ours at
the default too.
VISIONMILL_MIRROR is needed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.fft import dctn

from tasks.data.digits import generate
from tasks.data.near.calibrate import LOWEST, Calibration, at, choose, compare_all, judge, plant_all
from tasks.data.near.embedding import Method
from tasks.data.near.finding import NEAR, THRESHOLD, Pairs, Settings
from tasks.data.near.planting import COPIES, MIRRORED
from tasks.data.near.thumbs import thumbnail
from tasks.data.pictures import SUFFIXES

SETS = {"coco_tiny": "coco_tiny", "voc100": "voc100_formats/database/images", "bccd": "bccd/JPEGImages",
        "deeppcb_300": "deeppcb_300", "digits": "", "sign_digits": "sign_digits", "nuclei_256": "nuclei_256/images"}
KINDS = [*COPIES, *MIRRORED]
BITS = 64


def dhash(files: list[Path]) -> np.ndarray:
    """64 bits: whether each of 8 x 8 cells is darker than the next one to the right."""
    return np.stack([(np.diff(_grey(file, 9)[:8].astype(int), axis=1) > 0).ravel() for file in files])


def phash(files: list[Path]) -> np.ndarray:
    """64 bits: which of the 8 x 8 lowest frequencies are above their median."""
    low = np.stack([dctn(_grey(file, 32).astype(float))[:8, :8].ravel() for file in files])
    return low > np.median(low, axis=1, keepdims=True)


def _grey(file: Path, side: int) -> np.ndarray:
    pixels = thumbnail(file, side)
    assert pixels is not None, file
    return pixels


def hashed(files: list[Path], bits_of: Callable[[list[Path]], np.ndarray]) -> list[Pairs]:
    """All pairs whose hashes agree in half of the bits or more."""
    signs = np.where(bits_of(files), 1, -1).astype(np.float32)
    agree = (signs @ signs.T / BITS + 1) / 2
    a, b = np.nonzero(np.triu(agree >= LOWEST, 1))
    return [(a, b, agree[a, b], np.full(len(a), NEAR, np.int8))]


def show(name: str, result: Calibration, seconds: float | None = None) -> None:
    kinds = "  ".join(f"{kind} {share:.3f}" for kind, share in result.per_kind.items())
    took = "" if seconds is None else f"  {seconds:.1f} s CPU"
    print(f"  {name:19} from {result.threshold:.2f}: precision {result.precision:.3f}, recall {result.recall:.3f}: "
          f"{kinds}{took}", flush=True)




def compare_methods(name: str, pictures: list[Path], sample: int, backbone: bool) -> None:
    """Print a line for each method."""
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        files = plant_all(pictures, Path(folder), KINDS, 0, sample)
        print(f"{name}: {len(files) // (len(KINDS) + 1)} pictures of {len(pictures)}")
        known = None
        methods: list[Method] = ["descriptor", "backbone"] if backbone else ["descriptor"]
        for method in methods:
            start = time.process_time()
            pairs = compare_all(files, Settings(method=method, threshold=LOWEST), method, Path(folder))
            planted = judge(pairs, len(files), KINDS, known=known)
            known = planted.known
            show(f"{method}, default", at(planted, THRESHOLD), time.process_time() - start)
            show(f"{method}, best", choose(planted))
        print(f"  {len(known or ())} pairs of the originals themselves are copies, and left out")
        for title, bits_of in (("dhash", dhash), ("phash", phash)):
            show(f"{title}, best", choose(judge(hashed(files, bits_of), len(files), KINDS, known=known), LOWEST, 1.0))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sample", type=int, default=80, help="pictures of each set that are copied")
    arguments.add_argument("--backbone", action="store_true", help="the network's vectors too")
    arguments.add_argument("--sets", nargs="+", default=[*SETS], choices=[*SETS])
    options = arguments.parse_args()
    mirror = Path(os.environ["VISIONMILL_MIRROR"]).resolve() / "datasets"
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        generate(Path(folder) / "digits")
        for name in options.sets:
            root = mirror / SETS[name] if SETS[name] else Path(folder) / "digits"
            pictures = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
            compare_methods(name, pictures, options.sample, options.backbone)


if __name__ == "__main__":
    main()
