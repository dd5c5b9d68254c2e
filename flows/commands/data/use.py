"""`data use`: the version that this workspace's line reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from flows import parameters
from flows.commands.data.help import parser
from flows.datastore import DVC, open_store
from flows.workspace import enter, render
from tasks.base.errors import VisionmillError
from tasks.base.files import write_atomic

EXAMPLES = """\
  visionmill data use cells@2; visionmill run
  git checkout params.yaml dvc.yaml data/raw.dvc; dvc checkout      back to the folder that was read before"""


def main(verb: str, words: list[str]) -> int:
    """Write the choice into params.yaml, and the stage that follows it into dvc.yaml."""
    arguments = parser(verb, EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]")
    options = arguments.parse_args(words)
    workspace = enter()
    version = open_store().find(options.dataset)
    print(f"{version.ref}: {version.meta.problem}, {len(version.meta.classes)} classes")
    print(choose(workspace, version.ref, version.digest) or "params.yaml says so already")
    return 0


def choose(workspace: Path, ref: str, digest: str) -> str:
    """Let the line read a version; returns the change of params.yaml as a diff."""
    path = workspace / "params.yaml"
    values = parameters.read_commented(path)
    if not isinstance(values.get("data"), dict):
        values.insert(0, "data", CommentedMap())
        values.yaml_set_comment_before_after_key("data", before="The dataset version that the line reads.")
    values["data"]["version"], values["data"]["digest"] = ref, digest
    before = path.read_text(encoding="utf-8")
    after = parameters.as_text(values)
    raw = workspace / "data" / "raw.dvc"
    if raw.exists():
        # the folder stays in DVC's cache and its note in git
        done = subprocess.run([*DVC, "remove", "-q", str(raw)], cwd=workspace, capture_output=True, text=True)
        if done.returncode:
            raise VisionmillError(f"dvc remove data/raw.dvc failed: {done.stderr.strip()}", where=workspace)
    write_atomic(workspace / "dvc.yaml", render("dvc.yaml", "version"))
    write_atomic(path, after)
    return parameters.difference(before, after, path.name)
