"""The DVC remote of a line: what is pulled before a retraining, and pushed after it.

Pulling is careful: it brings what is missing, what an imported source has anew, and a source whose `.dvc` file is ahead
of the last run. It never takes back what a person has put into a folder, and never changes git's state.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flows.datastore import transfer
from flows.line import Line, read_lock
from tasks.base.errors import UserError
from tasks.base.params import read_yaml
from tasks.base.site import read_site
from tasks.data.store.site import store_of

DVC = [sys.executable, "-P", "-m", "dvc"]
LACKING = ("is missing", "is not in the cache")
LIMIT_S = 6 * 3600.0
PULL_MEND = ("mend the remote or its credentials (dvc remote list; for s3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), "
             "or visionmill retrain --no-pull, which goes on with what is here")


def pull(root: Path, plan: Line) -> list[str]:
    """Bring what the line lacks; returns what was done, a line each.

    Raises:
        UserError: the remote cannot be reached, or lacks a source; or a source was changed here and elsewhere.
    """
    done = [f"{file}: asked its source" for file in _imported(root, plan) if _dvc(root, "update", "-q", file) == ""]
    ahead = [file for file in sources(plan) if is_ahead(root, file)]
    if ahead:
        _dvc(root, "pull", "-q", *ahead)
        done += [f"{file}: pulled" for file in ahead]
    missing = [stage for stage, reasons in plan.stale.items()
               if stage not in ahead and any(reason.endswith(LACKING) for reason in reasons)]
    if missing and has_remote(root):
        _dvc(root, "pull", "-q", "--allow-missing", *missing)
        done.append(f"pulled what was missing of {', '.join(missing)}")
    return [*done, *_pull_version(root)]


def push(root: Path) -> str:
    """Send the line's data to the remote; the site's becomes it where DVC has none, for this machine alone.

    Raises:
        UserError: it cannot be reached or may not be written to.
    """
    if not has_remote(root):
        told = read_site(root).remote
        place = told if "://" in told else str(Path(told).expanduser().resolve())
        _dvc(root, "remote", "add", "--local", "-f", "-d", "site", place)
    said = _dvc(root, "push", mend="mend the remote or its credentials, then: dvc push; the version is registered")
    return said.strip().splitlines()[-1] if said.strip() else "everything was there"


def has_remote(root: Path) -> bool:
    """Whether DVC has a default remote."""
    return "core.remote=" in _dvc(root, "config", "--list")


def sources(plan: Line) -> list[str]:
    """The `.dvc` files that feed the line."""
    return [stage for stage in plan.order if stage.endswith(".dvc")]


def is_ahead(root: Path, file: str) -> bool:
    """Whether a `.dvc` file names other data than the last run had, or data that are not here.

    After a `git pull` the file is new and the folder is old: what is in the folder must not be taken for an edit.
    """
    [out] = (read_yaml(root / file) or {}).get("outs", [{}])[:1] or [{}]
    path = (Path(file).parent / str(out.get("path"))).as_posix()
    if not (root / path).exists():
        return True
    known = {entry.get("md5") for stage in read_lock(root).values() for entry in stage.get("deps", [])
             if entry.get("path") == path}
    return bool(known) and out.get("md5") not in known


def _imported(root: Path, plan: Line) -> list[str]:
    """Sources that come from elsewhere: `dvc import-url` and `dvc import`."""
    return [file for file in sources(plan) if (read_yaml(root / file) or {}).get("deps")]


def _pull_version(root: Path) -> list[str]:
    """The dataset version that params.yaml names, where its tables are not here."""
    named = ((read_yaml(root / "params.yaml") or {}).get("data") or {}).get("version")
    if not named:
        return []
    store = store_of(root)
    version = store.find(named)
    if version.here:
        return []
    transfer(store, "pull", [version])
    return [f"{version.ref}: pulled"]


def _dvc(root: Path, *words: str, mend: str = PULL_MEND) -> str:
    """Run DVC and return what it printed."""
    done = subprocess.run([*DVC, *words], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=LIMIT_S)
    if done.returncode:
        lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        text = "; ".join(lines[:2]) or (done.stderr or done.stdout).strip()[-300:]
        raise UserError(f"dvc {words[0]} failed: {text}", where=root, mend=mend)
    return done.stdout
