"""The drawn way of a version: from pictures through the stages of its line to where it is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.reporting import words
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.project.shell import cut

WIDE, HIGH, GAP, ROW = 168.0, 58.0, 20.0, 88.0
EDGE = 14.0  # of the drawing
CODE = "code"


@dataclass(frozen=True)
class Node:
    """A box of the drawing; `anchor` is the section that tells more."""

    key: str
    name: str
    text: str
    hash: str
    anchor: str
    kind: str = ""


def graph(told: Mapping[str, Any]) -> Markup:
    """The trail as a drawing, top to bottom; at most three boxes stand beside each other, so a phone shows it."""
    before = [[_pictures(told), _labels(told)], *([[data]] if (data := _dataset(told)) else []),
              [_params(told), _code(told)]]
    line, edges = _line(told["stages"])
    after = [[_version(told)], [_gate(told)], [_aliases(told), _deployed(told)]]
    rows = [*before, *line, *after]
    width = max(_width(row) for row in rows) + 4 * EDGE
    places = {node.key: (_left(row, at, width), EDGE + ROW * level + (28.0 if line and level >= len(before) else 0.0)
                         + (14.0 if line and level >= len(before) + len(line) else 0.0))
              for level, row in enumerate(rows) for at, node in enumerate(row)}
    height = max(y for _, y in places.values()) + HIGH + EDGE
    marks: list[Markup] = []
    if line:
        top = places[line[0][0].key][1] - 22
        bottom = places[line[-1][0].key][1] + HIGH + 10
        marks.append(element("rect", x=EDGE / 2, y=top, width=width - EDGE, height=bottom - top, rx=14.0,
                             class_="around"))
        marks.append(element("text", "the line, by its own dvc.lock", x=EDGE + 4, y=top + 14, class_="tick"))
    marks += [_edge(places[a], places[b]) for a, b in [*_joints(before, line, after), *edges]]
    marks += [_box(node, places[node.key]) for row in rows for node in row]
    drawing = element("svg", marks, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", class_="plot",
                      aria_label="From the pictures to the deployment")
    return element("div", drawing, class_="flow")


def _joints(before: Sequence[Sequence[Node]], line: Sequence[Sequence[Node]],
            after: Sequence[Sequence[Node]]) -> list[tuple[str, str]]:
    """Edges between the fixed rows. The boxes above the line feed it as a whole: its first row stands for it."""
    found = []
    first = line[0] if line else after[0]
    for upper, lower in zip(before[:-1], before[1:-1], strict=False):
        found += [(a.key, b.key) for a in upper for b in lower]
    feeding = [*(before[-2] if len(before) > 1 else []), *before[-1]]
    found += [(node.key, first[0].key) for node in feeding]
    found += [(node.key, after[0][0].key) for node in (line[-1] if line else [])]
    for upper, lower in zip(after, after[1:], strict=False):
        found += [(a.key, b.key) for a in upper for b in lower]
    return found


def _line(stages: Sequence[Mapping[str, Any]]) -> tuple[list[list[Node]], list[tuple[str, str]]]:
    """The stages in layers, all targets of one stage as one box, and the edges that no longer way replaces."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for stage in stages:
        if stage["name"] != CODE:
            groups.setdefault(stage["name"].partition("@")[0], []).append(stage)
    makes = {out["path"]: name for name, some in groups.items() for stage in some for out in stage["outs"]}
    needs = {name: {maker for stage in some for dep in stage["deps"] for path, maker in makes.items()
                    if maker != name and (path == dep["path"] or path.startswith(f"{dep['path']}/"))}
             for name, some in groups.items()}
    layers: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(groups):
        ready = [name for name in groups if name not in placed and needs[name] <= placed]
        ready = ready or [name for name in groups if name not in placed][:1]  # a lock by hand may hold a circle
        layers.append(ready)
        placed |= set(ready)
    nodes = {name: _stage(name, some) for name, some in groups.items()}
    edges = [(nodes[a].key, nodes[b].key) for b in groups for a in needs[b]
             if not any(a in _above(other, needs) for other in needs[b] if other != a)]
    return [[nodes[name] for name in layer[:3]] for layer in _split(layers)], edges


def _split(layers: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Layers of at most three."""
    return [layer[start:start + 3] for layer in layers for start in range(0, len(layer), 3)]


def _above(name: str, needs: Mapping[str, set[str]], seen: frozenset[str] = frozenset()) -> set[str]:
    found = set(needs[name]) - seen
    for one in list(found):
        found |= _above(one, needs, seen | found)
    return found


def _stage(name: str, some: Sequence[Mapping[str, Any]]) -> Node:
    outs = [out for stage in some for out in stage["outs"] if not out["path"].startswith("runs/")]
    text = f"{words.plural(len(some), 'target')}" if len(some) > 1 else outs[0]["path"] if outs else "no output"
    hashes = cut(outs[0]["hash"], 16) if len(outs) == 1 else f"{len(outs)} hashes" if outs else ""
    return Node(f"stage-{name}", name, text, hashes, "stages")


def _pictures(told: Mapping[str, Any]) -> Node:
    pictures = told["pictures"]
    count = words.plural(pictures["count"], "picture") if "count" in pictures else (
        words.plural(pictures["files"], "file") if pictures.get("files") else "not counted here")
    return Node("pictures", "Pictures", count, cut(pictures.get("hash"), 16), "data",
                "" if pictures.get("hash") else "gone")


def _labels(told: Mapping[str, Any]) -> Node:
    labels = told["labels"]
    by = ", ".join(one["source"] for one in labels.get("origins", []))
    return Node("labels", "Labels", words.plural(labels["boxes"], "box") if labels else "not counted here", by, "data",
                "" if labels else "gone")


def _dataset(told: Mapping[str, Any]) -> Node | None:
    if not told["datasets"]:
        return None
    first = told["datasets"][0]
    others = sum(one["kind"] != "line" for one in told["datasets"]) - 1
    more = f"and {others} before it" if others > 0 else {"catalogue": "from the catalogue", "store": "from the store",
                                                         "line": "the line's own"}.get(first["kind"], "")
    return Node("dataset", first["ref"], more, cut(first.get("digest"), 16), "data")


def _params(told: Mapping[str, Any]) -> Node:
    digest = told["version"]["tags"].get("params.yaml")
    return Node("params", "Parameters", words.plural(len(told["params"]), "section"), cut(digest, 16), "params",
                "" if told["params"] else "gone")


def _code(told: Mapping[str, Any]) -> Node:
    code = told["code"]
    dirty = code["uncommitted"] not in (None, "no")
    return Node("code", "Code", "not all committed" if dirty else words.plural(len(code["commits"]), "commit"),
                cut(code["commit"], 16), "code", "gone" if dirty else "")


def _version(told: Mapping[str, Any]) -> Node:
    version = told["version"]
    accuracy = version["tags"].get("AP")
    served = next((file for file in reversed(told["files"]) if file["served"]), None)
    size = words.size(served["bytes"]) if served else ""
    text = ", ".join(filter(None, [f"AP {words.accuracy(_number(accuracy))}" if accuracy else "", size]))
    return Node("version", f"{version['name']} version {version['version']}", text, cut(served["hash"], 16) if served
                else "", "files", "strong")


def _gate(told: Mapping[str, Any]) -> Node:
    gate = told["gate"]
    return Node("gate", "Gate", gate["verdict"] or "not asked", cut(gate["hash"], 16), "gate")


def _aliases(told: Mapping[str, Any]) -> Node:
    aliases = ", ".join(told["version"]["aliases"]) or "none"
    return Node("aliases", "Aliases", aliases, words.plural(len(told["audit"]), "change"), "aliases")


def _deployed(told: Mapping[str, Any]) -> Node:
    places = told["deployed"]
    text = ", ".join(str(one.get("target") or one.get("place") or "") for one in places) or "nowhere known"
    return Node("deployed", "Deployed", text, "", "aliases", "strong" if places else "gone")


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _width(row: Sequence[Node]) -> float:
    return len(row) * WIDE + (len(row) - 1) * GAP


def _left(row: Sequence[Node], at: int, width: float) -> float:
    return (width - _width(row)) / 2 + at * (WIDE + GAP)


def _edge(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    x1, y1, x2, y2 = start[0] + WIDE / 2, start[1] + HIGH, end[0] + WIDE / 2, end[1]
    bend = max((y2 - y1) / 2, 8.0)
    return element("path", d=f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}",
                   class_="edge")


def _box(node: Node, place: tuple[float, float]) -> Markup:
    x, y = place
    lines = [(node.name, "name", 20.0, 22), (node.text, "", 36.0, 26), (node.hash, "hash", 50.0, 25)]
    told = [element("text", shorten(text, limit), x=x + WIDE / 2, y=y + down, text_anchor="middle", class_=kind or None)
            for text, kind, down, limit in lines if text]
    hint = element("title", f"{node.name}\n{node.text}\n{node.hash}")
    return element("a", element("g", hint, element("rect", x=x, y=y, width=WIDE, height=HIGH, rx=9.0), told,
                                class_=f"node {node.kind}".strip()), href=f"#{node.anchor}")
