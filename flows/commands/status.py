"""`visionmill status`: what is stale and why, the last run, the champion, the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from flows import line
from flows.commands.help import parser
from flows.workspace import NOTES, enter, note
from tasks.base.errors import VisionmillError
from tasks.registry import store
from tasks.registry.registered import is_registered

EXAMPLES = """\
  visionmill status"""


def main(words: list[str]) -> int:
    """Tell the state of the workspace in the current folder."""
    parser("status", EXAMPLES).parse_args(words)
    workspace = enter()
    print(f"workspace  {workspace}")
    print("\n".join(staleness(line.ask(workspace))))
    print("\n".join([*last_run(workspace), *versions(workspace), disk(workspace)]))
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


def versions(workspace: Path) -> list[str]:
    """The registered version of what is here, and the champion."""
    here = is_registered(workspace)
    gate = "" if here is None else f"; the gate {'passed' if here.gate.passed else 'refused'}"
    mine = "not as it is now; after a run: visionmill register" if here is None else \
        f"{here.name} version {here.version} ({', '.join(here.aliases) or 'no alias'}){gate}"
    return [f"registered {mine}", f"champion   {_champion(workspace)}"]


def _champion(workspace: Path) -> str:
    if not _has_store(workspace):
        return "none"
    from tasks.registry.versions import champion

    try:
        found = champion(workspace=workspace)
    except VisionmillError as error:
        return error.what
    return f"{found['name']} version {found['version']}" if found else "none"


def _has_store(workspace: Path) -> bool:
    """Whether there may be versions: asking a SQLite file that is not there would make it."""
    uri = os.environ.get("MLFLOW_REGISTRY_URI") or store.tracking_uri(workspace)
    file = uri.removeprefix("sqlite:///").partition("?")[0]
    return not uri.startswith("sqlite:///") or (workspace / file).exists()


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
