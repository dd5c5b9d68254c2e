"""`visionmill upgrade`: the DAG of this version for an older workspace."""

from __future__ import annotations

from flows.commands.help import parser
from flows.parameters import difference
from flows.workspace import enter, is_catalogue, render
from tasks.base.files import write_atomic

EXAMPLES = """\
  git -C CLONE pull; visionmill upgrade; git diff      CLONE: where visionmill was installed from"""


def main(words: list[str]) -> int:
    """Rewrite dvc.yaml of the current folder from the template; params.yaml is never touched."""
    parser("upgrade", EXAMPLES).parse_args(words)
    workspace = enter()
    path = workspace / "dvc.yaml"
    before, after = path.read_text(encoding="utf-8"), render("dvc.yaml", catalogue=is_catalogue(workspace))
    if before == after:
        print("dvc.yaml is as this version writes it")
        return 0
    write_atomic(path, after)
    print(difference(before, after, path.name))
    print("\nnext: visionmill status")
    return 0
