"""Operations that make a version from others: the options of each are its typed parameters."""

from __future__ import annotations

import argparse
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from flows.commands.data.help import parser
from flows.datastore import open_store, owner, track
from flows.parameters import scalar
from tasks.base.errors import UserError
from tasks.data.store.counts import counts
from tasks.data.store.recipes import make, operation, replay

SEVERAL = ("merge", "exclude")
# what people write without an option
POSITIONAL = {"filter": "expression"}


def main(verb: str, words: list[str]) -> int:
    """Make a version, or replay one."""
    return _replay(words) if verb == "replay" else _make(verb, words)


def _make(verb: str, words: list[str]) -> int:
    module = operation(verb)
    arguments = parser(verb, module.EXAMPLES if hasattr(module, "EXAMPLES") else "")
    arguments.add_argument("parents", nargs="+" if verb in SEVERAL else 1, metavar="NAME[@N]")
    fields: dict[str, FieldInfo] = module.Params.model_fields
    if verb in POSITIONAL:
        arguments.add_argument(POSITIONAL[verb], help=fields[POSITIONAL[verb]].description)
    arguments.add_argument("--out", required=True, metavar="NAME", help="name of the dataset that gets a new version")
    for name, field in fields.items():
        if name != POSITIONAL.get(verb):
            _add_option(arguments, name, field)
    options = vars(arguments.parse_args(words))
    store, who = open_store(), owner()
    parents = [store.find(ref) for ref in options.pop("parents")]
    out = options.pop("out")
    params = {name: value for name, value in options.items() if value is not None}
    version, new = make(store, verb, parents, params, out=out, owner=who)
    track(store, version)
    images, labels = counts(version.folder)
    told = "made" if new else "nothing new:"
    print(f"{told} {version.ref}: {images:,} pictures, {labels:,} labels, {len(version.meta.classes)} classes")
    return 0


def _add_option(arguments: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    flag, kind = f"--{name.replace('_', '-')}", field.annotation
    default = "" if field.is_required() or field.default in (None, [], {}) else f" (default: {field.default})"
    told: dict[str, Any] = {"dest": name, "default": None, "help": f"{field.description or ''}{default}".strip()}
    if _is(kind, dict):
        arguments.add_argument(flag, nargs="+", action=_Pairs, metavar="OLD=NEW", **told)
    elif _is(kind, list):
        arguments.add_argument(flag, nargs="+", **told)
    elif kind is bool:
        arguments.add_argument(flag, action=argparse.BooleanOptionalAction, **told)
    elif get_origin(kind) is Literal:
        arguments.add_argument(flag, choices=get_args(kind), **told)
    else:
        arguments.add_argument(flag, type=str if kind is str else scalar, metavar=name.upper(), **told)


def _is(kind: Any, wanted: type) -> bool:
    return get_origin(kind) is wanted or any(get_origin(part) is wanted for part in get_args(kind))


class _Pairs(argparse.Action):
    """`--map a=b c=d`, and again, as one dictionary."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        known = dict(getattr(namespace, self.dest) or {})
        for word in values:
            old, equals, new = word.partition("=")
            if not equals or not old:
                raise UserError(f"{option_string} {word!r} is not OLD=NEW")
            known[old] = new
        setattr(namespace, self.dest, known)


def _replay(words: list[str]) -> int:
    arguments = parser("replay", "  visionmill data replay cells@3")
    arguments.add_argument("dataset", metavar="NAME[@N]")
    options = arguments.parse_args(words)
    store = open_store()
    version = store.find(options.dataset)
    print(f"{version.ref} replays to the same table: {replay(store, version)}")
    return 0


