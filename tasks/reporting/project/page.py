"""The page of a workspace: where it stands, how its versions went, what the gate said, and what ran last."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.markup import Markup, element
from tasks.reporting.project.shell import badge, day, page
from tasks.reporting.project.trends import arrow, data_section, verdict, versions_section
from tasks.reporting.section import Cell, Section, none, table, tile, tiles

FIRST = (("Run the line: data to a registered version", "visionmill run"),
         ("Or by hand, the same", "dvc repro; visionmill register"),
         ("Promote it, when the gate passes: move the alias champion", "mlflow ui"),
         ("Let it happen every night", "visionmill up --detach; visionmill deploy --cron '0 2 * * *'"))
ENDS = {0: ("ended well", "pass"), 3: ("a gate refused", "hold")}


def project_page(told: Mapping[str, Any], around: Mapping[str, Any]) -> str:
    """One HTML text of a workspace.

    Args:
        told: `tasks.registry.tracing.history.history`.
        around: what flows know: workspace (path), notes (last_run, last_retrain), flows (list of name, state, started
            in ms, seconds), services (name → url), made (ms); each may be missing.
    """
    rows = told["versions"]
    champion = _champion(rows)
    facts = [("Workspace", around.get("workspace")), ("Versions", str(len(rows))),
             ("Champion", champion["version"] if champion else "none"),
             ("Page of", day(around.get("made", time.time() * 1000)))]
    parts = [_now(told, around), *([versions_section(told), _gates(told), data_section(told)] if rows else []),
             _schedule(around), _places(told), _audit(told)]
    return page(told["name"], "project", facts, [part for part in parts if part is not None])


def _champion(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((row for row in reversed(rows) if "champion" in row["aliases"]), None)


def _now(told: Mapping[str, Any], around: Mapping[str, Any]) -> Section:
    rows = told["versions"]
    if not rows:
        steps = [element("li", text, element("code", command)) for text, command in FIRST]
        more = [none(f"This store has other models: {', '.join(told['models'])}.")] if told["models"] else []
        return Section("now", "What to do first", "No version is registered yet. This page fills as versions come.",
                       [element("ol", steps, class_="steps"), *more])
    champion, last = _champion(rows), rows[-1]
    # what a reader compares: the champion, then what has come after it
    shown = [_standing("Champion", champion, _before(rows, champion))] if champion else [
        tile("Champion", "none", "move the alias in MLflow, or: visionmill register with policy auto")]
    if champion is not last:
        shown.append(_standing("Last version", last, _before(rows, last)))
    shown += [_amount(last), _in_use(told["deployed"]),
              _drift(told["drift"]), _last(around.get("notes", {}))]
    return Section("now", "Now", "Where the workspace stands.", [tiles(shown)])


def _before(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    place = next(i for i, one in enumerate(rows) if one["version"] == row["version"])
    old = rows[place - 1] if place else None
    return old if old and old["test_hash"] == row["test_hash"] else None


def _standing(name: str, row: Mapping[str, Any], old: Mapping[str, Any] | None) -> Markup:
    interval = (f"AP {words.accuracy(row['low'])} \u2013 {words.accuracy(row['high'])} at 95 %"
                if words.known(row["low"]) and words.known(row["high"]) else None)
    return tile(f"{name}, version {row['version']}", f"AP {words.accuracy(row['AP'])}",
                [verdict(row)[0], " ", _since(arrow(row, old, "AP"))], interval,
                ", ".join([words.milliseconds(row["median_ms"]), words.size(row["bytes"])]))


def _since(mark: Markup | str) -> list[Markup | str]:
    return [mark, " since the version before"] if mark else []


def _amount(row: Mapping[str, Any]) -> Markup:
    if not words.known(row["pictures"]):
        return tile("Data", words.NONE, "its tables are not on this machine")
    boxes = words.plural(round(row["boxes"]), "box") if words.known(row["boxes"]) else None
    return tile("Data", words.count(row["pictures"]), "pictures", boxes)


def _in_use(deployed: Sequence[Mapping[str, Any]]) -> Markup:
    numbers = list(dict.fromkeys(str(one.get("version")) for one in deployed))
    if not numbers:
        return tile("Deployed", "nothing", "visionmill up, then move the alias champion")
    return tile("Deployed", f"version {', '.join(numbers)}", ", ".join(str(one.get("target")) for one in deployed))


def _drift(look: Mapping[str, Any] | None) -> Markup:
    if look is None:
        return tile("Drift", "no look", "visionmill drift FOLDER")
    return tile("Drift", str(look["verdict"]) or "n/a", f"looked on {day(look['when'])}")


def _last(notes: Mapping[str, Any]) -> Markup:
    note = notes.get("last_run")
    if not isinstance(note, dict):
        return tile("Last run", "none", "visionmill run")
    text, kind = _end(note.get("exit_code"))
    return tile("Last run", str(note.get("finished", "n/a"))[5:16], badge(text, kind))


def _end(code: Any) -> tuple[str, str]:
    return ENDS.get(code, (f"exit code {code}", "fail"))


def _gates(told: Mapping[str, Any]) -> Section:
    rows = {row["version"]: row for row in told["versions"]}
    body: list[Markup] = []
    for place, (version, report) in enumerate(told["reports"].items()):
        rules = [rule for rule in report.get("rules", []) if isinstance(rule, dict)]
        kinds = ("pass", "fail", "not applicable")
        counts = {kind: sum(rule.get("verdict") == kind for rule in rules) for kind in kinds}
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        aliases = f" ({', '.join(rows[version]['aliases'])})" if version in rows and rows[version]["aliases"] else ""
        inner = table(["Rule", "Verdict", "Why"], [_rule(rule) for rule in _first(rules)],
                      label=f"Gate of version {version}", text=(1, 2))
        answer = "passed" if report.get("passed") else "refused"
        head = element("summary", f"Version {version}{aliases}: {answer}, {said}")
        body.append(element("details", head, inner, open=place == 0))
    return Section("gates", "Gates", "Why the champion and the last versions were let through or not; refusing rules "
                                     "stand first.", body or [none("No gate's report is on this machine.")])


def _first(rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    order = {"fail": 0, "pass": 1}
    return sorted(rules, key=lambda rule: order.get(str(rule.get("verdict")), 2))


def _rule(rule: Mapping[str, Any]) -> list[Cell]:
    text = str(rule.get("verdict"))
    kind = text if text in ("pass", "fail") else "hold"
    return [Cell(str(rule.get("name"))), Cell(badge(text, kind)), Cell(str(rule.get("reason", "")))]


def _schedule(around: Mapping[str, Any]) -> Section:
    """The last run by hand or by schedule, the last retraining, Prefect's last flow runs, and what is up."""
    notes = around.get("notes", {})
    body: list[Markup] = []
    if isinstance(run := notes.get("last_run"), dict):
        text, kind = _end(run.get("exit_code"))
        body += [element("h3", f"Last run, {run.get('finished', 'n/a')} ", badge(text, kind)), _outcomes(run)]
    if isinstance(note := notes.get("last_retrain"), dict):
        text, kind = str(note.get("outcome") or "n/a"), _end(note.get("exit_code"))[1]
        head = element("h3", f"Last retraining, {_said(note.get('finished', 'n/a'))} ", badge(text, kind))
        body += [head, _why(note)]
    if flows := around.get("flows"):
        rows = [[Cell(str(one.get("name"))), Cell(badge(str(one.get("state")), _kind(str(one.get("state"))))),
                 Cell(day(one.get("started")), one.get("started")),
                 Cell(_seconds(one.get("seconds")), one.get("seconds"))]
                for one in flows]
        body += [element("h3", "Last flow runs of Prefect"), table(["Run", "State", "Began", "Took"], rows,
                                                                  label="Flow runs", text=(1,), sortable=True)]
    if services := around.get("services"):
        rows = [[Cell(name), Cell(str(url))] for name, url in services.items()]
        body += [element("h3", "Services that are up"),
                 table(["Service", "Address"], rows, label="Services", text=(1,))]
    return Section("schedule", "Runs", "What ran last here, by hand or by schedule.", body or [
        none("Nothing has run yet. visionmill up and visionmill deploy make it run by schedule.")])


def _outcomes(run: Mapping[str, Any]) -> Markup:
    stages = [one for one in run.get("outcomes", []) if isinstance(one, dict) and one.get("stage") != "code"]
    rows = [[Cell(str(one.get("stage"))), Cell(str(one.get("what"))), Cell(_seconds(one.get("seconds")),
                                                                        one.get("seconds")),
             Cell(str(one.get("reason") or ""))] for one in stages]
    error = none(str(run["error"])) if run.get("error") else None
    return element("div", error, table(["Stage", "Outcome", "Took", "Why"], rows, label="Stages of the last run",
                                       text=(1, 3)) if rows else None)


def _why(note: Mapping[str, Any]) -> Markup:
    """Reasons, result and steps of a retraining."""
    told = [("reasons", note.get("reasons") or "none: nothing was new"), ("version", note.get("version")),
            ("drift", note.get("drift")), ("error", note.get("error"))]
    steps = note.get("steps")
    told += [(str(name), step.get("text") if isinstance(step, dict) else step) for name, step in
             (steps.items() if isinstance(steps, dict) else ())]
    rows = [[Cell(name), Cell(_said(value))] for name, value in told if value not in (None, "")]
    return table(["What", "How"], rows, label="Last retraining", text=(1,))


def _said(value: Any) -> str:
    """A value of a note in words; notes of another release may hold what this one does not know."""
    if isinstance(value, dict):
        return ": ".join(_said(inner) for inner in value.values() if inner not in (None, ""))
    if isinstance(value, list):
        return "; ".join(_said(inner) for inner in value) or "none"
    return "none" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _kind(state: str) -> str:
    return {"completed": "pass", "failed": "fail", "crashed": "fail"}.get(state.lower(), "hold")


def _seconds(value: Any) -> str:
    if not words.known(value):
        return words.NONE
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _places(told: Mapping[str, Any]) -> Section:
    rows = [[Cell(str(one.get("target"))), Cell(f"version {one.get('version') or 'not known'}"),
             Cell(str(one.get("when") or "n/a")),
             Cell(badge("whole" if one.get("whole", True) else "files are missing or changed",
                        "pass" if one.get("whole", True) else "fail")),
             Cell(str(one.get("path") or ""))] for one in told["deployed"]]
    heads = ["Target", "Version", "Since", "State", "Where"]
    body = table(heads, rows, label="Deployed", text=(1, 3, 4)) if rows else (
        none("Nothing is deployed: visionmill up, and the alias champion decides."))
    return Section("deployed", "Deployed", "The bundles that are in use.", [body])


def _audit(told: Mapping[str, Any]) -> Section:
    rows = [[Cell(str(one["when"])), Cell(str(one["alias"])), Cell(str(one["from_version"] or "none")),
             Cell(str(one["to_version"] or "none")), Cell(str(one["who"] or "")), Cell(str(one["gate"] or "not asked")),
             Cell(str(one["reason"] or one["by"]))] for one in reversed(told["audit"])]
    heads = ["When", "Alias", "From", "To", "Who", "Gate", "Why"]
    body = table(heads, rows, label="Audit", text=(4, 5, 6)) if rows else (
        none("No change of an alias is recorded."))
    return Section("audit", "Aliases", "The last changes; visionmill audit has all of them.", [body])
