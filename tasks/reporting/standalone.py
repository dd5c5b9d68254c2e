"""One chart as a page of its own, to look at where it lies."""

from __future__ import annotations

from tasks.reporting.markup import Child, element, trusted
from tasks.reporting.style import stylesheet


def alone(title: str, content: Child) -> str:
    """A page without script and without anything fetched."""
    head = element("head", [element("meta", charset="utf-8"), element("title", title),
                            element("style", trusted(stylesheet()))])
    body = element("body", element("main", [element("h1", title), content]))
    return f"<!doctype html>\n{element('html', [head, body], lang='en')}\n"
