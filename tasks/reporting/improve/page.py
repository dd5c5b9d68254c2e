"""The page of the rounds as one HTML text."""

from __future__ import annotations

from pathlib import Path

from tasks.base.files import write_atomic
from tasks.data.store.layout import Store
from tasks.improving.state import State
from tasks.reporting.improve import picked, sections
from tasks.reporting.markup import element
from tasks.reporting.project.shell import STYLE
from tasks.reporting.shell import render

OWN = """
.plot .line path.whisker{stroke-width:1.3;opacity:.75}
.line-of{display:block;white-space:nowrap}.small{display:block;font-size:12px}
"""


def build_page(state: State, store: Store) -> str:
    """The whole page; pictures are small copies inside it, and nothing is fetched."""
    about = state.about
    parts = [sections.now(state), sections.curves(state), sections.classes(state), *picked.rounds(state, store),
             sections.journal(state), sections.how(state)]
    answered = f"an oracle of {about['truth']['ref']}" if about["oracle"] else state.settings.desk
    facts = [(name, element("code", about[key]["ref"])) for name, key in (
        ("Began with", "base"), ("Pool", "pool"), ("Judged on", "judge"))]
    return render(f"Rounds of {state.name}", "improve", [*facts, ("Answered by", answered),
                                                         ("Trained by", state.settings.train)],
                  parts, style=STYLE + OWN)


def write_page(path: Path, state: State, store: Store, workspace: Path) -> None:
    """Write the page to a file, all or nothing."""
    write_atomic(path, build_page(state, store))
