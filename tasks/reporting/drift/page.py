"""The drift page as one HTML text: the verdict, every test, distributions old and new, the most unlike pictures."""

from __future__ import annotations

from tasks.drift.look import Look
from tasks.drift.words import sentence
from tasks.reporting import words
from tasks.reporting.card.look import STYLE
from tasks.reporting.drift import sections
from tasks.reporting.markup import element, shorten
from tasks.reporting.shell import render

TITLES = {"drift": "Drift", "none seen": "No drift seen", "too few": "Too few to tell"}


def build_page(look: Look) -> str:
    """The whole page; pictures are small copies inside it, and nothing is fetched."""
    found = [sections.verdict(look, sentence(look)), sections.tests(look), sections.distributions(look),
             sections.classes(look), sections.most_unlike(look), sections.left_out(look), sections.how(look)]
    heading = f"{TITLES[look.verdict]}: {shorten(look.arrived.folder.name, 60)}"
    facts = [("Arrived", words.count(look.arrived.found)),
             ("Compared with", shorten(str(look.reference.folder), 60, keep_end=True)),
             ("Dataset", element("code", look.reference.digest[:16])), ("Model", look.model or "none")]
    return render(heading, "drift", facts, [one for one in found if one is not None], tab=heading, style=STYLE)
