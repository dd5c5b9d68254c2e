"""`dvc.lock` and `params.yaml` as a commit on a branch of their own, by git's plumbing.

The working tree, the index and the current branch stay as they are: the commit is made in an index of its own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tasks.base.errors import UserError

FILES = ("dvc.lock", "params.yaml")
WHO = {"NAME": "visionmill", "EMAIL": "visionmill@localhost"}


def record(root: Path, template: str, message: str) -> str:
    """Commit the two files on top of a branch, which is made from HEAD where it is new; returns what happened.

    Args:
        template: the branch's name; `{date}` becomes today's, 2030-01-31.
        message: of the commit.

    Raises:
        UserError: no git repository, no name of a branch, or the branch is checked out somewhere: its files there would
            look changed.
    """
    branch = template.replace("{date}", time.strftime("%Y-%m-%d"))
    prefix = _prefix(root)
    if _git(root, "check-ref-format", "--branch", branch, check=False) is None:
        raise UserError(f"{branch!r} is no name of a branch", where="site: retrain.branch", mend="retrain/{date}")
    ref = f"refs/heads/{branch}"
    _refuse_checked_out(root, ref)
    before = _git(root, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}", check=False)
    parent = before or _git(root, "rev-parse", "--verify", "-q", "HEAD^{commit}", check=False)
    tree = _tree(root, prefix, parent)
    if parent and tree == _run(root, "rev-parse", f"{parent}^{{tree}}"):
        return f"nothing to record: {f'branch {branch}' if before else 'the last commit'} has these files already"
    commit = _run(root, "commit-tree", tree, *(["-p", parent] if parent else []), "-m", message, env=_identity(root))
    # the old value is named: a commit that came in between is not lost
    _run(root, "update-ref", "-m", "visionmill retrain", ref, commit, before or "")
    return f"branch {branch}: commit {commit[:12]}"


def _tree(root: Path, prefix: str, parent: str | None) -> str:
    """The parent's tree with the two files as they are now."""
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _run(root, "read-tree", *([parent] if parent else ["--empty"]), env=env)
        for name in FILES:
            if (root / name).is_file():
                blob = _run(root, "hash-object", "-w", "--", name)
                _run(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{name}", env=env)
        return _run(root, "write-tree", env=env)


def _prefix(root: Path) -> str:
    """Of the workspace inside its repository: empty, or `lines/cells/`."""
    found = _git(root, "rev-parse", "--show-prefix", check=False)
    if found is None:
        raise UserError("dvc.lock cannot be recorded on a branch: this is no git repository", where=root,
                        mend="git init, or leave retrain.branch out of the site")
    return found


def _refuse_checked_out(root: Path, ref: str) -> None:
    place = ""
    for line in _run(root, "worktree", "list", "--porcelain").splitlines():
        if line.startswith("worktree "):
            place = line.removeprefix("worktree ")
        elif line == f"branch {ref}":
            raise UserError(f"the branch {ref.removeprefix('refs/heads/')} is checked out: a commit on it would make "
                            "the files there look changed", where=place,
                            mend="name another one in the site: retrain.branch: retrain/{date}")


def _identity(root: Path) -> dict[str, str]:
    """Ours, where the person has told git none."""
    known = {key: _git(root, "config", f"user.{key.lower()}", check=False) for key in WHO}
    return {f"GIT_{role}_{key}": WHO[key] for role in ("AUTHOR", "COMMITTER") for key in WHO
            if not known[key] and not os.environ.get(f"GIT_{role}_{key}")}


def _run(root: Path, *words: str, env: Mapping[str, str] | None = None) -> str:
    return _git(root, *words, env=env) or ""


def _git(root: Path, *words: str, env: Mapping[str, str] | None = None, check: bool = True) -> str | None:
    """What git printed; None where it failed and `check` is off."""
    # a hook or a caller may have set these for another repository
    clean = {name: value for name, value in os.environ.items()
             if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    done = subprocess.run(["git", *words], cwd=root, env={**clean, **(env or {})}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout.strip()
    if check:
        raise UserError(f"git {words[0]} failed: {done.stderr.strip()[:300]}", where=root, mend="see `git status`")
    return None
