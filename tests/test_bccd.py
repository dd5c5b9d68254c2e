"""The whole line on blood cells, as the README says it: long, so `make test-all` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_line import call, environment, stale  # noqa: F401


@pytest.mark.slow
def test_blood_cells_from_new_to_champion(mirror: Path, environment: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    known = {**environment, "VISIONMILL_MIRROR": str(mirror)}
    folder = tmp_path / "cells"
    told = call(["visionmill", "new", str(folder), "--data", "bccd"], tmp_path, known)
    assert "364 pictures" in told
    call(["visionmill", "configure", "register.policy=auto"], folder, known)
    told = call(["visionmill", "run"], folder, known, limit=5400)
    found = json.loads((folder / "results/evaluate/metrics.json").read_text())["artefacts"]
    assert found["trained/torch"]["AP50"] > 0.85
    assert found["pruned/cpu-int8"]["AP50"] > found["trained/torch"]["AP50"] - 0.03
    findings = json.loads((folder / "data/valid/findings.json").read_text())["findings"]
    assert {Path(f["file"]).stem for f in findings if f["kind"] == "degenerate"} == {
        "BloodImage_00338", "BloodImage_00343"}
    assert stale(folder, known) == set()
    assert "champion" in call(["visionmill", "status"], folder, known)
