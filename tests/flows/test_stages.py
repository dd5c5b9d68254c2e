"""Running one command as a stage: its lines, its time limit, its receipt."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from flows.commands import stage as verb
from flows.processes import marked
from flows.stages import (
    RAN,
    RESTORED,
    UP_TO_DATE,
    Outcome,
    StageFailed,
    _failure,
    expected_seconds,
    remember_duration,
    run_stage,
    stream,
)
from tasks.base.errors import ParamsError, UserError
from tasks.base.params import Params
from tests.flows.toy import Toy


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_pass_as_they_come_and_noise_does_not(tmp_path: Path) -> None:
    said: list[str] = []
    code, tail = stream(python("print('Running stage x'); print('a\\rb'); raise SystemExit(7)"), tmp_path,
                        tmp_path / "receipt", 30, said.append)
    assert code == 7
    assert said == ["a", "b"] and tail == ["Running stage x", "a", "b"]


def test_a_command_over_its_time_limit_is_stopped_with_its_children(tmp_path: Path, monkeypatch: object) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    start = time.monotonic()
    environment = {"VISIONMILL_RUN": f"test-{tmp_path}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*next(iter(environment.items())))
        code, tail = stream(python(child), tmp_path, tmp_path / "receipt", 1.0, lambda text: None)
    assert code != 0 and "time limit of 1 s" in tail[-1]
    assert time.monotonic() - start < 10 and marked(f"test-{tmp_path}") == []


def test_exit_code_and_text_come_from_the_receipt_else_from_dvc() -> None:
    with_receipt = _failure("train", 255, {"exit_code": 2, "error": "no such class"}, ["ERROR: failed"], 1.0)
    assert (with_receipt.exit_code, with_receipt.reason) == (2, "no such class")
    without = _failure("train", 255, None, ["ERROR: missing data 'source': raw"], 1.0)
    assert (without.exit_code, without.reason) == (1, "missing data 'source': raw")


@pytest.mark.parametrize(("code", "retriable"), [(1, True), (137, True), (2, False), (3, False)])
def test_only_our_own_errors_are_worth_another_try(code: int, retriable: bool) -> None:
    assert StageFailed(Outcome("train", "failed", exit_code=code)).retriable is retriable


def test_time_left_is_as_last_time_else_as_usual(tmp_path: Path) -> None:
    assert expected_seconds(["train", "export@cpu-int8"], tmp_path) == 460
    remember_duration("train", 100, tmp_path)
    assert expected_seconds(["train", "export@cpu-int8"], tmp_path) == 140


def test_outcomes_of_one_stage(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, toy.env[name])

    def outcome(name: str) -> str:
        return run_stage(toy.path, name, limit_s=60, say=lambda text: None).what

    assert [outcome(name) for name in ("code", "ingest", "split")] == [RAN] * 3
    assert outcome("ingest") == UP_TO_DATE
    toy.edit("ingest:\n  words: 3", "ingest:\n  words: 2")
    assert outcome("ingest") == RAN
    toy.edit("ingest:\n  words: 2", "ingest:\n  words: 3")
    assert outcome("ingest") == RESTORED
    (toy.path / "fail-ingest").write_text("2")
    toy.edit("ingest:\n  words: 3", "ingest:\n  words: 1")
    with pytest.raises(StageFailed, match="ingest does not like its input") as failure:
        outcome("ingest")
    assert failure.value.exit_code == 2


class Given(Params):
    epochs: int = 3


def run(params: Given, *, raw: Path, target: str, out_file: Path = Path("x")) -> None:
    """A stage's signature."""


def test_arguments_become_what_they_are_annotated_as() -> None:
    words = verb.pairs(["--raw", "data/raw", "--target=cpu-int8", "--out-file", "y"])
    assert verb.bind(run, words) == {"raw": Path("data/raw"), "target": "cpu-int8", "out_file": Path("y")}


@pytest.mark.parametrize(("words", "message"), [
    (["raw"], "expected --key PATH, got 'raw'"),
    (["--raw"], "--raw has no value"),
    (["--raw", "a", "--taget", "b"], "did you mean --target?"),
    (["--raw", "a"], "argument --target is missing"),
])
def test_wrong_arguments(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        verb.bind(run, verb.pairs(words))
    assert message in str(error.value) and error.value.exit_code == 2


def test_a_section_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("trian:\n  epochs: 4\n")
    with pytest.raises(ParamsError, match="unknown section 'trian'"):
        verb.read_section(Given, "train", path)
    path.write_text("train:\n  epochs: 4\n")
    assert verb.read_section(Given, "train", path) == Given(epochs=4)


def test_a_receipt_has_exit_code_seconds_and_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_RECEIPT", str(tmp_path / "receipt"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "_end_with_parent", lambda: None)
    with pytest.raises(UserError):
        verb.main(["cod"])
    assert verb.main(["code", "--out", "code.yaml"]) == 0
    first, second = [json.loads(text) for text in (tmp_path / "receipt").read_text().splitlines()]
    assert first["exit_code"] == 2 and "did you mean 'code'?" in first["error"]
    assert second["exit_code"] == 0 and second["error"] is None and second["seconds"] >= 0
