"""`visionmill upgrade`: the DAG of this version for an older workspace, and the parameters that came with it."""

from __future__ import annotations

import re
from typing import Any

from flows.commands.help import parser
from flows.parameters import difference
from flows.workspace import enter, feed_of, render
from tasks.base.files import write_atomic
from tasks.base.params import read_yaml

EXAMPLES = """\
  git -C CLONE pull; visionmill upgrade; git diff      CLONE: where visionmill was installed from"""
# a section with the comments above it
SECTION = re.compile(r"(?:^#.*\n)*^(\w+):.*\n(?:^(?: .*)?\n)*", re.MULTILINE)
# a parameter of a section with what stands below it
ENTRY = re.compile(r"^  (\w+):.*\n(?:^    .*\n)*", re.MULTILINE)


def main(words: list[str]) -> int:
    """Rewrite dvc.yaml from the template, and add to params.yaml what it lacks; no value is changed."""
    parser("upgrade", EXAMPLES).parse_args(words)
    workspace = enter()
    feed = feed_of(workspace)
    values = read_yaml(workspace / "params.yaml") or {}
    text = (workspace / "params.yaml").read_text(encoding="utf-8")
    changed = False
    for name, after in (("dvc.yaml", render("dvc.yaml", feed)),
                        ("params.yaml", completed(text, render("params.yaml", feed), values))):
        before = (workspace / name).read_text(encoding="utf-8")
        if before != after:
            write_atomic(workspace / name, after)
            print(difference(before, after, name))
            changed = True
    print("\nnext: visionmill status" if changed else "dvc.yaml and params.yaml are as this version writes them")
    return 0


def completed(text: str, template: str, values: dict[str, Any]) -> str:
    """A params.yaml with what it lacks of the template: sections at its end, entries at the end of their section.

    Args:
        text: as it is.
        template: of this version.
        values: what `text` says.
    """
    for part in SECTION.finditer(template):
        name, known = part[1], values.get(part[1])
        if name not in values:
            text = f"{text.rstrip()}\n\n{part[0].rstrip()}\n"
        elif isinstance(known, dict):
            new = "".join(entry[0] for entry in ENTRY.finditer(part[0]) if entry[1] not in known)
            own = next((found for found in SECTION.finditer(text) if found[1] == name), None)
            if new and own is not None:
                end = own.start() + len(own[0].rstrip()) + 1
                text = f"{text[:end].rstrip()}\n{new}{text[end:]}"
    return text
