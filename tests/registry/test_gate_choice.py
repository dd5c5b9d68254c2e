"""Which artefact the gate takes: never what was not run here, never 8 bits that are slower than float."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.registry.gates.gate import Champion, Evidence, Gate, GateReport, Latency, judge

from .cases import KINDS, benchmark, evaluation, export_json

HELD = Champion("3", "a" * 64, AP=0.50, AP50=0.80, bytes=4_000_000)


def judged(evaluated: dict[str, Any], timed: dict[str, Any], gate: Gate | None = None,
           exports: dict[str, Any] | None = None) -> GateReport:
    files = exports or {"cpu-fp32": export_json(), "cpu-int8": export_json(), "trt-int8": export_json()}
    checked = {"checked": {"images": 7, "annotations": 9}}
    return judge(gate or Gate(latency=Latency(min_speedup=None)),
                 Evidence(evaluated, timed, files, [], HELD, findings=checked))


def slower(timed: dict[str, Any], name: str) -> dict[str, Any]:
    timed["artefacts"][name]["slower_than_float"] = True
    return timed


def test_the_preferred_int8_file_that_is_slower_than_float_is_passed_over() -> None:
    report = judged(evaluation(), slower(benchmark(pruned_cpu_int8=9.5), "pruned/cpu-int8"))
    assert (report.artefact, report.passed) == ("trained/cpu-int8", True)
    assert report.choice == ("the fastest one within its limits: pruned/cpu-int8 is slower than the float file of its "
                             "model")


def test_it_is_taken_when_nothing_else_keeps_its_limits() -> None:
    others = {name.replace("/", "_").replace("-", "_"): 0.1 for name in KINDS if name != "pruned/cpu-int8"}
    report = judged(evaluation(**others), slower(benchmark(), "pruned/cpu-int8"))
    assert report.artefact == "pruned/cpu-int8" and "the fastest one within its limits" in report.choice


def test_a_faster_int8_file_is_taken_as_before() -> None:
    assert judged(evaluation(), benchmark()).choice == "the preferred artefact, within its limits"


@pytest.mark.parametrize("prefer", ["pruned/trt-int8", "pruned/cpu-int8"])
def test_what_was_emulated_or_not_timed_is_never_taken(prefer: str) -> None:
    evaluated, timed = evaluation(ap=0.6), benchmark()
    evaluated["artefacts"]["pruned/trt-int8"] = {"AP": 0.9, "AP50": 0.9, "bytes": 10, "emulated": True,
                                                 "emulated_because": "TensorRT needs an NVIDIA GPU"}
    timed["left_out"] = {"pruned/trt-int8": "TensorRT needs an NVIDIA GPU"}
    report = judged(evaluated, timed, Gate(prefer=prefer, latency=Latency(min_speedup=None)))
    assert report.artefact == "pruned/cpu-int8" and report.passed


def test_only_emulated_ones_are_refused_with_the_reason() -> None:
    evaluated = evaluation()
    evaluated["artefacts"] = {"pruned/trt-int8": {"AP": 0.9, "AP50": 0.9, "bytes": 10, "emulated": True,
                                                  "emulated_because": "no GPU"}}
    report = judged(evaluated, {})
    assert not report.passed
    assert ("fail", "its accuracy was emulated: no GPU") in [(r.verdict, r.reason) for r in report.rules]


def test_not_timed_is_said_with_the_reason_even_where_no_speed_is_asked() -> None:
    evaluated, timed = evaluation(), benchmark()
    evaluated["artefacts"] = {"pruned/cpu-int8": evaluated["artefacts"]["pruned/cpu-int8"]}
    del timed["artefacts"]["pruned/cpu-int8"]
    for reason in ("", "OpenVINO is not installed"):
        report = judged(evaluated, timed | ({"left_out": {"pruned/cpu-int8": reason}} if reason else {}))
        words = f"was not timed: {reason or 'no benchmark of it'}"
        assert not report.passed and words in [rule.reason for rule in report.rules if rule.name == "runtime"]


def test_a_file_that_export_found_outside_its_budget_is_passed_over() -> None:
    over = export_json()
    over["pruned"] = {**over["pruned"], "admissible": False, "reasons": ["it loses 0.0150 of validation AP"]}
    report = judged(evaluation(), benchmark(), exports={"cpu-fp32": export_json(), "cpu-int8": over})
    assert report.artefact == "trained/cpu-int8" and "pruned/cpu-int8 exceeds a limit" in report.choice
