"""`visionmill configure`: presets and values into params.yaml, comments kept, the change shown as a diff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows import parameters
from flows.commands.help import parser
from flows.workspace import enter, feed_of
from tasks.base import presets
from tasks.base.errors import ParamsError, UserError, nearest

EXAMPLES = """\
  visionmill configure                                   the presets that there are
  visionmill configure model=fcos-resnet18               a preset of conf/model/
  visionmill configure train.epochs=20 train.seed=1      values
  visionmill configure export.targets=[cpu-fp32,cpu-int8]
  visionmill configure --dry model=fcos-resnet18         only show the diff"""
# a search space is taken whole: keys of an older one must not stay in it
WHOLE = "sweep"
KINDS = ("dataset", "gate", "model", "sweep")


def main(words: list[str]) -> int:
    """Rewrite params.yaml of the current folder."""
    arguments = parser("configure", EXAMPLES)
    arguments.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    arguments.add_argument("--dry", action="store_true", help="show the diff and write nothing")
    options = arguments.parse_args(words)
    workspace = enter()
    if not options.changes:
        print("\n".join(f"{kind}: {', '.join(presets.names(kind, workspace)) or 'none'}" for kind in KINDS))
        return 0
    path = workspace / "params.yaml"
    values = parameters.read_commented(path)
    for change in options.changes:
        apply(values, change, workspace)
    print(parameters.rewrite(path, values, dry=options.dry) or "params.yaml says that already")
    return 0


def apply(values: Any, change: str, workspace: Path) -> None:
    """Lay one `KEY=VALUE` over the values of params.yaml.

    Raises:
        UserError: it has no `=`, names neither a kind of preset nor a key with a dot, or a data set in a workspace
            whose pictures are a folder of one's own.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise UserError(f"expected KEY=VALUE, got {change!r}", mend="visionmill configure --help")
    if key in ("dataset", parameters.NAMED["dataset"]) and feed_of(workspace) != "catalogue":
        raise UserError("the pictures of this workspace are not of the catalogue", where=workspace,
                        mend=f"visionmill new PATH --data {text}")
    if "." in key:
        parameters.set_value(values, key, parameters.scalar(text))
    elif key not in KINDS:
        guess = nearest(key, KINDS)
        raise UserError(f"{key!r} is neither a kind of preset nor a key such as train.epochs",
                        mend=f"did you mean {guess!r}?" if guess else f"kinds: {', '.join(KINDS)}")
    elif key in parameters.NAMED:
        presets.find(key, text, workspace)
        parameters.set_value(values, parameters.NAMED[key], text)
        parameters.merge(values, _recommended(text, workspace) if key == "dataset" else {})
    else:
        found = _preset(key, text, workspace)
        if key == WHOLE:
            values.pop(WHOLE, None)
        parameters.merge(values, found)


def _recommended(name: str, workspace: Path) -> dict[str, Any]:
    from tasks.data.catalogue import read_entry

    return read_entry(name, workspace).params


def _preset(kind: str, name: str, workspace: Path) -> dict[str, Any]:
    # with its quotes: "off" is a word here and `off` a boolean to many readers
    found = parameters.read_commented(presets.find(kind, name, workspace))
    if not isinstance(found, dict):
        raise ParamsError("a preset is a mapping that is laid over params.yaml", where=f"conf/{kind}/{name}.yaml")
    return found
