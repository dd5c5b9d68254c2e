"""`data list`, `data show`, `data diff`."""

from __future__ import annotations

import json

from flows.commands.data.help import named, parser
from flows.datastore import open_store, told_recipe


def main(verb: str, words: list[str]) -> int:
    """Enter one of the three verbs."""
    return {"list": _list, "show": _show, "diff": _diff}[verb](words)


def _list(words: list[str]) -> int:
    parser("list").parse_args(words)
    store = open_store()
    versions = store.all()
    if not versions:
        print(f"no datasets in {store.root}\nnext: visionmill data import PATH|ARCHIVE|URL --name NAME")
        return 0
    from tasks.data.store.counts import counts

    print(f"{store.root}{' (shared)' if store.shared else ''}")
    width = max(len(version.ref) for version in versions)
    for version in versions:
        if not version.here:
            print(f"  {version.ref:{width}}  not on this machine: visionmill data pull {version.ref}")
            continue
        images, labels = counts(version.folder)
        print(f"  {version.ref:{width}}  {images:>9,} pictures  {labels:>10,} labels  {version.meta.problem:8}  "
              f"{version.facts.get('created', '')[:10]}  {told_recipe(version)}")
    return 0


def _show(words: list[str]) -> int:
    arguments = parser("show", "  visionmill data show cells@2\n  visionmill data show data/split --json")
    arguments.add_argument("dataset", metavar="NAME[@N]|FOLDER")
    arguments.add_argument("--json", action="store_true", help="the same as JSON")
    options = arguments.parse_args(words)
    from tasks.data.store.counts import describe

    found = named(options.dataset)
    facts = describe(found.folder)
    if found.version:
        facts = {"version": found.ref, "digest": found.version.digest, "owner": found.version.facts.get("owner"),
                 "created": found.version.facts.get("created"), "recipe": told_recipe(found.version)} | facts
    print(json.dumps(facts, indent=2, ensure_ascii=False) if options.json else _told(facts))
    return 0


def _told(facts: dict[str, object]) -> str:
    lines = []
    for key, value in facts.items():
        if value in (None, [], {}, ""):
            continue
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {name:24} {_count(count)}" for name, count in value.items()]
        else:
            told = ", ".join(map(str, value)) if isinstance(value, list) else _count(value)
            lines.append(f"{key + ':':10} {told}")
    return "\n".join(lines)


def _count(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_count(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _diff(words: list[str]) -> int:
    arguments = parser("diff", "  visionmill data diff cells@1 cells@2")
    arguments.add_argument("before", metavar="A")
    arguments.add_argument("after", metavar="B")
    arguments.add_argument("--json", action="store_true", help="the same as JSON")
    options = arguments.parse_args(words)
    from tasks.data.diff import diff

    before, after = named(options.before), named(options.after)
    found = diff(before.folder, after.folder, (before.ref, after.ref))
    print(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if options.json else found)
    return 0
