"""`data card`: one HTML page about a version, or comparing two; logged in MLflow beside the line's runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from flows.commands.data.alike import find_neighbours
from flows.commands.data.help import Named, named, parser
from flows.datastore import is_workspace

EXAMPLES = """\
  visionmill data card cells
  visionmill data card cells@2 --against cells@1 --out card.html
  visionmill data card data/split"""


def main(verb: str, words: list[str]) -> int:
    """Write the page; in a workspace it is logged as an artefact of an MLflow run."""
    arguments = parser(verb, EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]|FOLDER")
    arguments.add_argument("--against", metavar="OTHER", help="compare with this version")
    arguments.add_argument("--out", type=Path, help="the file (default: NAME-N.html)")
    arguments.add_argument("--seed", type=int, default=0, help="of the random samples")
    arguments.add_argument("--no-neighbours", action="store_true", help="do not look for near-duplicates")
    options = arguments.parse_args(words)
    from tasks.data.classes import read_classes
    from tasks.reporting.card import card

    found = named(options.dataset)
    other = named(options.against) if options.against else None
    out: Path = options.out or Path(f"{found.ref.replace('@', '-').replace('/', '-')}.html")
    aliases = {entry.name: entry.aliases for entry in read_classes(Path()).entries if entry.aliases}
    with tempfile.TemporaryDirectory(prefix="visionmill-") as room:
        near = None if options.no_neighbours else find_neighbours(found, Path(room))
        card(found.folder, found.pictures, out, against=(other.folder, other.pictures) if other else None,
             near=near, seed=options.seed, aliases=aliases)
    print(f"{found.ref}: {out}")
    if is_workspace():
        _log(found, out)
    return 0


def _log(found: Named, out: Path) -> None:
    from tasks.registry.cards import log_card
    from tasks.reporting.card import facts

    numbers = {name: value for name, value in facts(found.folder, found.pictures).items() if name != "recipe"}
    print(f"logged in MLflow: run {log_card(found.ref, out, numbers)}")
