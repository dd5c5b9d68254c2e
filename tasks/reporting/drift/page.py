"""The drift page as one HTML text: the verdict, every test, distributions old and new, the most unlike pictures."""

from __future__ import annotations

from tasks.drift.look import Look
from tasks.drift.words import sentence
from tasks.reporting import words
from tasks.reporting.card.look import STYLE
from tasks.reporting.drift import sections
from tasks.reporting.markup import Markup, element, shorten, trusted
from tasks.reporting.page import LOGO, POLICY
from tasks.reporting.script import SCRIPT
from tasks.reporting.section import Section
from tasks.reporting.style import stylesheet

TITLES = {"drift": "Drift", "none seen": "No drift seen", "too few": "Too few to tell"}


def build_page(look: Look) -> str:
    """The whole page; pictures are small copies inside it, and nothing is fetched."""
    found = [sections.verdict(look, sentence(look)), sections.tests(look), sections.distributions(look),
             sections.classes(look), sections.most_unlike(look), sections.left_out(look), sections.how(look)]
    return _render(look, [one for one in found if one is not None])


def _render(look: Look, parts: list[Section]) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{TITLES[look.verdict]}: {shorten(look.arrived.folder.name, 60)}"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("style", trusted(stylesheet() + STYLE)),
    )
    links = [element("li", element("a", part.title, href=f"#{part.name}")) for part in parts]
    shell = element(
        "div",
        _header(look),
        element("nav", element("h2", "Contents"), element("ol", links), aria_label="Contents"),
        element("main", [part.render() for part in parts]),
        element("footer", "Made by visionmill. This page needs no network and no other file."),
        class_="shell",
    )
    body = element("body", shell, element("script", trusted(SCRIPT)))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(look: Look) -> Markup:
    told = [("Arrived", words.count(look.arrived.found)),
            ("Compared with", shorten(str(look.reference.folder), 60, keep_end=True)),
            ("Dataset", element("code", look.reference.digest[:16])), ("Model", look.model or "none")]
    entries = [element("li", element("b", name), " ", element("bdi", value)) for name, value in told]
    return element("header", element("p", LOGO, element("span", "visionmill · drift"), class_="kicker"),
                   element("h1", f"{TITLES[look.verdict]}: {shorten(look.arrived.folder.name, 60)}"),
                   element("ul", entries, class_="facts"), class_="top")
