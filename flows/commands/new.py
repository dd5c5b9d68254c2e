"""`visionmill new`: a workspace from a catalogue data set or from a folder of one's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from flows import parameters
from flows.commands.data.use import choose
from flows.commands.help import parser
from flows.copying import copy_folder
from flows.datastore import DVC, add, relink
from flows.workspace import Feed, render, surroundings
from tasks.base import presets
from tasks.base.errors import UserError, VisionmillError, nearest
from tasks.base.files import folder_atomic
from tasks.data.store.layout import Version
from tasks.data.store.shards import LOOSE as MANY
from tasks.data.store.site import STORE, store_of

EXAMPLES = """\
  visionmill new ~/cells --data bccd              from the catalogue, conf/dataset/
  visionmill new ~/parts --data ~/pictures        your own: Pascal VOC or COCO JSON, found by looking
  visionmill new ~/parts --data ~/pictures --name widgets
  visionmill new ~/parts --data cells@2           a version of the shared store that VISIONMILL_STORE names"""
NAME_PART = re.compile(r"[^A-Za-z0-9._-]+")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main(words: list[str]) -> int:
    """Make a workspace; on failure nothing of it stays."""
    arguments = parser("new", EXAMPLES)
    arguments.add_argument("path", type=Path, help="folder of the workspace; must not exist, or be empty")
    arguments.add_argument("--data", required=True, metavar="NAME|FOLDER", help="catalogue name or folder of pictures")
    arguments.add_argument("--name", help="name of the registered model (default: that of the folder)")
    options = arguments.parse_args(words)
    path: Path = options.path.expanduser().resolve()
    _refuse(path, options.name)
    source = find_source(options.data)
    with folder_atomic(path) as folder:
        inside_git = _is_inside_git(path)
        build(folder, source, options.name, inside_git=inside_git)
    print(f"\nworkspace {path}\nnext: cd {path} && visionmill run")
    return 0


def find_source(data: str) -> str | Path | Version:
    """A catalogue name as text, a folder as a path, or a version of the shared store.

    Raises:
        UserError: none of them; the nearest catalogue name is offered.
    """
    known = presets.names("dataset")
    if data in known:
        return data
    if "@" in data and os.environ.get(STORE):
        return store_of(Path()).find(data)
    folder = Path(data).expanduser().resolve()
    if folder.is_dir():
        return folder
    guess = nearest(data, known)
    what = "is a file" if folder.exists() else "is neither a folder nor in the catalogue"
    raise UserError(f"--data {data} {what}", mend=f"did you mean {guess!r}?" if guess and "/" not in data else
                    f"give a folder, or one of: {', '.join(known)}")


def build(folder: Path, source: str | Path | Version, name: str | None, *, inside_git: bool) -> None:
    """Fill an empty folder: files, git, DVC, pictures, first commit."""
    from tasks.data.inspect import describe

    if isinstance(source, Path):
        print(describe(source))
    _write_files(folder, source, name)
    if not inside_git:
        _call(["git", "init", "-q"], folder)
    _call([*DVC, "init", "-q", *(["--subdir"] if inside_git else [])], folder)
    (folder / ".dvc/config").write_text(surroundings()[".dvc/config"], encoding="utf-8")
    (folder / ".dvcignore").write_text(surroundings()[".dvcignore"], encoding="utf-8")
    if isinstance(source, Version):
        choose(folder, source.ref, source.digest)
        print(f"{source.ref}: {source.meta.problem}, classes: {', '.join(source.meta.classes)}")
    elif isinstance(source, Path) and sum(1 for path in source.rglob("*") if path.is_file()) > MANY:
        _import(folder, source)
    elif isinstance(source, Path):
        copy_folder(source, folder / "data/raw")
        add(folder, ["data/raw"])
    else:
        _fetch(folder)
        relink(folder, ["fetch"])
        print(describe(folder / "data/raw"))
    if not inside_git:
        _commit(folder)


def _refuse(path: Path, name: str | None) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError("the folder is not empty, and nothing in it is touched", where=path, mend="choose another path")
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: letters, digits, dots, dashes and underscores only")


def _import(folder: Path, source: Path) -> None:
    """Many pictures go into the store, in archives: DVC looks at each loose file, every time."""
    from flows.datastore import owner, track
    from tasks.data.classes import ClassList
    from tasks.data.store.importing import Importing, bring_in

    store = store_of(folder)
    name = NAME_PART.sub("-", source.name).strip("-.") or "pictures"
    wanted = Importing(source, name, str(source), ClassList([]), shard_over=MANY)
    found = bring_in(store, wanted, owner(folder))
    track(store, found.version)
    choose(folder, found.version.ref, found.version.digest)
    print(f"{found.version.ref}: more than {MANY:,} files, so the pictures are in archives of the store")


def _write_files(folder: Path, source: str | Path | Version, name: str | None) -> None:
    from tasks.data.catalogue import read_entry

    feed: Feed = "catalogue" if isinstance(source, str) else "folder"
    params = folder / "params.yaml"
    params.write_text(render("params.yaml", feed), encoding="utf-8")
    values = parameters.read_commented(params)
    if isinstance(source, str):
        parameters.set_value(values, "fetch.dataset", source)
        parameters.merge(values, read_entry(source).params)
        _copy_entry(folder, presets.find("dataset", source))
    if name:
        parameters.set_value(values, "register.name", name)
    params.write_text(parameters.as_text(values), encoding="utf-8")
    (folder / "dvc.yaml").write_text(render("dvc.yaml", feed), encoding="utf-8")
    (folder / ".gitignore").write_text(surroundings()[".gitignore"], encoding="utf-8")


def _copy_entry(folder: Path, entry: Path) -> None:
    # an entry of the current folder's own conf/ is nowhere else
    if not entry.is_relative_to(presets.PACKAGE):
        (folder / "conf/dataset").mkdir(parents=True)
        shutil.copyfile(entry, folder / "conf/dataset" / entry.name)


def _fetch(folder: Path) -> None:
    """Run the stage `fetch`, so that what it brought can be told."""
    from flows.stages import run_stage

    def say(text: str) -> None:
        print(text, flush=True)

    for stage in ("code", "fetch"):
        run_stage(folder, stage, limit_s=7200, say=say)


def _commit(folder: Path) -> None:
    known = _ask(["git", "config", "user.name"], folder).returncode == 0
    who = [] if known else ["-c", "user.name=visionmill", "-c", "user.email=visionmill@localhost"]
    _call(["git", "add", "."], folder)
    _call(["git", *who, "commit", "-q", "-m", "visionmill new"], folder)


def _is_inside_git(path: Path) -> bool:
    above = next(folder for folder in path.parents if folder.is_dir())
    return _ask(["git", "rev-parse", "--is-inside-work-tree"], above).stdout.strip() == "true"


def _call(command: list[str], folder: Path) -> None:
    done = _ask(command, folder)
    if done.returncode:
        text = (done.stderr or done.stdout).strip()
        raise VisionmillError(f"{' '.join(command[-3:])} failed: {text}", where=folder, mend="visionmill doctor")


def _ask(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UserError(f"{command[0]} is not installed", mend=f"install {command[0]}") from error
