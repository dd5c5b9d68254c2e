"""`visionmill status`: what is stale and why, the last run, the champion, the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from flows import line
from flows.commands.help import parser
from flows.workspace import NOTES, enter, note
from tasks.base.errors import UserError, VisionmillError
from tasks.base.site import read_site
from tasks.registry.registered import is_registered

EXAMPLES = """\
  visionmill status
  visionmill status --html project.html     a page: versions over time, gates, data, runs, what is deployed
  visionmill status --html project.html --log    and as an artefact of an MLflow run"""


def main(words: list[str]) -> int:
    """Tell the state of the workspace in the current folder, or write its page."""
    arguments = parser("status", EXAMPLES)
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write one page that needs no other file")
    arguments.add_argument("--log", action="store_true", help="log that page in MLflow, as a run of its own")
    options = arguments.parse_args(words)
    workspace = enter()
    if options.html or options.log:
        return _page(options.html, workspace, options.log)
    print(f"workspace  {workspace}")
    print("\n".join(staleness(line.ask(workspace))))
    print("\n".join([*last_run(workspace), *last_retrain(workspace), *versions(workspace), *deployed(workspace),
                     *services(workspace), disk(workspace)]))
    return 0


def _page(file: Path | None, workspace: Path, log: bool) -> int:
    from flows.projecting import write_page

    if file is not None and file.is_dir():
        raise UserError("that is a folder, and a file is to be written", where=file, mend=f"{file}/project.html")
    run = write_page(file, workspace, log=log)
    print("\n".join([*([f"page: {file}"] if file else []), *([f"MLflow run {run}"] if run else [])]))
    return 0


def staleness(plan: line.Line) -> list[str]:
    """One line a stage that would run, with its reasons; what only follows names the stage that it follows."""
    following = plan.will_run()
    if not following:
        return [f"stages     all {len(plan.order)} up to date"]
    lines = [f"stages     {len(following)} of {len(plan.order)} to do"]
    for stage in following:
        cause = next((s for s in plan.order if s in plan.upstream[stage] and s in plan.stale), "")
        reasons = plan.stale.get(stage) or [f"follows {cause}"]
        more = f" and {len(reasons) - 4} more" if len(reasons) > 4 else ""
        lines.append(f"  {stage:18} {'; '.join(reasons[:4])}{more}")
    return lines


def last_run(workspace: Path) -> list[str]:
    """When the last flow ended, how, and what it did."""
    known = note("last_run", workspace)
    if not known:
        return ["last run   none of `visionmill run`"]
    ended = {0: "well", 3: "with a refusing gate"}.get(known["exit_code"], f"with exit code {known['exit_code']}")
    counts: dict[str, list[str]] = {}
    for outcome in known["outcomes"]:
        if outcome["stage"] != line.CODE:
            counts.setdefault(outcome["what"], []).append(outcome["stage"])
    parts = [f"{what}: {', '.join(stages)}" for what, stages in counts.items() if what != "up to date"]
    failed = [f"           {o['stage']}: {o['reason']}" for o in known["outcomes"] if o["what"] == "failed"]
    did = "; ".join(parts) or "everything was up to date"
    broke = [f"           registration: {known['error']}"] if known.get("error") else []
    return [f"last run   {known['finished']}, ended {ended}; {did}", *failed, *broke]


def last_retrain(workspace: Path) -> list[str]:
    """When a retraining was tried last, why, and how it ended; nothing where there was none."""
    known = note("last_retrain", workspace)
    if not isinstance(known, dict):
        return []
    said = [str(reason.get("text") or reason.get("kind")) for reason in known.get("reasons") or []
            if isinstance(reason, dict)]
    parts = [known.get("outcome"), "; ".join(said) or "no reason to run", known.get("error")]
    return [f"retrain    {known.get('finished', 'n/a')}, {'; '.join(str(part) for part in parts if part)}"]


def deployed(workspace: Path) -> list[str]:
    """What is deployed where, one line a target."""
    if not (workspace / Path(read_site(workspace).deploy.place).expanduser()).exists():
        return []
    from tasks.deployment import placed

    return [f"deployed   {one['name']} version {one['version'] or '?'} for {one['target']}, {one['path']}"
            for one in placed(workspace)]


def services(workspace: Path) -> list[str]:
    """What a running `visionmill up` keeps alive."""
    from flows.projecting import services as alive

    return [f"services   {', '.join(f'{name} {url}' for name, url in found.items())}"] if (
        found := alive(workspace)) else []


def versions(workspace: Path) -> list[str]:
    """The registered version of what is here, and the champion."""
    here = is_registered(workspace)
    gate = "" if here is None else f"; the gate {'passed' if here.gate.passed else 'refused'}"
    mine = "not as it is now; after a run: visionmill register" if here is None else \
        f"{here.name} version {here.version} ({', '.join(here.aliases) or 'no alias'}){gate}"
    return [f"registered {mine}", f"champion   {_champion(workspace)}"]


def _champion(workspace: Path) -> str:
    from tasks.registry.versions import champion

    try:
        found = champion(workspace=workspace)
    except VisionmillError as error:
        return error.what
    return f"{found['name']} version {found['version']}" if found else "none"


def disk(workspace: Path) -> str:
    """Sizes of what takes room, and what is free."""
    folders = {"pictures": workspace / "data/raw", "DVC cache": workspace / ".dvc/cache",
               "checkpoints and notes": workspace / NOTES}
    sizes = [f"{name} {size(folder) / 1e6:.0f} MB" for name, folder in folders.items() if folder.exists()]
    free = shutil.disk_usage(workspace).free / 1e9
    return f"disk       {', '.join([*sizes, f'free {free:.1f} GB'])}"


def size(folder: Path) -> int:
    """Bytes of all files of a folder; what is linked from elsewhere counts here too."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
