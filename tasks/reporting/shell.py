"""What the pages beside the report share: head, contents and foot around their sections."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.reporting.markup import Child, element, shorten, trusted
from tasks.reporting.page import LOGO, POLICY
from tasks.reporting.script import SCRIPT
from tasks.reporting.section import Section
from tasks.reporting.style import stylesheet

FOOT = "Made by visionmill. This page needs no network and no other file."


def render(title: str, kicker: str, facts: Sequence[tuple[str, Child]], sections: Sequence[Section], *,
           tab: str | None = None, style: str = "", script: str = "", foot: Child = FOOT) -> str:
    """One HTML text that needs no other file and no network.

    Args:
        title: the page's heading.
        kicker: the kind of page, above the heading.
        facts: names and values below it; what has no value is left out.
        tab: the window's title; heading and kind when left out.
        style, script: more of both, trusted.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", tab or f"{shorten(title, 60)}: {kicker}"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("style", trusted(stylesheet() + style)),
    )
    links = [element("li", element("a", part.title, href=f"#{part.name}")) for part in sections]
    entries = [element("li", element("b", name), " ", element("bdi", value)) for name, value in facts if value]
    header = element(
        "header",
        element("p", LOGO, element("span", f"visionmill · {kicker}"), class_="kicker"),
        element("h1", title),
        element("ul", entries, class_="facts"),
        class_="top",
    )
    shell = element(
        "div",
        header,
        element("nav", element("h2", "Contents"), element("ol", links), aria_label="Contents"),
        element("main", [part.render() for part in sections]),
        element("footer", foot),
        class_="shell",
    )
    body = element("body", shell, element("script", trusted(SCRIPT + script)))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"
