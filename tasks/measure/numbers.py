"""Accuracy as the summary tables say it: with intervals, beside Pascal VOC's, and what compression changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.metrics.bootstrap import change, resample, spread
from tasks.metrics.voc import Limits, evaluate_voc

if TYPE_CHECKING:
    from tasks.data.table import Dataset

REFERENCE = "trained/torch"


def intervals(dataset: Dataset, tables: Mapping[str, pa.Table], draws: int = 1000) -> dict[str, dict[str, Any]]:
    """Artefact → AP_low, AP_high, AP50_low, AP50_high (95 % over pictures, 0..1 or None), and for all others than
    `trained/torch` AP_change and AP50_change: value, low and high of the paired difference to it, below 0 is worse."""
    samples = {name: resample(dataset, table, draws=draws) for name, table in tables.items()}
    found: dict[str, dict[str, Any]] = {name: {} for name in tables}
    for name, measures in samples.items():
        for measure, sample in measures.items():
            _, found[name][f"{measure}_low"], found[name][f"{measure}_high"] = spread(sample)
            if name != REFERENCE and REFERENCE in samples:
                found[name][f"{measure}_change"] = change(samples[REFERENCE][measure], sample)._asdict()
    return found


def voc_numbers(dataset: Dataset, table: pa.Table, iou: float | dict[str, float], limits: Mapping[str, Limits]
                ) -> dict[str, Any]:
    """Pascal VOC's AP in both ways of integrating.

    Raises:
        ParamsError: settings for a class that is not there.
    """
    return {"sample": evaluate_voc(dataset, table, mode="sample", iou=iou, limits=limits),
            "integrate": evaluate_voc(dataset, table, mode="integrate", iou=iou, limits=limits)}


def tell(measured: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str]) -> None:
    """Print a line an artefact: accuracy with its interval, what compression changed, size, and how it was run."""
    width = max(map(len, measured))
    corrupted = any("robustness" in one for one in measured.values())
    head = f"{'artefact':{width}}  {'AP':>6}  {'95 % of AP':13}  {'change':>7}  {'AP50':>6}  {'AP75':>6}"
    print(f"{head}{'  worse' if corrupted else ''}  {'MB':>7}")
    for name, one in measured.items():
        row = [f"{name:{width}}", _number(one["AP"]), _range(one["AP_low"], one["AP_high"]),
               _points(one.get("AP_change")), _number(one["AP50"]), _number(one["AP75"])]
        row += [f"{_number((one.get('robustness') or {}).get('mean')):>5}"] if corrupted else []
        print("  ".join([*row, f"{one['bytes'] / 1e6:7.2f}"]))
    said = ["change: points of AP against trained/torch, * where 0 is outside the 95 % interval"]
    said += ["worse: mean AP of pictures with noise, blur and the like"] if corrupted else []
    print("; ".join(said))
    emulated = {name: one["emulated_because"] for name, one in measured.items() if one.get("emulated")}
    for reason in dict.fromkeys(emulated.values()):
        names = [name for name, why in emulated.items() if why == reason]
        print(f"{', '.join(names)}: emulated by ONNX Runtime on the CPU, since {reason}")
    for name, reason in left_out.items():
        print(f"{name}: not measured, {reason}")


def _number(value: float | None) -> str:
    return "   n/a" if value is None else f"{value:6.3f}"


def _range(low: float | None, high: float | None) -> str:
    return f"{'n/a':13}" if low is None else f"{low:.3f} – {high:.3f}"


def _points(told: Mapping[str, float | None] | None) -> str:
    """A difference in points, with a star where 0 is outside its interval."""
    if told is None or told["value"] is None:
        return " " * 7
    sure = told["low"] is not None and told["high"] is not None and not told["low"] <= 0 <= told["high"]
    return f"{100 * told['value']:+6.1f}{'*' if sure else ' '}"
