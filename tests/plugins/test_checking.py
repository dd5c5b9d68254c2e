from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands import plugin
from tasks.plugins.checking import Verdict, check
from tasks.plugins.preset import plugins, read_plugin
from tests.plugins.programs import describe


def failed(verdict: Verdict) -> set[tuple[str, str]]:
    return {(point.kind, point.name) for point in verdict.points if not point.fulfilled}


def test_one_that_fulfils_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    describe(tmp_path, "good")
    monkeypatch.chdir(tmp_path)
    assert plugin.main(["check", "good"]) == 0
    said = capsys.readouterr().out
    assert "good fulfils 41 of 41 points" in said and "NO" not in said
    assert list((tmp_path / ".visionmill/plugins").glob("*")) == []
    assert plugin.main(["list"]) == 0
    assert "good                 train, mine, infer" in capsys.readouterr().out


def test_what_is_given_and_made_can_be_kept(tmp_path: Path) -> None:
    describe(tmp_path, "good")
    assert check("plugin:good", tmp_path, keep=tmp_path / "kept").sound
    assert (tmp_path / "kept/mine/out/result.tsv").is_file() and (tmp_path / "kept/damaged/in/env.yaml").is_file()
    models = (tmp_path / "kept/infer/in/config.yaml").read_text()
    assert "model_params_path" in models and "weights.bin" in models


@pytest.mark.parametrize(("how", "kind", "points"), [
    ("nothing", "infer", {"files", "format", "names", "classes", "progress"}),
    ("rubbish", "infer", {"format"}), ("nan", "infer", {"format"}), ("outside", "infer", {"format"}),
    ("classes", "infer", {"classes"}), ("climbs", "infer", {"names"}), ("unsorted", "mine", {"sorted"}),
    ("climbs", "mine", {"names"}), ("climbs", "train", {"names"}), ("link", "train", {"names"}),
    ("never", "infer", {"ends", "exit code", "files", "format", "names", "classes", "progress"}),
    ("breaks", "mine", {"exit code", "files", "format", "names", "sorted", "progress", "error"}),
    ("exits", "infer", {"exit code", "files", "format", "names", "classes", "progress"}),
    ("flood", "infer", {"log"}), ("children", "infer", {"nothing left"}), ("monitor", "infer", {"monitor"}),
    ("backwards", "infer", {"progress"}), ("changes", "infer", {"input"})])
def test_each_point_that_is_missed_is_named(tmp_path: Path, how: str, kind: str, points: set[str]) -> None:
    verdict = check(describe(tmp_path, how, kinds=[kind]), tmp_path, minutes=0.03 if how == "never" else 2)
    found = failed(verdict)
    # what is wrong from the first record on is seen with the pictures that are none as well
    assert {point for where, point in found if where == kind} == points
    assert all(point.detail for point in verdict.points if not point.fulfilled)


def test_one_that_takes_rubbish_for_pictures_is_told(tmp_path: Path) -> None:
    verdict = check(describe(tmp_path, "careless", kinds=["infer"]), tmp_path)
    assert failed(verdict) == {("damaged", "refuses"), ("damaged", "reports")}


def test_a_flooded_log_keeps_its_start_and_its_end(tmp_path: Path) -> None:
    check(describe(tmp_path, "flood", kinds=["mine"]), tmp_path, keep=tmp_path / "kept")
    log = (tmp_path / "kept/mine/out/ymir-executor-out.log").read_bytes()
    assert len(log) < 6 << 20 and b"bytes are left out" in log and log.endswith(b"the last words\n")


@pytest.mark.parametrize("name", plugins(Path("nowhere")))
def test_the_shipped_ones_are_sound_descriptions(name: str, tmp_path: Path) -> None:
    shipped = read_plugin(name, tmp_path)
    assert shipped.title and shipped.licence and set(shipped.kinds) == {"train", "mine", "infer"}


@pytest.mark.slow
def test_visionmill_fulfils_its_own_contract(tmp_path: Path) -> None:
    more = {"epochs": 1, "batch_size": 2, "image_size": 96, "init": "scratch"}
    verdict = check("visionmill", tmp_path, more=more)
    assert verdict.sound, [point for point in verdict.points if not point.fulfilled]
    assert {point.kind for point in verdict.points} == {"train", "infer", "mine", "damaged"}
