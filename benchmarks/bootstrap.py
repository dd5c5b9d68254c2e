"""A paired bootstrap interval of AP50 and of AP at COCO's size, and what it costs.

Asked: 5,000 pictures, 80 classes, 500,000 detections a side, 1,000 draws: AP50 in 30 s and AP in 90 s on two cores;
the value equal to `quick_ap` to 1e-9.

Run:  python -m benchmarks.bootstrap [--images 5000] [--detections 500000] [--classes 80] [--draws 1000] [--seed 0]
"""

from __future__ import annotations

import time

from benchmarks.scenes import arguments, sides
from tasks.metrics.bootstrap import Measure, paired
from tasks.metrics.coco import quick_ap

ASKED: dict[Measure, int] = {"AP50": 30, "AP": 90}


def main() -> None:
    chosen = arguments(__doc__)
    dataset, one, two = sides(chosen)
    known = [quick_ap(dataset, table) for table in (one, two)]
    for place, measure in enumerate(("AP", "AP50")):
        start = time.perf_counter()
        found = paired(dataset, one, two, measure, draws=chosen.draws, seed=chosen.seed)
        seconds = time.perf_counter() - start
        expected = (known[1][place] or 0) - (known[0][place] or 0)
        print(f"{measure:5} {seconds:6.1f} s, asked: at most {ASKED[measure]} s   change {found.value:+.6f} "
              f"[{found.low:+.6f}, {found.high:+.6f}]   differs from quick_ap by {abs(found.value - expected):.1e}")


if __name__ == "__main__":
    main()
