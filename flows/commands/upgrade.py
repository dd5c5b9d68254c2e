"""`visionmill upgrade`: the DAG of this version for an older workspace, and the parameters that came with it."""

from __future__ import annotations

import re

from flows.commands.help import parser
from flows.parameters import difference
from flows.workspace import enter, feed_of, render
from tasks.base.files import write_atomic
from tasks.base.params import read_yaml

EXAMPLES = """\
  git -C CLONE pull; visionmill upgrade; git diff      CLONE: where visionmill was installed from"""
# a section with the comments above it
SECTION = re.compile(r"(?:^#.*\n)*^(\w+):.*\n(?:^(?: .*)?\n)*", re.MULTILINE)


def main(words: list[str]) -> int:
    """Rewrite dvc.yaml from the template, and append to params.yaml the sections that it lacks; no value is changed."""
    parser("upgrade", EXAMPLES).parse_args(words)
    workspace = enter()
    feed = feed_of(workspace)
    values = read_yaml(workspace / "params.yaml") or {}
    text = (workspace / "params.yaml").read_text(encoding="utf-8")
    changed = False
    for name, after in (("dvc.yaml", render("dvc.yaml", feed)),
                        ("params.yaml", text + missing(render("params.yaml", feed), values))):
        before = (workspace / name).read_text(encoding="utf-8")
        if before != after:
            write_atomic(workspace / name, after)
            print(difference(before, after, name))
            changed = True
    print("\nnext: visionmill status" if changed else "dvc.yaml and params.yaml are as this version writes them")
    return 0


def missing(template: str, values: dict[str, object]) -> str:
    """The template's sections that `values` lacks, as they are written there."""
    found = [part[0] for part in SECTION.finditer(template) if part[1] not in values]
    return "".join(f"\n{part.rstrip()}\n" for part in found)
