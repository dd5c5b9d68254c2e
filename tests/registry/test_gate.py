"""The gate's verdict, rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, ParamsError
from tasks.registry.gates.gate import Champion, Evidence, Gate, GateReport, judge, load_gate

from .cases import benchmark, evaluation, export_json

HELD = Champion("3", "a" * 64, AP=0.50, AP50=0.80, bytes=4_000_000)
CHECKED = {"checked": {"images": 7, "annotations": 9}, "counts": {}, "policy": {}}
EXPORTS = {"cpu-fp32": export_json(), "cpu-int8": export_json()}


def evidence(**changed: Any) -> Evidence:
    usual: dict[str, Any] = {"evaluation": evaluation(), "benchmark": benchmark(), "exports": EXPORTS,
                             "uncommitted": [], "champion": HELD, "findings": CHECKED}
    return Evidence(**{**usual, **changed})


def verdict(report: GateReport, name: str) -> tuple[str, str]:
    return next((rule.verdict, rule.reason) for rule in report.rules if rule.name == name)


REQUIRED = Gate(code="require")
WORST = {"exports": {"cpu-fp32": export_json(0.05), "cpu-int8": export_json(0.05)}}

CASES = [
    # what is so, gate, evidence, rule, its verdict, words of its reason, does the gate pass
    ("champion not measured, above the floor", Gate(), {"evaluation": evaluation(ap=0.3), "unmeasured": "it is gone"},
     "AP against the champion", "not applicable", "version 3 could not be measured: it is gone; the floor", True),
    ("champion not measured, below the floor", Gate(), {"evaluation": evaluation(ap=0.2)}, "AP floor",
     "fail", "0.2000, at least 0.2500", False),
    ("no champion, above the floors", Gate(), {"champion": None}, "AP50 floor", "pass", "at least 0.5000", True),
    ("no champion, below a floor", Gate(), {"champion": None, "evaluation": evaluation(ap50=0.4)}, "AP50 floor",
     "fail", "0.4000", False),
    ("no champion is no yes", Gate(), {"champion": None}, "AP against the champion", "not applicable",
     "no champion", True),
    ("accuracy is n/a", Gate(), {"evaluation": evaluation(ap=None)}, "AP floor", "fail", "n/a", False),
    ("parity lost", Gate(), WORST, "parity", "fail", "drop 0.0500, at most 0.0200", False),
    ("parity never measured", Gate(), {"exports": {}}, "parity", "fail", "does not compare", False),
    ("parity says its differences", Gate(), {}, "parity", "pass", "largest box difference 0.5 px", True),
    ("all slower than torch", Gate(), {"benchmark": benchmark(trained_torch=3.0)}, "speed against trained/torch",
     "fail", "0.75 times (3.0 ms / 4.0 ms), at least 1.00 times", False),
    ("over a limit in ms", Gate(latency={"max_ms": 3.5}), {}, "latency", "fail", "4.00 ms, at most 3.50 ms", False),
    ("never timed", Gate(), {"benchmark": {}}, "speed against trained/torch", "fail", "not measured", False),
    ("too big", Gate(size={"max_mb": 3}), {}, "size", "fail", "4.00 MB, at most 3.00 MB", False),
    ("bigger than the champion", Gate(size={"max_growth": 1.2}), {"evaluation": evaluation(size=6_000_000)},
     "size against the champion", "fail", "6.00 MB, at most 4.80 MB", False),
    ("no champion to outgrow", Gate(size={"max_growth": 1.2}), {"champion": None}, "size against the champion",
     "not applicable", "no champion", True),
    ("too few pictures", Gate(), {"evaluation": evaluation(images=29)}, "test pictures", "fail",
     "29 pictures, at least 30", False),
    ("too few boxes", Gate(), {"evaluation": evaluation(images=14)}, "test boxes", "fail", "28 boxes, at least 30",
     False),
    ("data never validated", Gate(), {"findings": None}, "data validated", "fail", "dvc repro validate", False),
    ("data never validated, warned", Gate(data="warn"), {"findings": None}, "data validated", "not applicable",
     "warning: data/valid", True),
    ("data not asked", Gate(data="ignore"), {"findings": None}, "data validated", "not applicable", "not asked", True),
    ("data with flaws that were allowed", Gate(), {"findings": {**CHECKED, "counts": {"leaked": 2, "degenerate": 1},
     "policy": {"leaked": "keep", "degenerate": "drop"}}}, "data validated", "pass",
     "7 pictures and 9 boxes checked: 1 degenerate (drop), 2 leaked (keep)", True),
    ("dirty, required", REQUIRED, {"uncommitted": ["params.yaml"]}, "code committed", "fail",
     "1 uncommitted: params.yaml; git commit", False),
    ("dirty, warned", Gate(), {"uncommitted": list("abcdefg")}, "code committed", "not applicable",
     "7 uncommitted: a, b, c, d, e and 2 more", True),
    ("no repository, required", REQUIRED, {"uncommitted": None}, "code committed", "fail", "no git", False),
    ("clean, required", REQUIRED, {}, "code committed", "pass", "committed", True),
]


@pytest.mark.parametrize(("gate", "changed", "rule", "expected", "words", "passed"), [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])
def test_rules(gate: Gate, changed: dict[str, Any], rule: str, expected: str, words: str, passed: bool) -> None:
    report = judge(gate, evidence(**changed))
    found, reason = verdict(report, rule)
    assert (found, words in reason) == (expected, True), reason
    assert report.passed is passed


def test_preferred_artefact_is_judged_when_within_its_limits() -> None:
    report = judge(Gate(), evidence())
    assert (report.artefact, report.choice) == ("pruned/cpu-int8", "the preferred artefact, within its limits")


def test_fastest_admissible_one_is_judged_when_the_preferred_one_lost_accuracy() -> None:
    report = judge(Gate(), evidence(evaluation=evaluation(pruned_cpu_int8=0.2)))
    assert report.artefact == "trained/cpu-int8" and "pruned/cpu-int8 exceeds a limit" in report.choice
    assert report.passed


def test_preferred_one_that_was_not_made() -> None:
    report = judge(Gate(prefer="pruned/rtx"), evidence())
    assert report.artefact == "pruned/cpu-int8" and "pruned/rtx was not made" in report.choice


def test_nothing_exported() -> None:
    bare = evaluation()
    bare["artefacts"] = {"trained/torch": bare["artefacts"]["trained/torch"]}
    with pytest.raises(DataError, match="nothing that could be deployed"):
        judge(Gate(), evidence(evaluation=bare))


def test_report_survives_json_and_shows_every_rule() -> None:
    report = judge(Gate(), evidence(evaluation=evaluation(ap=0.1)))
    assert GateReport.from_dict(report.to_dict()) == report and not report.passed
    text = report.to_markdown()
    assert "refused" in text and all(rule.reason in text for rule in report.rules)


def test_shipped_gate_is_the_default_one() -> None:
    assert load_gate("default") == Gate()


@pytest.mark.parametrize(("text", "message"), [
    ("florrs: {AP: 0.5}", "did you mean 'floors'"), ("floors: {AP: 1.5}", "less than or equal to 1"),
    ("code: maybe", "'require', 'warn' or 'ignore'"), ("champion: {ask: both}", "'loss' or 'equality'"),
    ("champion: {draws: 10}", "greater than or equal to 1000"), ("slices: [{by: tags, flor: 1}]", "flor"),
    ("classes: {named: {RBC: {AP5: 0.1}}}", "AP5")])
def test_own_gate_with_a_mistake(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "conf/gate").mkdir(parents=True)
    (tmp_path / "conf/gate/strict.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message) as caught:
        load_gate("strict", tmp_path)
    assert caught.value.exit_code == 2


def test_unknown_gate() -> None:
    with pytest.raises(ParamsError, match="did you mean 'default'"):
        load_gate("defualt")
