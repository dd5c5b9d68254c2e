"""`data push`, `data pull`, `data share`."""

from __future__ import annotations

from pathlib import Path

from flows.commands.data.help import parser
from flows.datastore import make_shared, open_store, transfer

EXAMPLES = {
    "push": "  visionmill data push                 every version\n  visionmill data push cells@2",
    "pull": "  visionmill data pull cells",
    "share": "  visionmill data share /srv/visionmill\n  (then in a workspace: conf/site/local.yaml with"
             "  store: /srv/visionmill)",
}


def main(verb: str, words: list[str]) -> int:
    """Move versions between this machine and the remote, or make a shared store."""
    arguments = parser(verb, EXAMPLES[verb])
    if verb == "share":
        arguments.add_argument("folder", type=Path)
        store = make_shared(arguments.parse_args(words).folder.expanduser().resolve())
        print(f"{store.root} is a store; a workspace uses it by its conf/site/local.yaml:\n  store: {store.root}")
        return 0
    arguments.add_argument("datasets", nargs="*", metavar="NAME[@N]", help="all versions when none is named")
    wanted = arguments.parse_args(words).datasets
    store = open_store()
    versions = [store.find(ref) for ref in wanted] or store.all()
    transfer(store, verb, versions)
    print(f"{verb}ed {', '.join(version.ref for version in versions)}")
    return 0
