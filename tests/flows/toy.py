"""A line of six tiny stages, run by the real `visionmill`, DVC and Prefect.

`make_installation` copies the real flows beside toy stages, so that a test may edit code; `PYTHONPATH` puts it first.
Files in the workspace make a stage misbehave: `fail-NAME` holds its exit code, `slow-NAME` the seconds that it sleeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "ingest": ["raw"],
    "split": ["ingest"],
    "train": ["split"],
    "export": ["train"],
    "evaluate": ["train", "export"],
    "report": ["evaluate"],
}
WORK = '''\
"""What each toy stage does: take the first words of its inputs."""

import sys
import time
from pathlib import Path

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import write_atomic
from tasks.base.params import Params as Base


class Params(Base):
    words: int = 3


def work(name: str, params: Params, paths: dict[str, Path]) -> None:
    with Path("ran.log").open("a") as log:
        print(name, file=log)
    misbehave(name)
    out, run = paths.pop("out"), paths.pop("run", None)
    words = " ".join(path.read_text() for path in paths.values()).split()
    write_atomic(out, " ".join(words[: params.words]) + f" {name}\\n")
    if run:
        write_atomic(run, f'{{"time": {time.time()}}}')
    print(f"{name} wrote {params.words} words")


def misbehave(name: str) -> None:
    slow, fail = Path(f"slow-{name}"), Path(f"fail-{name}")
    for step in range(int(float(slow.read_text()) * 20) if slow.exists() else 0):
        print(f"{name} step {step}", file=sys.stderr, flush=True)
        time.sleep(0.05)
    if fail.exists():
        kind = UserError if fail.read_text() == "2" else VisionmillError
        raise kind(f"{name} does not like its input")
'''
REGISTERED = '''\
"""In place of the registry: counts versions in a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from tasks.base.files import digest_file, read_json, write_json

FILE = Path(".visionmill/registered.json")


@dataclass
class Registration:
    version: int
    passed: bool
    name: str = "toy"
    run_id: str = ""
    uri: str = ""
    aliases: tuple = ("candidate",)

    @property
    def gate(self) -> SimpleNamespace:
        rule = SimpleNamespace(name="floor", verdict="pass" if self.passed else "fail", reason="AP 0.60, floor 0.50")
        return SimpleNamespace(passed=self.passed, rules=[rule])


def is_registered(workspace: Path = Path()) -> Registration | None:
    saved = read_json(workspace / FILE) if (workspace / FILE).exists() else {}
    fresh = bool(saved) and saved["lock"] == digest_file(workspace / "dvc.lock")
    return Registration(saved["version"], saved["passed"]) if fresh else None


def register(workspace: Path = Path()) -> Registration:
    if (workspace / "fail-register").exists():
        raise RuntimeError("the store broke")
    saved = read_json(workspace / FILE) if (workspace / FILE).exists() else {"version": 0}
    made = Registration(saved["version"] + 1, not (workspace / "fail-gate").exists())
    lock = digest_file(workspace / "dvc.lock")
    write_json(workspace / FILE, {"version": made.version, "passed": made.passed, "lock": lock})
    return made
'''
REGISTER = '''\
"""In place of the registry."""

from tasks.base.params import Params as Base
from tasks.registry.registered import Registration, is_registered, register

__all__ = ["Params", "Registration", "is_registered", "register"]


class Params(Base):
    policy: str = "manual"
    name: str | None = None
'''


def make_installation(folder: Path) -> Path:
    """The real flows and base, with the toy's stages."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("flows", "conf", "tasks/base"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    for file in ("tasks/__init__.py", "tasks/code.py"):
        shutil.copy(ROOT / file, folder / file)
    (folder / "tasks/registry").mkdir()
    (folder / "tasks/registry/__init__.py").touch()
    shutil.copy(ROOT / "tasks/registry/store.py", folder / "tasks/registry/store.py")
    shutil.copy(ROOT / "tasks/registry/moved.py", folder / "tasks/registry/moved.py")
    (folder / "tasks/registry/register.py").write_text(REGISTER)
    (folder / "tasks/registry/registered.py").write_text(REGISTERED)
    (folder / "tasks/registry/versions.py").write_text("def champion(name=None, workspace=None):\n    return None\n")
    (folder / "tasks/work.py").write_text(WORK)
    for name, needs in STAGES.items():
        (folder / f"tasks/{name}.py").write_text(_source(name, needs))
    return folder


def _source(name: str, needs: list[str]) -> str:
    arguments = [*needs, "out", *(["run_file"] if name == "train" else [])]
    typed = ", ".join(f"{argument}: Path" for argument in arguments)
    passed = ", ".join(f'"{a.removesuffix("_file")}": {a}' for a in arguments)
    return (f'"""Toy stage {name}."""\n\nfrom pathlib import Path\n\nfrom tasks.work import Params, work\n\n\n'
            f'def run(params: Params, *, {typed}) -> None:\n    work("{name}", params, {{{passed}}})\n')


def make_workspace(folder: Path) -> Path:
    """A workspace with the toy line, git and DVC; nothing has run."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "  code:\n    cmd: visionmill stage code --out code.yaml\n    always_changed: true\n"
    outs = "    outs:\n      - code.yaml:\n          cache: false\n"
    blocks = "".join(_block(name, needs) for name, needs in STAGES.items())
    (folder / "dvc.yaml").write_text(f"stages:\n{code}{outs}{blocks}")
    sections = "".join(f"{name}:\n  words: 3\n" for name in STAGES)
    (folder / "params.yaml").write_text(f"# the toy\n{sections}register:\n  policy: manual\n")
    (folder / "raw.txt").write_text("one two three four five six\n")
    (folder / ".gitignore").write_text("/.visionmill/\n/ran.log\n/code.yaml\n/fail-*\n/slow-*\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def _block(name: str, needs: list[str]) -> str:
    arguments = " ".join(f"--{need} {need}.txt" for need in needs)
    record = f" --run-file runs/{name}.json" if name == "train" else ""
    outs = [f"{name}.txt"] + ([f"runs/{name}.json"] if record else [])
    lines = [f"  {name}:", f"    cmd: visionmill stage {name} {arguments} --out {name}.txt{record}", "    deps:"]
    lines += [f"      - {need}.txt" for need in needs]
    lines += ["    params:", f"      - {name}", "      - code.yaml:", f"          - {name}", "    outs:"]
    return "\n".join([*lines, *(f"      - {out}" for out in outs)]) + "\n"


class Toy:
    """A toy workspace and the environment in which commands run there."""

    def __init__(self, folder: Path, installation: Path, prefect_home: Path) -> None:
        self.path, self.installation = make_workspace(folder), installation
        self.env = {**os.environ, "PYTHONPATH": str(installation), "PREFECT_HOME": str(prefect_home),
                    "PYTHONDONTWRITEBYTECODE": "1", "DVC_NO_ANALYTICS": "1",
                    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        self.env.pop("PREFECT_API_URL", None)

    def command(self, *words: str) -> list[str]:
        program = {"visionmill": ["-P", "-m", "flows.cli"], "dvc": ["-P", "-m", "dvc"]}
        return [sys.executable, *program[words[0]], *words[1:]]

    def run(self, *words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; both streams are in `stdout`."""
        return subprocess.run(self.command(*words), cwd=self.path, env=self.env, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(*words), cwd=self.path, env=self.env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ran(self) -> list[str]:
        """Stages that ran since the last call."""
        log = self.path / "ran.log"
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return names

    def edit(self, old: str, new: str) -> None:
        params = self.path / "params.yaml"
        text = params.read_text()
        assert old in text
        params.write_text(text.replace(old, new, 1))
