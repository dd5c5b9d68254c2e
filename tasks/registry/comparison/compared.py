"""A comparison as a table on the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.reporting import words

FEW = 20  # classes and slices that are listed


def text(told: dict[str, Any]) -> str:
    """Totals, classes, slices, speed and size, disagreements: B against A, a star where a change is shown."""
    a, b, test = told["a"], told["b"], told["test"]
    head = [f"A  {a['title']}  {a['file']}", f"B  {b['title']}  {b['file']}",
            f"on {test['images']} pictures with {test['boxes']} boxes ({test['source']}, {test['hash'][:8]})", ""]
    rows = [_row(key, one) for key, one in told["measures"].items()]
    classes = [_row(f"  {one['name']} ({one['boxes']})", one["AP50"]) for one in _first(told["classes"])]
    slices = [_row(f"  {one['by']} {one['name']} ({one['boxes']})", one["AP50"]) for one in told["slices"][:FEW]]
    body = [*rows, *([["AP50 by class (boxes)"], *classes] if classes else []),
            *([["AP50 by slice (boxes)"], *slices] if slices else [])]
    table = _aligned([["", "A", "95 %", "B", "95 %", "change", "95 %"], *body])
    more = [f"  and {len(told['classes']) - FEW} more classes, in --json and --html"] \
        if len(told["classes"]) > FEW else []
    notes = ["", "change: points, B − A; * where 0 is outside the 95 % interval (paired bootstrap, "
                 f"{told['draws']} draws)"]
    return "\n".join([*head, *table, *more, *notes, "", *_aligned(costs(told)), "", *disagreements(told)])


def _first(classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The classes that changed most, in the order of the dataset."""
    ranked = sorted(classes, key=lambda one: -abs(one["AP50"]["change"]["value"] or 0.0))[:FEW]
    return [one for one in classes if one in ranked]


def _row(name: str, one: dict[str, Any]) -> list[str]:
    return [name, words.accuracy(one["a"]["value"]), between(one["a"]), words.accuracy(one["b"]["value"]),
            between(one["b"]), changed(one["change"]), in_points(one["change"])]


def between(one: dict[str, float | None]) -> str:
    """`0.612 – 0.681`, or n/a."""
    low, high = one["low"], one["high"]
    return words.NONE if low is None or high is None else f"{low:.3f} – {high:.3f}"


def in_points(one: dict[str, float | None]) -> str:
    """An interval of a change, in points."""
    low, high = one["low"], one["high"]
    return words.NONE if low is None or high is None else f"{words.points(low)} to {words.points(high)}"


def changed(one: dict[str, float | None]) -> str:
    """A change in points, with a star where 0 is outside its interval."""
    return words.points(one["value"]) + ("*" if is_shown(one) else " ")


def is_shown(one: dict[str, float | None]) -> bool:
    """Whether 0 is outside the interval."""
    low, high = one["low"], one["high"]
    return low is not None and high is not None and not low <= 0 <= high


def costs(told: dict[str, Any]) -> list[list[str]]:
    """Speed, size and cost of both, as far as they are recorded."""
    a, b, speed = told["a"], told["b"], told["latency"]
    machine = {True: "the same machine", False: "different machines: not comparable", None: "as recorded"}
    rows = [["", "A", "B", ""]]
    factor = speed["times_faster"]
    said = "not recorded of both" if not factor else "as fast" if 0.995 < factor < 1.005 else \
        f"{words.times(factor)} as fast"
    rows.append(["latency", words.milliseconds(speed["a_ms"]), words.milliseconds(speed["b_ms"]),
                 f"B is {said}, {machine[speed['same_machine']]}" if factor else said])
    rows.append(["size", words.size(a.get("bytes")), words.size(b.get("bytes")), _ratio(a, b, "bytes")])
    rows += [[label, words.short(a.get(key)), words.short(b.get(key)), _ratio(a, b, key)]
             for key, label in (("parameters", "parameters"), ("macs", "MACs")) if a.get(key) or b.get(key)]
    return [*rows, ["gate", _gate(a), _gate(b), ""]] if a.get("gate") or b.get("gate") else rows


def _gate(side: dict[str, Any]) -> str:
    return str(side.get("gate") or words.NONE).partition(":")[0]


def _ratio(a: dict[str, Any], b: dict[str, Any], key: str) -> str:
    one, two = a.get(key), b.get(key)
    return "" if not one or not two else "the same" if one == two else f"B has {words.times(two / one)} as much"


def disagreements(told: dict[str, Any]) -> list[str]:
    """How often they differ, and on which pictures most."""
    found = told["disagreements"]
    at = f"above a score of {found['threshold']:g}"
    if not found["pictures"]:
        return [f"they agree on every box {at}"]
    lines = [f"they disagree on {words.plural(found['pictures'], 'picture')} {at}: {found['only_a']} boxes of A alone, "
             f"{found['only_b']} of B alone, {found['other_class']} with another class"]
    rows = [[f"  {words.plural(one['only_a'], 'box')} of A, {one['only_b']} of B, {one['other_class']} other class",
             one["file"]] for one in found["worst"][:5]]
    return [*lines, *_aligned(rows)]


def _aligned(rows: list[list[str]]) -> list[str]:
    full = [row for row in rows if len(row) > 1]
    widths = [max(len(row[place]) for row in full) for place in range(len(full[0]))] if full else []
    last = len(widths) - 1
    return ["  ".join(cell.ljust(widths[place]) if place == 0 or place == last else cell.rjust(widths[place])
                      for place, cell in enumerate(row)).rstrip() if len(row) > 1 else row[0] for row in rows]
