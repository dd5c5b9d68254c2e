"""A line of two stages that takes seconds, whose outputs the real registry registers: flows, DVC and MLflow are real.

`train.ap` is the accuracy that a rebuild comes to; another value is another model and another version.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.flows.toy import Toy

ROOT = Path(__file__).resolve().parents[2]
TRAIN = '''\
"""In place of training: tracked, takes a second, writes models by hand."""

import shutil
import tempfile
import time
from pathlib import Path

from tasks.base.files import folder_atomic, read_json
from tasks.base.params import Params as Base
from tasks.registry.runs import stage_run


class Params(Base):
    ap: float = 0.5
    epochs: int = 8


def run(params: Params, *, out: Path, run_file: Path) -> None:
    from tasks.handmade import LINE, write_line

    with stage_run("train", line=LINE, params=params.model_dump(), record=run_file) as tracked:
        for epoch in range(params.epochs):
            time.sleep(0.1)
            tracked.metrics({"loss": 1 / (epoch + 1), "val": {"AP": params.ap}}, step=epoch)
        with tempfile.TemporaryDirectory() as folder, folder_atomic(out) as models:
            write_line(Path(folder), ap=params.ap)
            shutil.copytree(Path(folder) / "models", models, dirs_exist_ok=True)
'''
EVALUATE = '''\
"""In place of exporting, evaluating and timing: writes what they write."""

import shutil
import tempfile
import time
from pathlib import Path

from tasks.base.files import folder_atomic, read_json
from tasks.base.params import Params as Base


class Params(Base):
    pass


def run(params: Params, *, models: Path, exports: Path, results: Path) -> None:
    from tasks.handmade import write_line

    ap = float((models / "trained/model.safetensors").read_bytes().split()[-1])
    time.sleep(0.3)
    with tempfile.TemporaryDirectory() as folder:
        write_line(Path(folder), ap=ap)
        for name, out in (("exports", exports), ("results", results)):
            with folder_atomic(out) as made:
                shutil.copytree(Path(folder) / name, made, dirs_exist_ok=True)
'''
DVC = """\
stages:
  code:
    cmd: visionmill stage code --out code.yaml
    always_changed: true
    outs:
      - code.yaml:
          cache: false
  train:
    cmd: visionmill stage train --out models --run-file runs/train.json
    params:
      - train
      - code.yaml:
          - train
    outs:
      - models
      - runs/train.json
  evaluate:
    cmd: visionmill stage evaluate --models models --exports exports --results results
    deps:
      - models
    params:
      - code.yaml:
          - evaluate
    outs:
      - exports
      - results
"""


def make_installation(folder: Path) -> Path:
    """The real program, two of its stages replaced."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("flows", "conf", "tasks"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    (folder / "tasks/train.py").write_text(TRAIN)
    (folder / "tasks/evaluate.py").write_text(EVALUATE)
    shutil.copy(ROOT / "tests/registry/cases.py", folder / "tasks/handmade.py")
    return folder


class Line(Toy):
    """A workspace with that line; commands run in it with the MLflow server at `mlflow`."""

    def __init__(self, folder: Path, installation: Path, prefect_home: Path, **env: str) -> None:
        super().__init__(folder, installation, prefect_home)
        self.env |= env
        (folder / "dvc.yaml").write_text(DVC)
        (folder / ".gitignore").write_text("/.visionmill/\n/mlflow.db*\n/mlruns/\n")
        self.build(0.3)
        self._data(folder)

    def _data(self, folder: Path) -> None:
        """Pictures and split, which no stage of this line makes."""
        code = "from pathlib import Path; from tasks.handmade import write_data; write_data(Path(), 0.3)"
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=self.env, check=True)
        shutil.rmtree(folder / "results")

    def build(self, ap: float) -> None:
        """Ask for a model of that accuracy."""
        (self.path / "params.yaml").write_text(
            f"train:\n  ap: {ap}\n  epochs: 8\nexport:\n  targets: [cpu-fp32, cpu-int8]\n"
            "register:\n  name: toy\n  policy: auto\n")

    def mine(self) -> list[int]:
        """Processes whose current folder is this workspace."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink() == self.path.resolve():
                    found.append(int(entry.name))
            except OSError:
                continue
        return sorted(found)

    def like(self, pattern: str) -> list[int]:
        """Those of them whose command line matches."""
        found = []
        for pid in self.mine():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if re.search(pattern, words):
                found.append(pid)
        return found
