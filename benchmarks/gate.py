"""What the gate costs at COCO's size: every rule of accuracy, against a champion on the same pictures.

Asked: 5,000 pictures, 80 classes, 500,000 detections a side, 1,000 draws: AP50 in 30 s and AP in 90 s on two cores.
Here the rule of AP50 alone, the rules of AP and AP50 together (one resampling a side gives both), and the whole gate as
`conf/gate/default.yaml` has it, with the parts by size of box.

Run:  python -m benchmarks.gate [--images 5000] [--detections 500000] [--classes 80] [--draws 1000] [--seed 0]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.scenes import arguments, sides
from tasks.data.table import Dataset
from tasks.metrics.coco import evaluate_coco
from tasks.registry.gates.contest import Contest
from tasks.registry.gates.gate import Champion, Evidence, Gate, GateReport, judge
from tasks.registry.gates.rules.accuracy import accuracy_rules, versus_rule

JUDGED = "pruned/cpu-int8"


def evidence(dataset: Dataset, champion: pa.Table, candidate: pa.Table, draws: int) -> Evidence:
    """A finished line with one exported file, and a champion that answers a little differently."""
    told = evaluate_coco(dataset, candidate)
    numbers = {"val_AP_torch": 0.5, "val_AP": 0.5}
    timed = {name: {"median_ms": ms, "bytes": 1_000_000} for name, ms in (("trained/torch", 9.0), (JUDGED, 3.0))}
    held = Champion("1", "a" * 64, told["AP"], told["AP50"], 1_000_000)
    return Evidence({"artefacts": {JUDGED: {**told, "bytes": 1_000_000}}, "images": dataset.images.num_rows},
                    {"artefacts": timed}, {"cpu-int8": {"pruned": numbers}}, [], held,
                    Contest(dataset, lambda _: candidate, champion, draws),
                    findings={"checked": {"images": dataset.images.num_rows, "annotations": 1}})


def timed(name: str, asked: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    found = work()
    print(f"{name:34} {time.perf_counter() - start:6.1f} s, asked: {asked}", flush=True)
    return found


def alone(dataset: Dataset, champion: pa.Table, candidate: pa.Table, draws: int) -> Any:
    """The rule of AP50, when it is the only one that is asked."""
    from tasks.metrics.slices import Part

    contest = Contest(dataset, lambda _: candidate, champion, draws)
    compared = contest.compare(JUDGED, "AP50", Part("all"), "all")
    return versus_rule("AP50 against the champion", "", compared, 0.01, Gate().champion, "the champion")


def main() -> None:
    chosen = arguments(__doc__)
    dataset, one, two = sides(chosen)
    told = timed("AP50 against the champion", "at most 30 s", lambda: alone(dataset, one, two, chosen.draws))
    print(f"  {told.verdict}: {told.reason}")
    given = evidence(dataset, one, two, chosen.draws)
    rules = timed("AP and AP50 against the champion", "at most 90 s", lambda: accuracy_rules(Gate(), given, JUDGED))
    for rule in rules:
        print(f"  {rule.verdict}: {rule.name}: {rule.reason}")
    again = evidence(dataset, one, two, chosen.draws)
    report: GateReport = timed("the whole gate, 3 slices", "nothing", lambda: judge(Gate(), again))
    print(f"  {len(report.rules)} rules, refused by: {', '.join(report.failed()) or 'none'}")


if __name__ == "__main__":
    main()
