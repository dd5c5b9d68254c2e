from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import UserError
from tasks.plugins.labeller import open_plugin
from tasks.plugins.tiny import tiny
from tests.plugins.programs import PROGRAM, describe

# in place of the engine: notes its arguments, and runs our program with the folders that would be /in and /out
ENGINE = """\
#!{python}
import json, os, re, sys
from pathlib import Path

with open({notes!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "run":
    mounts = [sys.argv[i + 1].removesuffix(":ro").rsplit(":", 1) for i, word in enumerate(sys.argv) if word == "-v"]
    here = {{inside: folder for folder, inside in mounts}}
    for name in ("env.yaml", "config.yaml", "candidate-index.tsv"):
        path = Path(here["/in"]) / name
        assert not re.search("(?<![0-9a-z])" + re.escape(here["/in"]), path.read_text()), name
    os.execv(sys.executable, [sys.executable, {program!r}, sys.argv[-1], here["/in"], here["/out"]])
"""


def engine(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    notes, program = folder / "asked.jsonl", folder / "program.py"
    program.write_text(PROGRAM)
    path = folder / "bin" / name
    path.parent.mkdir()
    path.write_text(ENGINE.format(python=sys.executable, notes=str(notes), program=str(program)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return notes


def look(folder: Path, image: str, **fields: object) -> int:
    describe(folder, "boxed", command=[], image=image, fixed_paths=True, **fields)
    some = [one.source for one in tiny(2, "ab") if isinstance(one.source, np.ndarray)]
    return len(open_plugin("boxed", ["a", "b"], folder).ask(some))


def asked(notes: Path) -> list[list[str]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


def test_docker_is_given_folders_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = engine(tmp_path, "docker", monkeypatch)
    assert look(tmp_path, "good", gpus="0,2", environment={"A": "1"}, options=["--memory", "4g"]) == 2
    words, = asked(notes)
    task = words[words.index("--name") + 1]
    mounts = [words[at + 1] for at, word in enumerate(words) if word == "-v"]
    room = mounts[0].partition("/in:")[0]
    assert words == ["run", "--rm", "--init", "--name", task, "--user", f"{os.getuid()}:{os.getgid()}",
                     "-v", f"{room}/in:/in:ro", "-v", f"{room}/out:/out", "--gpus", '"device=0,2"',
                     "--shm-size", "32G", "--security-opt", "no-new-privileges", "--cap-drop", "ALL",
                     "--network", "none", "--env", "A=1", "--memory", "4g", "good"]
    assert room.startswith(str(tmp_path.resolve())) and task.startswith("t")


def test_podman_keeps_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = engine(tmp_path, "podman", monkeypatch)
    assert look(tmp_path, "good", engine="podman", gpus="1", network=True) == 2
    words, = asked(notes)
    assert words[words.index("--userns"):][:2] == ["--userns", "keep-id"] and "--network" not in words
    assert words[words.index("--device"):][:2] == ["--device", "nvidia.com/gpu=1"]


def test_a_container_that_never_ends_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = engine(tmp_path, "docker", monkeypatch)
    with pytest.raises(UserError, match="did not end within"):
        look(tmp_path, "never", minutes=0.03)
    first, last = asked(notes)
    assert last == ["kill", first[first.index("--name") + 1]]


def test_a_missing_engine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs 'podman', which is not on this machine"):
        look(tmp_path, "good", engine="podman")
