"""How fast the registry's past is told: python -m benchmarks.lineage [--versions 500] [--runs 5000] [--keep FOLDER]

A synthetic workspace: MLflow's own tables, filled with versions, their runs and tags, papers of 17 stages beside each
version, and a split table in DVC's cache for every ten of them. Whole processes are timed. Asked: 3 s.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.base.files import digest_file, write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.registry import store, versions

ASKED_S = 3.0
PICTURES, BOXES, EACH = 300, 4, 10
STAGES = ("train", "prune", *(f"export@cpu-{n}" for n in range(6)), "evaluate", "benchmark")
NAME = "cells"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--versions", type=int, default=500)
    arguments.add_argument("--runs", type=int, default=5000)
    arguments.add_argument("--keep", type=Path, help="make the workspace here, and leave it")
    options = arguments.parse_args()
    if options.keep:
        make(options.keep, options.versions, options.runs)
        report(options.keep, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / NAME, options.versions, options.runs)
        report(made, options)


def make(workspace: Path, count: int, runs: int) -> Path:
    """A workspace with `count` versions and `runs` runs, no pictures."""
    workspace.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    (workspace / ".dvc").mkdir()
    for name, text in (("dvc.yaml", "stages: {}\n"), ("params.yaml", f"register:\n  name: {NAME}\n"),
                       (".dvc/config", "")):
        (workspace / name).write_text(text)
    mlflow = store.client(workspace)
    place = store.experiment(mlflow, workspace)
    mlflow.create_registered_model(NAME)
    splits = [split(workspace, number) for number in range(-(-count // EACH))]
    with closing(sqlite3.connect(workspace / "mlflow.db")) as base:
        fill(base, workspace, place, count, runs, splits)
        base.commit()
    return workspace


def split(workspace: Path, number: int) -> str:
    """A split's tables in DVC's cache; returns its hash."""
    rows = PICTURES + 20 * number
    images = {"image_id": range(rows), "file": [f"p{i:05d}.jpg" for i in range(rows)], "width": [640] * rows,
              "height": [480] * rows, "digest": [hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(rows)],
              "bytes": [9000] * rows, "orientation": [1] * rows,
              "split": ["test" if i % 7 == 0 else "val" if i % 7 == 1 else "train" for i in range(rows)]}
    boxes = {"annotation_id": range(rows * BOXES), "image_id": [i // BOXES for i in range(rows * BOXES)],
             "class_id": [i % 3 for i in range(rows * BOXES)], **{n: [8.0] * rows * BOXES for n in "xywh"},
             "area": [64.0] * rows * BOXES, "iscrowd": [False] * rows * BOXES, "difficult": [False] * rows * BOXES,
             "source": ["human" if i % 5 else "models:/cells/1" for i in range(rows * BOXES)],
             "score": [None if i % 5 else 0.5 for i in range(rows * BOXES)], "row": ["a.json"] * rows * BOXES}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "split"
        write_dataset(made, Dataset(table(images, IMAGES), table(boxes, ANNOTATIONS),
                                    Meta(name=NAME, classes=["RBC", "WBC", "Platelets"], licence="CC0")))
        entries = [{"md5": keep(workspace, file.read_bytes()), "relpath": file.name} for file in sorted(made.iterdir())]
    return keep(workspace, json.dumps(entries).encode(), ".dir")


def table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    rows = len(columns[schema.names[0]])
    return pa.table([pa.array(columns.get(field.name, [None] * rows), field.type) for field in schema], schema=schema)


def keep(workspace: Path, content: bytes, ending: str = "") -> str:
    md5 = hashlib.md5(content).hexdigest() + ending
    file = workspace / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return md5


def fill(base: sqlite3.Connection, workspace: Path, place: str, count: int, runs: int, splits: list[str]) -> None:
    draw = random.Random(0)
    began = 1_760_000_000_000
    each = max(runs // max(count, 1) - 1, 1)
    for number in range(1, count + 1):
        when = began + number * 86_400_000
        data, key = splits[(number - 1) // EACH], hashlib.md5(f"{number}".encode()).hexdigest()
        ids = {f"s{i}" if i >= len(STAGES) else STAGES[i]: hashlib.md5(f"{number}-{i}".encode()).hexdigest()
               for i in range(each)}
        for stage, run in [*ids.items(), ("line", key)]:
            add_run(base, run, stage, place, when, workspace, key)
        files = workspace / "mlruns" / NAME / "models" / f"m-{key}" / "artifacts"
        lock = papers(files / "lineage", data, number)
        passed = number % 4 != 0
        accuracy = 0.35 + 0.3 * number / (count + 8) + draw.uniform(-0.02, 0.02)
        tags = {"line": key, "key": key, "parent_run": key, "artefact": "pruned/cpu-int8", "git_commit": key * 2,
                "version": "0.1.0", "uncommitted": "no", "data_hash": data, "test_hash": splits[(number - 1) // 100],
                "dvc.lock": lock, "AP": f"{accuracy:.12g}", "AP50": f"{accuracy + 0.2:.12g}", "licence": "CC0",
                "bytes": str(1_200_000 - 900 * number), "median_ms": f"{2.4 - number / (2 * count):.4f}",
                "gate": "passed" if passed else "refused: AP against the champion, latency", "gate_preset": "default",
                "gate_hash": hashlib.sha256(b"gate").hexdigest(), "machine": "synthetic, 2 cores",
                **{f"run.{stage.replace('@', '/')}": run for stage, run in ids.items()}}
        base.execute("insert into model_versions (name, version, creation_time, last_updated_time, description, "
                     "current_stage, source, run_id, status, storage_location) values (?, ?, ?, ?, '', 'None', ?, ?, "
                     "'READY', ?)", (NAME, number, when, when, f"models:/m-{key}", key, files.as_uri()))
        base.executemany("insert into model_version_tags (key, value, name, version) values (?, ?, ?, ?)",
                         [(f"visionmill.{name}", text, NAME, number) for name, text in tags.items()])
        write_json(workspace / "mlruns" / NAME / key / "artifacts" / f"version-{number}" / "gate.json", gate(passed))
    held = {"candidate": count, "champion": max(count - 1, 1), "previous": max(count - 2, 1)}
    base.executemany("insert into registered_model_aliases (alias, version, name) values (?, ?, ?)",
                     [(alias, number, NAME) for alias, number in held.items()] if count else [])


def add_run(base: sqlite3.Connection, run: str, stage: str, place: str, when: int, workspace: Path, key: str) -> None:
    base.execute("insert into runs (run_uuid, name, status, lifecycle_stage, start_time, end_time, artifact_uri, "
                 "experiment_id) values (?, ?, 'FINISHED', 'active', ?, ?, ?, ?)",
                 (run, f"{stage} {key[:8]}", when, when + 60_000, (workspace / "mlruns" / NAME / run /
                                                                  "artifacts").as_uri(), int(place)))
    tags = {"git_commit": key * 2, "line": key, "stage": stage, "uncommitted": "no", "machine_kind": "synthetic"}
    base.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)",
                     [(f"visionmill.{name}", text, run) for name, text in tags.items()])


def papers(folder: Path, data: str, number: int) -> str:
    """dvc.lock, dvc.yaml and params.yaml of a line of 17 stages; returns the lock's digest."""
    def stage(name: str, deps: list[str], outs: list[str]) -> str:
        def md5(path: str) -> str:
            return data if path == "data/split" else hashlib.md5(f"{path}{number}".encode()).hexdigest()
        listed = {"deps": deps, "outs": outs}
        return f"  {name}:\n    cmd: visionmill stage {name}\n" + "".join(
            f"    {kind}:\n" + "".join(f"    - path: {path}\n      hash: md5\n      md5: {md5(path)}\n      size: 10\n"
                                       for path in paths) for kind, paths in listed.items() if paths)
    order = [("fetch", [], ["data/raw"]), ("ingest", ["data/raw"], ["data/ingested"]),
             ("validate", ["data/ingested", "data/raw"], ["data/valid"]),
             ("neighbours", ["data/valid"], ["data/neighbours"]),
             ("split", ["data/valid", "data/neighbours"], ["data/split"]),
             ("train", ["data/raw", "data/split"], ["models/trained", "runs/train.json"]),
             ("prune", ["data/split", "models/trained"], ["models/pruned", "runs/prune.json"]),
             *((f"export@cpu-{n}", ["models/trained", "models/pruned"], [f"exports/cpu-{n}"]) for n in range(6)),
             ("evaluate", ["models/pruned", *(f"exports/cpu-{n}" for n in range(6))], ["results/evaluate"]),
             ("benchmark", ["models/pruned"], ["results/benchmark"]), ("report", ["results/evaluate"],
                                                                     ["results/report"])]
    folder.mkdir(parents=True)
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(stage(*one) for one in order))
    (folder / "params.yaml").write_text("train:\n  epochs: 30\n  lr: 0.001\nfetch:\n  dataset: bccd\n")
    return digest_file(folder / "dvc.lock")


def gate(passed: bool) -> dict[str, object]:
    rules = [{"name": "AP against the champion", "verdict": "pass" if passed else "fail",
              "reason": "0.690 against 0.695: the drop may be 0.02 at 95 %, at most 0.01"},
             {"name": "size", "verdict": "pass", "reason": "1.20 MB, at most 50.00 MB"},
             {"name": "latency", "verdict": "not applicable", "reason": "no limit is asked: 2.19 ms"}]
    return {"gate": "default", "passed": passed, "rules": rules}


def report(workspace: Path, options: argparse.Namespace) -> None:
    print(f"{options.versions} versions, {options.runs} runs; asked: {ASKED_S:.1f} s each")
    began = time.perf_counter()
    found = versions.versions(store.client(workspace), NAME)
    print(f"versions by MLflow's client, in process    {time.perf_counter() - began:6.2f} s ({len(found)})")
    middle = str(max(options.versions // 2, 1))
    for words in (["lineage"], ["lineage", middle], ["lineage", "--html", str(workspace / "lineage.html")],
                  ["lineage", "--picture", "p00003.jpg"], ["status", "--html", str(workspace / "project.html")]):
        seen = min(seconds(words, workspace) for _ in range(3))
        shown = " ".join(word if "/" not in word else "FILE" for word in words)
        print(f"visionmill {shown:32} {seen:6.2f} s {'' if seen <= ASKED_S else 'MORE THAN ASKED'}", flush=True)


def seconds(words: list[str], workspace: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-m", "flows.cli", *words], cwd=workspace, capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"{words}: {done.stderr[-2000:]}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
