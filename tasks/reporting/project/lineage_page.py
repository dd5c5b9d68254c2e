"""The page of one version's lineage: the drawing, then each part with its hashes and details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.data.store.words import made_by
from tasks.reporting import words
from tasks.reporting.markup import Markup, element
from tasks.reporting.project.graph import graph
from tasks.reporting.project.shell import badge, cut, day, hashed, in_use, page
from tasks.reporting.section import Cell, Section, more, none, table, tile, tiles

KINDS = {"pass": "pass", "fail": "fail"}


def lineage_page(told: Mapping[str, Any]) -> str:
    """One HTML text from a trail (`tasks.registry.tracing.trail`); names and texts in it are escaped."""
    version = told["version"]
    facts = [("Version", version["version"]), ("Aliases", ", ".join(version["aliases"]) or "none"),
             ("Registered", day(version["created"])), ("Gate", told["gate"]["verdict"] or "not asked"),
             ("Licence", told["pictures"].get("licence"))]
    parts = [_way(told), _picture(told), _data(told), _stages(told), _params(told), _code(told), _files(told),
             _gate(told), _aliases(told)]
    return page(version["name"], "lineage", facts, [part for part in parts if part is not None])


def _way(told: Mapping[str, Any]) -> Section:
    lost = [element("li", element("b", one["piece"]), f": {one['why']}", f" ({one['mend']})" if one["mend"] else "")
            for one in told["missing"]]
    body = [none(f"{words.plural(len(lost), 'piece')} of this version's trail cannot be told here:"),
            element("ul", lost)] if lost else []
    return Section("way", "From the pictures to the deployment",
                   "Each box leads to its part of this page; the hashes are those of DVC, git and MLflow.",
                   [*body, graph(told)])


def _picture(told: Mapping[str, Any]) -> Section | None:
    found = told.get("picture")
    if not found:
        return None
    rows = [[Cell(row["file"]), Cell(row["split"] or "none"), Cell(box["class"]), Cell(box["source"]),
             Cell(words.accuracy(box["score"]) if box["score"] is not None else ""), Cell(box["reviewed_by"] or ""),
             Cell(box["row"] or "")] for row in found["rows"] for box in row["boxes"]]
    heads = ["Picture", "Split", "Class", "Drawn by", "Score", "Reviewed by", "Row of its source"]
    told_in = ", ".join(one["ref"] for one in found["datasets"]) or "no dataset version of this machine's store"
    body = [table(heads, rows, label="Boxes of the picture", text=(1, 2, 3, 5, 6))] if rows else [
        none("It is in none of this version's splits, or has no box.")]
    return Section("picture", f"The picture {found['name']}", f"It is in {told_in}.", body)


def _data(told: Mapping[str, Any]) -> Section:
    pictures, labels = told["pictures"], told["labels"]
    splits = ", ".join(f"{name or 'none'} {words.count(n)}" for name, n in pictures.get("splits", {}).items())
    shown = [tile("Pictures", words.count(pictures.get("count", pictures.get("files"))), splits),
             tile("Raw data", words.size(pictures.get("bytes")), hashed(pictures.get("hash"))),
             tile("Split", cut(pictures.get("split_hash"), 8) or "n/a", "by DVC"),
             tile("Test set", cut(pictures.get("test_hash"), 8) or "n/a", "its identity for the gate")]
    body: list[Markup] = [tiles(shown)]
    if labels:
        body += [element("h3", f"{words.plural(labels['boxes'], 'box')} by who drew them"), _origins(labels)]
    else:
        body.append(none("The tables are not on this machine, so labels are not counted: dvc pull data/split"))
    if folders := pictures.get("folders"):
        body.append(more("Pictures by folder", _pairs("Folder", "Pictures", list(folders.items())[:40])))
    if told["datasets"]:
        body += [element("h3", "Dataset versions and recipes"), _recipes(told["datasets"])]
    return Section("data", "Pictures and labels", "What the version was trained, chosen and tested on.", body)


def _origins(labels: Mapping[str, Any]) -> Markup:
    most = max(labels["boxes"], 1)
    rows = [[Cell(one["source"]), Cell(words.count(one["boxes"]), one["boxes"], one["boxes"] / most),
             Cell(words.count(one["pictures"]), one["pictures"]),
             Cell(f"{one['score'][0]:.2f} to {one['score'][2]:.2f}" if one["score"][0] is not None else "none"),
             Cell(words.count(one["reviewed"]), one["reviewed"])] for one in labels["origins"]]
    seen = ", ".join(f"{who}: {words.count(n)}" for who, n in labels["reviewers"].items())
    return element("div", table(["Drawn by", "Boxes", "Pictures", "Scores", "Reviewed"], rows, label="Labels"),
                   element("p", f"Reviewed by {seen}", class_="dim") if seen else None)


def _recipes(datasets: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for one in datasets:
        recipe = one["recipe"]
        made = made_by(recipe, one["kind"])
        values = "; ".join(f"{key} {value}" for key, value in (recipe.get("parameters") or {}).items())
        rows.append([Cell(one["ref"]), Cell(made), Cell(", ".join(one["parents"]) or "none"),
                     Cell(" ".join(filter(None, [values, one.get("note")]))), Cell(hashed(one.get("digest")))])
    return table(["Version", "Made by", "Of", "With", "Digest"], rows, label="Dataset versions", text=(1, 2, 3))


def _stages(told: Mapping[str, Any]) -> Section:
    if not told["stages"]:
        return Section("stages", "Stages", "What the line did.", [none("Its dvc.lock is missing.")])
    rows = [[Cell(stage["name"]), Cell(_hashes(stage["deps"])), Cell(_hashes(stage["outs"])),
             Cell([element("code", f"{name} {cut(value)}", title=str(value)) for name, value in
                   stage["params"].get("code.yaml", {}).items()] or "n/a")] for stage in told["stages"]]
    return Section("stages", "Stages", f"Inputs and outputs with their hashes, by {told['papers']}.",
                   [element("div", table(["Stage", "Reads", "Makes", "Code"], rows, label="Stages", text=(1, 2, 3)),
                            class_="plain")])


def _hashes(entries: Sequence[Mapping[str, Any]]) -> list[Markup]:
    return [element("div", f"{one['path']} ", hashed(one["hash"])) for one in entries] or [element("div", "nothing")]


def _params(told: Mapping[str, Any]) -> Section:
    rows = list(_flat(told["params"]))
    body = [_pairs("Parameter", "Value", rows)] if rows else [none("params.yaml is missing.")]
    return Section("params", "Parameters", "Every value that the line was made with.",
                   [more(words.plural(len(rows), "value"), *body)] if rows else body)


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in (values.items() if isinstance(values, Mapping) else ()):
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _pairs(left: str, right: str, rows: Sequence[tuple[str, object]]) -> Markup:
    return table([left, right], [[Cell(name), Cell(str(value))] for name, value in rows], label=left, text=(1,))


def _code(told: Mapping[str, Any]) -> Section:
    code = told["code"]
    commits = [[Cell(hashed(one["id"])), Cell(one["subject"] or "not in this clone")] for one in code["commits"]]
    body: list[Markup] = [table(["Commit", "What it was"], commits, label="Commits", text=(1,))] if commits else [
        none("No commit: the workspace had no git repository.")]
    if code["uncommitted"] not in (None, "no"):
        body.insert(0, none(f"Not committed as it ran: {code['uncommitted']}. A rebuild cannot be promised."))
    at = f" at {code['package_commit']}" if code["package_commit"] not in (None, "none") else ""
    package = f"visionmill {code['package_version'] or 'n/a'}{at}"
    runs = [[Cell(run["stage"]), Cell(element("code", cut(run["id"], 12), title=run["id"])),
             Cell(run["status"].lower() if run["state"] == "there" else run["state"]), Cell(day(run["started"])),
             Cell(hashed(run["commit"], 8)), Cell(run["machine_kind"] or "not recorded")] for run in told["runs"]]
    body += [element("p", f"Made with {package}.", class_="dim"), element("h3", "Runs in MLflow"),
             table(["Stage", "Run", "State", "Began", "Commit", "Machine"], runs, label="Runs", text=(2, 5))
             if runs else none("No run is known.")]
    return Section("code", "Code and runs", "A stage that came out of the cache shows the run that made it.", body)


def _files(told: Mapping[str, Any]) -> Section:
    rows = [[Cell(file["path"]), Cell(words.size(file["bytes"]), file["bytes"]), Cell(hashed(file["hash"], 20)),
             Cell(badge("served", "pass") if file["served"] else "")] for file in told["files"]]
    body = table(["File", "Size", "Hash", ""], rows, label="Files", sortable=True) if rows else (
        none("No file is known."))
    lead = "Trained, pruned and exported; the served one was judged."
    return Section("files", "Models and exported files", lead, [body])


def _gate(told: Mapping[str, Any]) -> Section:
    gate = told["gate"]
    rows = [[Cell(str(rule.get("name"))), Cell(badge(str(rule.get("verdict")), KINDS.get(str(rule.get("verdict")),
                                                                                          "hold"))),
             Cell(str(rule.get("reason", "")))] for rule in gate["rules"]]
    body = table(["Rule", "Verdict", "Why"], rows, label="Rules", text=(1, 2)) if rows else none(
        "The gate's report is not here." if gate["verdict"] else "No gate was asked.")
    rules = f"; rules of {gate['preset']}, {cut(gate['hash'])}" if gate["hash"] else ""
    return Section("gate", "Gate", f"{gate['verdict'] or 'Not asked'}{rules}", [body])


def _aliases(told: Mapping[str, Any]) -> Section:
    rows = [[Cell(one["when"]), Cell(one["alias"]), Cell(one["from_version"] or "none"),
             Cell(one["to_version"] or "none"), Cell(one["who"] or one["by"]), Cell(one["reason"] or one["by"])]
            for one in reversed(told["audit"])]
    body = [table(["When", "Alias", "From", "To", "Who", "Why"], rows, label="Audit", text=(4, 5)) if rows else
            none("No change of an alias is recorded.")]
    places = [element("li", in_use(one)) for one in told["deployed"]]
    body += [element("h3", "Deployed"),
             element("ul", places) if places else none("Nowhere that this workspace knows of.")]
    return Section("aliases", "Aliases and deployment", "Who moved an alias when, and where the version runs.", body)
