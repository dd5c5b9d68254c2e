"""The whole line end to end, as a user runs it: new, run, again, edit, kill, register, predict."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.base.files import digest_tree

BIN = Path(sys.executable).parent
TIMED = ("runs/", "results/benchmark", "results/report")  # hold times and run ids: never compared
# of the digits; an entry of the workspace's own catalogue, so that each stage has a third of the pictures
FEW = {"train": 120, "val": 40, "test": 60}
ENTRY = """\
title: a few of the digits
licence: CC BY 4.0
homepage: https://scikit-learn.org
digest: {digest}
files: ["train/*.jpg", "val/*.jpg", "test/*.jpg", "annotations/*.json"]
places: [{{mirror: few}}]
"""
QUICK = ["fetch.dataset=few", "train.epochs=2", "train.validate_every=1", "train.model.image_size=96",
         "train.model.levels=3", "train.model.fpn_channels=32", "train.model.head_convs=1", "train.warmup=10",
         "train.lr=0.003", "prune.retrain.epochs=1", "prune.retrain.warmup=5", "prune.retrain.lr=0.003",
         "export.calibration.pictures=8", "export.parity.pictures=2", "export.parity.int8_ap_loss=0.2",
         "export.parity.int8_unmatched=1", "export.int8.float_layers=none", "evaluate.robustness.pictures=4",
         "benchmark.rounds=1", "benchmark.threads=1", "register.gate=lenient", "register.policy=auto"]
# a training of seconds reaches no honest floor; the workspace's own gate shows that conf/ of a workspace is asked too
LENIENT = ("floors: {AP: 0.0001, AP50: 0.0001}\nclasses: {AP50: null}\nlatency: {min_speedup: 0.01}\n"
           "min_test_pictures: 50\n")
STRICT = "floors: {AP: 0.99, AP50: 0.999}\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("prefect")
    # other tests of this process point both at stores and servers of their own
    known = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))}
    return {**known, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PREFECT_HOME": str(home),
            "GIT_CONFIG_GLOBAL": os.devnull, "VISIONMILL_MIRROR": str(tmp_path_factory.mktemp("mirror"))}


def call(words: list[str], folder: Path, environment: dict[str, str], code: int = 0, limit: float = 900) -> str:
    """Output of a command that must end with `code`."""
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)
    assert done.returncode == code, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def write_few(raw: Path, out: Path) -> None:
    """The first pictures of each split, and what is said of them."""
    for split, count in FEW.items():
        (out / split).mkdir(parents=True)
        told = json.loads((raw / f"annotations/instances_{split}.json").read_text())
        told["images"] = told["images"][:count]
        kept = {image["id"] for image in told["images"]}
        told["annotations"] = [one for one in told["annotations"] if one["image_id"] in kept]
        (out / "annotations").mkdir(exist_ok=True)
        (out / f"annotations/instances_{split}.json").write_text(json.dumps(told))
        for image in told["images"]:
            shutil.copy(raw / split / image["file_name"], out / split)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> tuple[Path, str]:
    """A workspace whose line has run once, and what the run printed."""
    folder = tmp_path_factory.mktemp("line") / "small"
    told = call(["visionmill", "new", str(folder), "--data", "digits"], folder.parent, environment)
    assert "700 pictures" in told.replace(",", "")
    few = Path(environment["VISIONMILL_MIRROR"]) / "datasets/few"
    write_few(folder / "data/raw", few)
    (folder / "conf/dataset").mkdir(parents=True)
    (folder / "conf/dataset/few.yaml").write_text(ENTRY.format(digest=digest_tree(few)))
    (folder / "conf/gate").mkdir(parents=True)
    (folder / "conf/gate/lenient.yaml").write_text(LENIENT)
    (folder / "conf/gate/strict.yaml").write_text(STRICT)
    call(["visionmill", "configure", *QUICK], folder, environment)
    call(["git", "add", "-A"], folder, environment)
    call(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "quick"], folder, environment)
    return folder, call(["visionmill", "run"], folder, environment)


def outputs(folder: Path) -> dict[str, str]:
    """Output path → hash of all that is to be equal, from dvc.lock."""
    lock = YAML(typ="safe").load((folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])
            if not out["path"].startswith(TIMED)}


def stale(folder: Path, environment: dict[str, str]) -> set[str]:
    told: dict[str, Any] = json.loads(call(["dvc", "status", "--json"], folder, environment))
    return set(told) - {"code"}


def test_a_run_ends_with_table_verdict_version_and_report(finished: tuple[Path, str]) -> None:
    folder, told = finished
    for name in ("trained/torch", "pruned/torch", "trained/cpu-fp32", "pruned/cpu-int8"):
        assert name in told
    assert "version 1" in told
    assert "champion" in told
    assert "mlflow ui" in told
    assert (folder / "results/report/index.html").stat().st_size > 100_000


def test_nothing_is_stale_afterwards(finished: tuple[Path, str], environment: dict[str, str]) -> None:
    assert stale(finished[0], environment) == set()
    assert "nothing to do" in call(["visionmill", "run"], finished[0], environment)


def test_an_edit_makes_stale_what_depends_on_it_alone(finished: tuple[Path, str], environment: dict[str, str]) -> None:
    folder = finished[0]
    before = (folder / "params.yaml").read_text()
    call(["visionmill", "configure", "prune.budget.kept_parameters=0.5"], folder, environment)
    assert stale(folder, environment) == {"prune"}
    (folder / "params.yaml").write_text(before)
    assert stale(folder, environment) == set()


def test_dvc_repro_by_hand_leaves_the_same_hashes(finished: tuple[Path, str], environment: dict[str, str],
                                                  tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    call(["git", "clone", "-q", str(finished[0]), str(clone)], tmp_path, environment)
    # the stages after it hold times alone, which are never compared
    call(["dvc", "repro", "-q", "evaluate"], clone, {**environment, "VISIONMILL_TRACKING": "off"})
    found = outputs(clone)
    assert found == outputs(finished[0]) and {"models/pruned", "exports/cpu-int8", "results/evaluate"} <= set(found)


def test_a_training_killed_in_the_middle_ends_bit_equal(finished: tuple[Path, str], environment: dict[str, str],
                                                        tmp_path: Path) -> None:
    folder = finished[0]
    words = ["visionmill", "stage", "train", "--raw", "data/raw", "--data", "data/split",
             "--out", str(tmp_path / "out"), "--run", str(tmp_path / "run.json")]
    quiet = {**environment, "VISIONMILL_TRACKING": "off"}
    process = subprocess.Popen(words, cwd=folder, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list((folder / ".visionmill/work").glob("train-*/checkpoint.pt")):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    assert "resumed at epoch 2" in call(words, folder, quiet)
    for name in ("model.json", "model.safetensors", "history.json"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / "models/trained" / name).read_bytes()
    assert not list((folder / ".visionmill/work").glob("train-*"))


def test_registering_again_gives_the_same_version(finished: tuple[Path, str], environment: dict[str, str]) -> None:
    assert "version 1" in call(["visionmill", "register"], finished[0], environment)


def test_a_gate_that_refuses_ends_with_3_and_keeps_the_version(finished: tuple[Path, str],
                                                               environment: dict[str, str]) -> None:
    folder = finished[0]
    call(["visionmill", "configure", "register.gate=strict"], folder, environment)
    told = call(["visionmill", "register"], folder, environment, code=3)
    call(["visionmill", "configure", "register.gate=lenient"], folder, environment)
    assert "AP50 floor" in told
    assert "at least 0.9990" in told


def test_predict_draws_and_writes(finished: tuple[Path, str], environment: dict[str, str], tmp_path: Path) -> None:
    folder = finished[0]
    picture = sorted((folder / "data/raw/test").glob("*.jpg"))[0]
    call(["visionmill", "predict", str(picture), "--out", str(tmp_path / "drawn"), "--threshold", "0.2"], folder,
         environment)
    said = json.loads((tmp_path / "drawn/predictions.json").read_text())
    assert said["provider"] == "CPUExecutionProvider"
    assert (tmp_path / "drawn" / f"{picture.stem}.png").is_file()
    words = ["visionmill", "predict", str(picture), "--out", str(tmp_path / "d2"), "--threshold", "sevn=0.2"]
    told = call(words, folder, environment, code=2)
    assert "the model knows no class 'sevn'" in told


def test_an_unknown_parameter_stops_before_anything_runs(finished: tuple[Path, str],
                                                          environment: dict[str, str]) -> None:
    folder = finished[0]
    params = folder / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("  batch_size: 8\n", "  batch_sise: 8\n", 1))
    told = call(["visionmill", "run"], folder, environment, code=2)
    params.write_text(before)
    assert "unknown parameter 'batch_sise'" in told
    assert "did you mean 'batch_size'" in told
    assert stale(folder, environment) == set()
