"""`visionmill lineage`: where a version comes from, as text, a page or JSON; and backwards, from a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.commands.help import parser
from flows.workspace import enter
from tasks.base.errors import UserError
from tasks.data.store.words import made_by

EXAMPLES = """\
  visionmill lineage                              of the champion, else of the last version
  visionmill lineage cells@champion --html lineage.html
  visionmill lineage 3 --json lineage.json
  visionmill lineage cells/3 --picture BloodImage_00007.jpg
  visionmill lineage --picture scans/a.jpg        which versions were trained on that file"""
WIDE = 12  # characters of a hash that are printed


def main(words: list[str]) -> int:
    """Tell a version's trail, or a picture's."""
    arguments = parser("lineage", EXAMPLES)
    arguments.add_argument("version", nargs="?", help="NAME@ALIAS, NAME/3, models:/NAME/3, 3 or champion")
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write one page that needs no other file")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    arguments.add_argument("--picture", metavar="NAME", help="a file, or a picture's name in the tables")
    options = arguments.parse_args(words)
    workspace = enter()
    for file in (options.html, options.json):
        if file is not None and file.is_dir():
            raise UserError("that is a folder, and a file is to be written", where=file, mend=f"{file}/lineage.html")
    if options.picture and not options.version:
        return _backwards(options.picture, workspace, options.json)
    told = _trail(options.version, workspace)
    if options.picture:
        told["picture"] = _rows(options.picture, told, workspace)
    _write(told, options.html, options.json)
    _say(lines(told))
    return 0


def _say(text: Iterator[str]) -> None:
    from tasks.reporting.markup import plain

    print("\n".join(map(plain, text)))  # names may hold codes that a terminal acts on


def _trail(text: str | None, workspace: Path) -> dict[str, Any]:
    from tasks.registry.tracing.reading import find, reading
    from tasks.registry.tracing.trail import trail_of

    with reading(workspace, "a version's lineage was asked for") as registry:
        return trail_of(find(text, registry, workspace), registry, workspace)


def _write(told: Mapping[str, Any], page: Path | None, file: Path | None) -> None:
    from tasks.base.files import write_atomic, write_json

    if file is not None:
        write_json(file, told)
    if page is not None:
        from tasks.reporting.project.lineage_page import lineage_page

        write_atomic(page, lineage_page(told))


def _rows(text: str, told: Mapping[str, Any], workspace: Path) -> dict[str, Any]:
    from tasks.registry.tracing import origins
    from tasks.registry.tracing.kept import Kept

    one = origins.wanted(text)
    found = origins.tables(told["pictures"]["split_hash"], Kept(workspace))
    if found is None:
        raise UserError("the tables of this version are not on this machine", where=told["pictures"]["split_hash"],
                        mend="dvc pull data/split")
    return {"name": text, "digest": one.digest, "rows": origins.rows_of(one, found),
            "datasets": list(origins.in_store(one, workspace))}


def _backwards(text: str, workspace: Path, file: Path | None) -> int:
    """Which registered versions have a picture in their training, validation or test split."""
    from tasks.registry.tracing import origins
    from tasks.registry.tracing.kept import Kept
    from tasks.registry.tracing.reading import reading

    one = origins.wanted(text)
    with reading(workspace, "a picture's versions were asked for") as registry:
        known = [version for name in registry.names() for version in registry.versions(name)]
    found, unknown = origins.seen_by(one, known, Kept(workspace))
    told = {"picture": text, "digest": one.digest, "versions": found, "unknown": unknown,
            "datasets": list(origins.in_store(one, workspace))}
    _write(told, None, file)
    _say(_seen(told, len(known)))
    return 0


def _seen(told: Mapping[str, Any], asked: int) -> Iterator[str]:
    digest = told["digest"]
    yield f"picture    {told['picture']}" + (f", sha256 {digest[:WIDE]}…" if digest else
                                              " (no such file here: looked up by its name in the tables)")
    for one in told["versions"]:
        aliases = f" ({', '.join(one['aliases'])})" if one["aliases"] else ""
        yield f"  {one['name']}/{one['version']}{aliases}: {', '.join(one['splits'])}; as {', '.join(one['files'][:3])}"
    if not told["versions"]:
        yield f"  in none of the {asked - len(told['unknown'])} versions whose tables are here"
    yield from (f"  dataset {one['ref']}, licence {one['licence'] or 'not stated'}" for one in told["datasets"])
    if told["unknown"]:
        yield (f"  not known of {len(told['unknown'])} versions, whose tables are not on this machine "
               "(dvc pull data/split, or dvc fetch --all-commits)")


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The trail as text, from the pictures to the deployment."""
    version = told["version"]
    yield f"{version['name']} version {version['version']}" + (
        f" ({', '.join(version['aliases'])})" if version["aliases"] else "") + f", {_day(version['created'])}"
    yield from _data(told)
    yield from _made(told)
    yield from _judged(told)
    if picture := told.get("picture"):
        yield from _picture(picture)
    if told["missing"]:
        yield "missing"
        for one in told["missing"]:
            yield f"  {one['piece']}: {one['why']}" + (f" ({one['mend']})" if one["mend"] else "")


def _data(told: Mapping[str, Any]) -> Iterator[str]:
    pictures, labels = told["pictures"], told["labels"]
    splits = ", ".join(f"{name or 'none'} {count}" for name, count in pictures.get("splits", {}).items())
    counted = f"{pictures['count']} ({splits})" if "count" in pictures else f"{pictures['files'] or '?'} files"
    yield f"pictures   {counted}, {short(pictures['hash'])}"
    yield f"  licence  {pictures['licence'] or 'not stated'}"
    if labels:
        yield f"labels     {labels['boxes']} boxes, {len(labels['classes'])} classes"
        for one in labels["origins"]:
            score = f", scores {one['score'][0]:.2f} to {one['score'][2]:.2f}" if one["score"][0] is not None else ""
            seen = f", {one['reviewed']} reviewed" if one["reviewed"] else ""
            yield f"  {one['source']}: {one['boxes']} boxes in {one['pictures']} pictures{score}{seen}"
        for who, count in labels["reviewers"].items():
            yield f"  reviewed by {who}: {count}"
    for one in told["datasets"]:
        made = made_by(one["recipe"], one["kind"])
        of = f" of {', '.join(one['parents'])}" if one["parents"] else ""
        note = f" ({one['note']})" if one.get("note") else ""
        yield f"dataset    {one['ref']}: {made}{of} {short(one['digest']) if one['digest'] else ''}{note}".rstrip()


def _made(told: Mapping[str, Any]) -> Iterator[str]:
    runs = {run["stage"]: run for run in told["runs"]}
    yield f"stages     by {told['papers']}"
    for stage in told["stages"]:
        outs = ", ".join(f"{out['path']} {short(out['hash'])}" for out in stage["outs"] if
                         not out["path"].startswith("runs/"))
        run = runs.pop(stage["name"], None)
        yield f"  {stage['name']:20} {outs}{_run(run)}"
    yield from (f"  {stage:20}{_run(run)}" for stage, run in runs.items())
    code = told["code"]
    for one in code["commits"]:
        yield f"code       {one['id'][:WIDE]} {one['subject'] or '(not in this clone: git fetch)'}"
    if code["package_commit"] not in (None, "none"):
        yield f"package    visionmill {code['package_version']}, {code['package_commit'][:WIDE]}"
    if code["uncommitted"] not in (None, "no"):
        yield f"  uncommitted as it ran: {code['uncommitted']}"


def _judged(told: Mapping[str, Any]) -> Iterator[str]:
    for file in told["files"]:
        size = f"{file['bytes'] / 1e6:.2f} MB" if file["bytes"] is not None else "size not known"
        yield f"file       {file['path']} {short(file['hash'])} {size}{', served' if file['served'] else ''}"
    gate = told["gate"]
    yield f"gate       {gate['verdict'] or 'not asked'}" + (f" by {gate['preset']} {short(gate['hash'])}"
                                                            if gate["hash"] else "")
    for rule in gate["rules"]:
        if rule.get("verdict") == "fail":
            yield f"  fail     {rule.get('name')}: {rule.get('reason')}"
    for entry in told["audit"]:
        moved = f"{entry['from_version'] or 'none'} -> {entry['to_version'] or 'none'}"
        yield f"alias      {entry['when']} {entry['alias']} {moved} by {entry['who'] or entry['by']}: {entry['reason']}"
    from tasks.reporting.project.shell import in_use

    yield from (f"deployed   {in_use(place)}" for place in told["deployed"])
    if not told["deployed"]:
        yield "deployed   nowhere that this workspace knows of"


def _picture(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"picture    {found['name']}"
    if not found["rows"]:
        yield "  not in this version's tables"
    for row in found["rows"]:
        yield f"  {row['file']}: {row['split'] or 'no split'}, {row['size'][0]} x {row['size'][1]} px, " \
              f"sha256 {row['digest'][:WIDE]}, licence {row['licence'] or 'not stated'}, {len(row['boxes'])} boxes"
        for box in row["boxes"]:
            score = f" {box['score']:.2f}" if box["score"] is not None else ""
            seen = f", reviewed by {box['reviewed_by']}" if box["reviewed_by"] else ""
            yield f"    {box['class']}: {box['source']}{score}{seen}; {box['row']}"
    yield from (f"  dataset {one['ref']}, licence {one['licence'] or 'not stated'}" for one in found["datasets"])


def _run(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    state = "" if run["state"] == "there" else f" ({run['state']})"
    return f"; run {run['id'][:WIDE]}{state}" + (f" {_day(run['started'])}" if run["started"] else "")


def short(value: str | None) -> str:
    """The start of a hash; what it is of, stays."""
    if not value:
        return "no hash"
    kind, colon, text = value.rpartition(":")
    return f"{kind}{colon}{text[:WIDE]}{'….dir' if text.endswith('.dir') else '…' if len(text) > WIDE else ''}"


def _day(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))
