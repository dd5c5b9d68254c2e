"""`visionmill reproduce`: build a version again in a clean clone, and say output by output what is equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.commands.help import parser
from flows.workspace import NOTES, enter, leave_note
from tasks.base.errors import UserError, nearest

EXAMPLES = """\
  visionmill reproduce cells@champion
  visionmill reproduce 3 --into /big/disk/cells-again
  visionmill reproduce 3 --stages evaluate,export      the rest is taken as it was
  visionmill reproduce 3 --check                       compare what an earlier call has built"""
FAILED, DIFFERENT = 1, 3


def main(words: list[str]) -> int:
    """Build and compare: 0 all is equal, or within tolerance on another kind of machine; 3 something differs; 1 a
    stage failed."""
    arguments = parser("reproduce", EXAMPLES)
    arguments.add_argument("version", nargs="?", help="NAME@ALIAS, NAME/3, models:/NAME/3, 3 or champion")
    arguments.add_argument("--into", type=Path, metavar="FOLDER", help=f"the clone (default: {NOTES}/again/NAME-3)")
    arguments.add_argument("--stages", help="names, with commas; `export` is all its targets (default: all)")
    arguments.add_argument("--check", action="store_true", help="only compare what is built")
    arguments.add_argument("--anyway", action="store_true", help="although its code was not committed as it ran")
    arguments.add_argument("--tolerance", type=float, default=0.01, metavar="AP",
                           help="change of AP and AP50 that is allowed on another kind of machine (default: 0.01)")
    options = arguments.parse_args(words)
    if not 0 <= options.tolerance <= 1:
        raise UserError(f"--tolerance {options.tolerance}: AP is between 0 and 1")
    workspace = enter()
    work = _look_up(options.version, workspace, options.into)
    _warn_of_code(work.told, options.anyway)
    wanted = _wanted(options.stages, work)
    failed = None if options.check else _build(work, wanted)
    rows = _compare(work, options.tolerance)
    print("\n".join(_table(rows)))
    print(f"\nthe rebuild is in {work.root}")
    if failed is not None:
        print(f"{failed.stage} failed: {failed.reason}\nthe same command goes on from there")
        return FAILED
    return _verdict(rows)


def _look_up(text: str | None, workspace: Path, into: Path | None) -> Any:
    from flows.rebuilding import Rebuild
    from tasks.registry.tracing.papers import papers
    from tasks.registry.tracing.reading import find, reading
    from tasks.registry.tracing.trail import trail_of

    with reading(workspace, "a version was looked up") as registry:
        known = find(text, registry, workspace)
        told, found = trail_of(known, registry, workspace), papers(known, registry, workspace)
    if found.folder is None or not told["stages"]:
        why = "; ".join(f"{one['piece']}: {one['why']}" for one in told["missing"]) or "it was imported"
        raise UserError(f"version {known.version} cannot be built again: {why}", where=f"models:/{known.name}",
                        mend="visionmill register, in the workspace that made it, writes its papers again")
    root = into.expanduser().resolve() if into else workspace / NOTES / "again" / f"{known.name}-{known.version}"
    if root == workspace or workspace.is_relative_to(root):
        raise UserError("that is the workspace itself, and a rebuild goes elsewhere", where=root, mend="--into FOLDER")
    return Rebuild(told, found.folder, workspace, root)


def _warn_of_code(told: Mapping[str, Any], anyway: bool) -> None:
    """Say what cannot be promised.

    Raises:
        UserError: the code was not committed, and nobody said `--anyway`.
    """
    from tasks.registry import lineage

    code = told["code"]
    dirty = code["uncommitted"] or "not recorded"
    if dirty != "no":
        said = f"the code of this version was not committed as it ran ({dirty}): a rebuild proves nothing"
        if not anyway:
            raise UserError(said, where=told["version"]["uri"], mend="--anyway builds from the commit before it")
        print(f"warning: {said}")
    made, here = code["package_commit"], lineage.code_state(Path())["package_commit"]
    if made not in (None, "none", here):
        print(f"note: made with visionmill {code['package_version']} at {made}; here it is {here or 'a release'}.\n"
              f"      exactly that one: git -C {lineage.PACKAGE} worktree add /tmp/visionmill-{made[:8]} {made}; "
              f"PYTHONPATH=/tmp/visionmill-{made[:8]} visionmill reproduce …")


def _wanted(text: str | None, work: Any) -> list[str]:
    """Stages to run: those that were named, else all but what only brings data and what is never compared."""
    from flows.line import CODE
    from tasks.registry.tracing.again import is_compared

    if text is None:
        compared = {stage["name"] for stage in work.told["stages"] if any(is_compared(out["path"])
                                                                         for out in stage["outs"])}
        return [name for name in work.names if name == CODE or (name in compared and name not in work.sources())]
    found = [CODE] if CODE in work.names else []
    for word in filter(None, (part.strip() for part in text.split(","))):
        same = [name for name in work.names if word in (name, name.partition("@")[0])]
        if not same:
            guess = nearest(word, work.names)
            raise UserError(f"no stage is called {word!r}", where="--stages",
                            mend=f"did you mean {guess!r}?" if guess else ", ".join(work.names))
        found += [name for name in same if name not in found]
    return found


def _build(work: Any, wanted: list[str]) -> Any:
    from flows import rebuilding
    from flows.supervisor import workspace_lock
    from tasks.registry.tracing.again import code_differs

    rebuilding.prepare(work)
    with workspace_lock(work.place):
        rebuilding.bring_data(work, wanted)
        failed = rebuilding.build(work, wanted)
    ran = set(rebuilding.rebuilt(work))
    other = [name for name in code_differs(work.told["stages"], work.place) if name in ran]
    print(f"code: other than it was in {', '.join(other)}" if other else "code: of every stage that ran, as it was")
    return failed


def _compare(work: Any, tolerance: float) -> Sequence[Any]:
    from flows import rebuilding
    from tasks.registry import lineage
    from tasks.registry.tracing import again
    from tasks.registry.tracing.kept import Kept

    if not (work.place / "dvc.lock").is_file():
        raise UserError("nothing was built there yet", where=work.root, mend="the same command without --check")
    kinds = {run["stage"]: run["machine_kind"] for run in work.told["runs"]}
    sides = again.Sides(Kept(work.workspace), Kept(work.place), kinds, lineage.machine_kind(), tolerance)
    rows = again.compare(work.told["stages"], work.place, rebuilding.rebuilt(work), sides)
    rows = [row if row.stage not in work.sources() or row.verdict == again.NEVER else _given(row) for row in rows]
    leave_note("compared", [row.to_dict() for row in rows], work.place)
    return rows


def _given(row: Any) -> Any:
    from dataclasses import replace

    from tasks.registry.tracing import again

    return row if row.verdict != again.NOT_REBUILT else replace(row, detail="data, taken by its hash")


def _table(every: Sequence[Any]) -> list[str]:
    from tasks.registry.tracing.again import NEVER

    rows = [row for row in every if row.verdict != NEVER]
    never = sorted({row.path if not row.path.startswith("runs/") else "runs/" for row in every if row.verdict == NEVER})
    wide = [max([len(getattr(row, name)) for row in rows], default=0) for name in ("stage", "path", "verdict")]
    return ["", *(f"{row.stage:{wide[0]}}  {row.path:{wide[1]}}  {row.verdict:{wide[2]}}  {row.detail}".rstrip()
                  for row in rows), *([f"never compared: {', '.join(never)} (times, run ids)"] if never else [])]


def _verdict(rows: Sequence[Any]) -> int:
    from tasks.registry.tracing import again

    counts = {verdict: sum(row.verdict == verdict for row in rows)
              for verdict in (again.EQUAL, again.NEAR, again.DIFFERS)}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing was compared")
    return 0 if again.holds(rows) else DIFFERENT
