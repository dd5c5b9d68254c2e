"""Which output of a rebuild is equal, equal within a tolerance, or differs: tables of cases over a small DVC cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.registry.tracing.again import (
    DIFFERS,
    EQUAL,
    NEAR,
    NEVER,
    NOT_REBUILT,
    Compared,
    Sides,
    code_differs,
    compare,
    holds,
)
from tasks.registry.tracing.kept import Kept

HERE, ELSEWHERE = "this processor, 2 threads", "another, 8 threads"


def put(folder: Path, content: bytes, ending: str = "") -> str:
    md5 = hashlib.md5(content).hexdigest() + ending
    file = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return md5


def put_folder(folder: Path, files: dict[str, bytes]) -> str:
    entries = [{"md5": put(folder, content), "relpath": name} for name, content in files.items()]
    return put(folder, json.dumps(entries).encode(), ".dir")


def metrics(ap: float, names: tuple[str, ...] = ("pruned/cpu-int8",)) -> dict[str, bytes]:
    return {"metrics.json": json.dumps({"artefacts": {name: {"AP": ap, "AP50": 0.8} for name in names}}).encode()}


def images(split: str) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    for name, columns in (("images.parquet", {"digest": ["a"], "split": [split]}),
                          ("annotations.parquet", {"image_id": [0], "class_id": [1]})):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink)
        made[name] = sink.getvalue().to_pybytes()
    return made


class Case:
    """A version with some outputs, and the folder where they were built again."""

    def __init__(self, tmp_path: Path) -> None:
        self.was, self.place = tmp_path / "was", tmp_path / "again"
        self.stages: list[dict[str, Any]] = []
        self.now: dict[str, str] = {}
        for folder in (self.was, self.place):
            (folder / ".dvc").mkdir(parents=True)

    def output(self, stage: str, path: str, was: str, now: str) -> None:
        self.stages.append({"name": stage, "outs": [{"path": path, "hash": was}], "deps": [],
                            "params": {"code.yaml": {stage: "1"}}})
        self.now[stage] = f"  {stage}:\n    cmd: x\n    outs:\n    - path: {path}\n      md5: {now}\n" if now else ""

    def rows(self, kind: str | None, done: list[str] | None = None) -> dict[str, Compared]:
        (self.place / "dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(self.now.values()))
        sides = Sides(Kept(self.was), Kept(self.place), {"train": kind}, HERE, 0.01)
        every = [stage["name"] for stage in self.stages]
        self.last = compare(self.stages, self.place, every if done is None else done, sides)
        return {row.stage: row for row in self.last}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def weights(case: Case) -> None:
    case.output("train", "models/trained", put_folder(case.was, {"model.safetensors": b"1", "model.json": b"{}"}),
                put_folder(case.place, {"model.safetensors": b"2", "model.json": b"{}"}))


def accuracy(case: Case, was: float, now: float, names: tuple[str, ...] = ("pruned/cpu-int8",)) -> None:
    case.output("evaluate", "results/evaluate", put_folder(case.was, metrics(was)),
                put_folder(case.place, metrics(now, names)))


def test_equal_to_the_bit(case: Case) -> None:
    case.output("train", "models/trained", "aa.dir", "aa.dir")
    assert case.rows(HERE)["train"].verdict == EQUAL and holds(case.last)


def test_on_the_same_kind_of_machine_every_bit_counts(case: Case) -> None:
    weights(case)
    accuracy(case, 0.5, 0.501)
    rows = case.rows(HERE)
    assert {row.verdict for row in rows.values()} == {DIFFERS} and not holds(case.last)
    assert "model.safetensors" in rows["train"].detail and "model.json" not in rows["train"].detail
    assert "0.0010" in rows["evaluate"].detail


@pytest.mark.parametrize(("now", "names", "verdict"), [
    (0.509, ("pruned/cpu-int8",), NEAR), (0.511, ("pruned/cpu-int8",), DIFFERS), (0.5, ("another",), DIFFERS)])
@pytest.mark.parametrize("kind", [ELSEWHERE, None])
def test_elsewhere_weights_are_as_near_as_their_accuracy(now: float, names: tuple[str, ...], verdict: str,
                                                         kind: str | None, case: Case) -> None:
    weights(case)
    accuracy(case, 0.5, now, names)
    rows = case.rows(kind)
    assert {row.verdict for row in rows.values()} == {verdict} and holds(case.last) == (verdict == NEAR)
    assert (ELSEWHERE if kind else "not recorded") in rows["train"].detail


def test_elsewhere_without_an_accuracy_nothing_is_near(case: Case) -> None:
    weights(case)
    assert case.rows(ELSEWHERE)["train"].verdict == DIFFERS
    assert "evaluate was not rebuilt" in case.last[0].detail


@pytest.mark.parametrize(("split", "verdict"), [("train", NEAR), ("test", DIFFERS)])
def test_elsewhere_tables_need_the_same_rows(split: str, verdict: str, case: Case) -> None:
    case.output("split", "data/split", put_folder(case.was, {**images("train"), "note": b"1"}),
                put_folder(case.place, {**images(split), "note": b"2"}))
    assert case.rows(ELSEWHERE)["split"].verdict == verdict


@pytest.mark.parametrize("path", ["runs/train.json", "results/benchmark", "results/report", "code.yaml"])
def test_times_and_run_ids_are_never_compared(path: str, case: Case) -> None:
    case.output("train", path, "aa", "bb")
    assert case.rows(HERE)["train"].verdict == NEVER and not holds(case.last)


def test_what_did_not_run_proves_nothing(case: Case) -> None:
    case.output("train", "models/trained", "aa.dir", "aa.dir")
    assert case.rows(HERE, done=[])["train"].verdict == NOT_REBUILT and not holds(case.last)


def test_an_output_that_was_not_made(case: Case) -> None:
    case.output("train", "models/trained", "aa.dir", "")
    assert case.rows(HERE)["train"].verdict == DIFFERS


def test_which_stages_code_is_another(case: Case) -> None:
    case.output("train", "models/trained", "aa.dir", "aa.dir")
    case.output("prune", "models/pruned", "bb.dir", "bb.dir")
    assert code_differs(case.stages, case.place) == ["train", "prune"]
    (case.place / "code.yaml").write_text("train: '1'\nprune: '2'\n")
    assert code_differs(case.stages, case.place) == ["prune"]
