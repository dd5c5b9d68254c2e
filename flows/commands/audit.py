"""`visionmill audit`: every change of an alias, oldest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flows.commands.help import parser
from flows.workspace import enter

if TYPE_CHECKING:
    from tasks.registry.promotion.audit import Entry

EXAMPLES = """\
  visionmill audit                 all models of this registry
  visionmill audit cells --json    one model, a list of objects"""
HEAD = ("when", "model", "alias", "from", "to", "by", "who", "gate", "reason")
WIDEST = 60


def main(words: list[str]) -> int:
    """Print the table; nothing is written, what nobody has looked at yet is there too."""
    arguments = parser("audit", EXAMPLES)
    arguments.add_argument("name", nargs="?", help="registered model (default: all)")
    arguments.add_argument("--json", action="store_true", help="for programs")
    options = arguments.parse_args(words)
    workspace = enter()
    from tasks.registry.promotion import audit

    found = audit.entries(options.name, workspace)
    gaps = audit.has_gaps(workspace)
    if options.json:
        print(json.dumps({"gaps": gaps, "entries": [entry.to_dict() for entry in found]}, indent=2, ensure_ascii=False))
        return 0
    print("\n".join(table(found)) if found else "no alias was ever moved")
    if gaps:
        print(f"note: {audit.GAPS}")
    return 0


def table(found: list[Entry]) -> list[str]:
    """One line a change, columns as wide as they need."""
    rows = [HEAD, *(_row(entry) for entry in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(entry: Entry) -> tuple[str, ...]:
    gate = "-" if entry.to_version is None else entry.gate or "none"
    rules = f" ({entry.gate_hash[:8]})" if entry.gate_hash and entry.to_version else ""
    return (entry.when[:19].replace("T", " "), entry.name, entry.alias, entry.from_version or "-",
            entry.to_version or "-", entry.by, entry.who, _short(f"{gate}{rules}"), _short(entry.reason or "-"))


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= WIDEST else f"{plain[:WIDEST - 1]}…"
