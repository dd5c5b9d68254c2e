"""HTML and SVG that cannot be broken by data: everything is escaped unless it is markup already."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

VOID = {"img", "meta", "input", "br", "link"}
# control characters, and the marks that reverse or embed the direction of the text after them
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already. Only `element`, `join` and `trusted` make it."""

    __slots__ = ()


Child = Markup | str | float | None | Iterable[Any]


def plain(value: object) -> str:
    """Text that every parser takes: no control characters, no lone surrogates."""
    return UNPRINTABLE.sub("\ufffd", str(value)).encode("utf-8", "replace").decode("utf-8")


def escape(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(html.escape(plain(value), quote=True))


def trusted(text: str) -> Markup:
    """Markup written in this package; never call it on data."""
    return Markup(text)


def join(children: Iterable[Child], between: str = "") -> Markup:
    return Markup(escape(between).join(_text(child) for child in children))


def element(tag: str, *children: Child, **attributes: object) -> Markup:
    """One element. `class_` is written `class`, `data_tip` `data-tip`; an attribute that is None is left out."""
    head = "".join(_attribute(name, value) for name, value in attributes.items() if value is not None)
    if tag in VOID:
        return Markup(f"<{tag}{head}>")
    return Markup(f"<{tag}{head}>{join(children)}</{tag}>")


def _attribute(name: str, value: object) -> str:
    name = name.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(number(value) if isinstance(value, float) else value)}"'


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, str):
        return escape(child)
    if isinstance(child, Iterable):
        return join(child)
    return escape(child)


def number(value: float) -> str:
    """A coordinate: two decimals at most, none that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def shorten(text: str, limit: int, *, keep_end: bool = False) -> str:
    """The text, or its start (or its end) with an ellipsis; the full one belongs into a tooltip."""
    text = " ".join(plain(text).split()) or "(no name)"
    if len(text) <= limit:
        return text
    return "…" + text[1 - limit :] if keep_end else text[: limit - 1].rstrip() + "…"
