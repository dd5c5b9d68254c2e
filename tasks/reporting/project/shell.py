"""What the pages of this folder share: their style, and how they write time, hashes and verdicts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reporting.markup import Child, Markup, element, shorten
from tasks.reporting.section import Section
from tasks.reporting.shell import render

STYLE = """
.flow{max-width:560px;margin:0 auto}
.flow .node rect{fill:var(--card);stroke:var(--rule);stroke-width:1.2}
.flow .node.strong rect{fill:var(--wash);stroke:var(--accent)}
.flow .node.gone rect{stroke-dasharray:4 3}
.flow .node text{fill:var(--soft);font-size:11px}.flow .node text.name{fill:var(--ink);font-size:12.5px;font-weight:650}
.flow .node text.hash{font-family:ui-monospace,SFMono-Regular,Consolas,"DejaVu Sans Mono",monospace;font-size:10.5px}
.flow a:hover rect{stroke:var(--accent)}.flow a{text-decoration:none}
.flow .edge{fill:none;stroke:var(--faint);stroke-width:1.3}
.flow .around{fill:none;stroke:var(--rule);stroke-dasharray:2 4;stroke-width:1.4}
.flow .tick{font-size:11px}
.badge{display:inline-block;border-radius:99px;padding:0 9px;font-size:12.5px;font-weight:600;white-space:nowrap;
border:1px solid var(--rule)}
.badge.pass{color:var(--c2)}.badge.fail{color:var(--c1)}.badge.hold{color:var(--soft)}
.up{color:var(--c2)}.down{color:var(--c1)}.flat{color:var(--soft)}
.steps{margin:0;padding:0;list-style:none;max-width:74ch}.steps li{margin:10px 0}
.steps code{display:block;margin-top:3px;background:var(--wash);border-radius:8px;padding:8px 12px}
#now .tiles{grid-template-columns:repeat(3,minmax(0,1fr))}
@media (max-width:700px){#now .tiles{grid-template-columns:1fr 1fr}}
.plain td{text-align:left;white-space:normal;vertical-align:top}
"""


def page(title: str, kicker: str, facts: Sequence[tuple[str, Child]], sections: Sequence[Section]) -> str:
    """One HTML text that needs no other file and no network."""
    return render(shorten(title, 80), kicker, facts, sections, style=STYLE)


def day(ms: object) -> str:
    """Milliseconds since 1970 as a local date and time."""
    if not isinstance(ms, int | float) or isinstance(ms, bool):
        return "n/a"
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))
    except (OverflowError, ValueError, OSError):
        return "n/a"


def cut(value: object, letters: int = 10) -> str:
    """The start of a hash."""
    text = str(value or "").rpartition(":")[2].removesuffix(".dir")
    return f"{text[:letters]}…" if len(text) > letters else text


def hashed(value: object, letters: int = 12) -> Markup | str:
    """A hash as it is shown: its start, the whole of it as a tooltip."""
    return element("code", cut(value, letters), title=str(value)) if value else "n/a"


def in_use(one: Mapping[str, Any]) -> str:
    """One place that a version is deployed to, in a line."""
    whole = "" if one.get("whole", True) else ", files are missing or changed"
    since = f", since {one['when']}" if one.get("when") else ""
    return f"{one.get('target') or 'a target'}: {one.get('path') or 'path not known'}{since}{whole}"


def badge(text: str, kind: str) -> Markup:
    """A verdict; `kind` is pass, fail or hold."""
    return element("span", text, class_=f"badge {kind}")
