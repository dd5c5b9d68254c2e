"""How rounds begin: the workspace that an oracle needs, the versions that are meant, and the name of it all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.datastore import is_workspace, open_store, owner, track
from flows.workspace import enter
from tasks.base import presets
from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import folder_atomic
from tasks.base.params import read_yaml
from tasks.data.store.layout import Store, Version

START = 40  # pictures that an oracle's rounds begin with


def enter_or_make(data: str | None, oracle: bool, path: Path | None) -> Path:
    """The workspace of the current folder; outside of one, with an oracle, one is made of the data, or found again.

    Raises:
        UserError: this is no workspace, and none can be made.
    """
    if is_workspace() and path is None:
        return enter()
    if not (oracle and data):
        return enter(path or Path())
    from flows.commands.data.bring import name_of as named
    from flows.commands.new import build, find_source

    folder = (path or Path(f"{named(data)}-rounds")).expanduser().resolve()
    if is_workspace(folder):
        print(f"workspace {folder}")
        return enter(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UserError("the folder is not empty, and is no workspace", where=folder, mend="--path ANOTHER")
    source = find_source(data)
    with folder_atomic(folder) as fresh:
        build(fresh, source, None, inside_git=False)
    print(f"workspace {folder}")
    return enter(folder)


def absolute(text: str | None) -> str | None:
    """A folder by its whole path, since the current one changes; names of the store and the catalogue stay."""
    if text is None or text in presets.names("dataset"):
        return text
    folder = Path(text).expanduser()
    in_store = is_workspace() and "/" not in text and text.partition("@")[0] in open_store().names()
    return str(folder.resolve()) if folder.is_dir() and not in_store else text


def name_of(options: argparse.Namespace, workspace: Path) -> str | None:
    """The rounds that are meant and are there; None where they are to be begun.

    Raises:
        UserError: none are there, and what they would be of was not said.
    """
    from tasks.improving import state as journal

    known = journal.names(workspace)
    wanted = options.name or (default_name(options) if options.data else None)
    if wanted is not None:
        return wanted if wanted in known else None
    if known:
        return known[0]
    raise UserError("no rounds were begun here", where=workspace,
                    mend="visionmill improve --data LABELLED --pool PICTURES, or --data NAME --oracle")


def refuse_others(name: str, options: argparse.Namespace, workspace: Path) -> None:
    """What rounds were begun with does not change: another pool under the same name would be left unheard.

    Raises:
        UserError: something else is asked for than what they were begun with.
    """
    from flows.commands.data.bring import name_of as named
    from tasks.improving import state as journal

    state = journal.read(name, workspace)
    about, others = state.about, list[str]()
    for key in ("pool", "judge"):
        asked, has = getattr(options, key), about[key]["ref"]
        if asked and asked != has and named(asked) != has.partition("@")[0]:
            others.append(f"--{key} {asked}, and they have {has}")
    if options.oracle and not about["oracle"]:
        others.append("--oracle, and people answer")
    if options.control and len(state.arms) == 1:
        others.append("--control, and they have none")
    if options.start is not None and about["oracle"] and options.start != about["start"]:
        others.append(f"--start {options.start}, and they began with {about['start']}")
    if others:
        raise UserError(f"the rounds {name} were begun otherwise: {'; '.join(others)}",
                        where=journal.folder_of(name, workspace),
                        mend="leave that out to go on with them; --name ANOTHER begins others")


def default_name(options: argparse.Namespace) -> str:
    """What rounds are called where nobody says."""
    from flows.commands.data.bring import name_of as named

    base = named(options.data.partition("@")[0])
    return f"{base}-oracle" if options.oracle else base


def begin(options: argparse.Namespace, changes: dict[str, Any], workspace: Path) -> str:
    """Begin rounds; their name.

    Raises:
        UserError: something is missing or does not fit.
    """
    from tasks.improving import begin as beginning
    from tasks.improving.settings import load_settings
    from tasks.improving.state import folder_of

    name = options.name or default_name(options) if options.data else options.name
    if not options.data:
        raise UserError(f"rounds called {name!r} are not there, and what they begin with was not said", where=workspace,
                        mend="visionmill improve --data LABELLED --pool PICTURES, or --data NAME --oracle")
    folder_of(name, workspace)
    preset = options.preset or ("quick" if options.oracle else "default")
    settings = load_settings(preset, changes, workspace)
    store, who = open_store(workspace), owner(workspace)
    base = _version(options.data, store, workspace)
    told: dict[str, Any] = {"store": store, "owner": who, "workspace": workspace, "control": options.control,
                            "keep": lambda version: track(store, version)}
    if options.oracle:
        start = START if options.start is None else options.start
        state = beginning.begin_with_oracle(name, base, settings, start=start, **told)
    else:
        if not options.pool:
            raise UserError("what may be labelled was not said", where=name, mend="--pool NAME, or --pool FOLDER")
        from tasks.labelling.pools import pool_version

        pool = pool_version(options.pool, store, who, workspace)
        judge = store.find(options.judge) if options.judge else None
        model = None if settings.model else _champion(workspace)
        state = beginning.begin_with_people(name, base, pool, judge, settings, model=model, **told)
    print(f"rounds     {name}: {state.about['base']['ref']} is labelled, the pool is {state.about['pool']['ref']}, "
          f"judged on {state.about['judge']['ref']}")
    return str(name)


def _version(text: str, store: Store, workspace: Path) -> Version:
    """A version by its name; the data that this workspace was made of are imported where they are not one yet."""
    from flows.commands.data.bring import name_of as named

    if "/" not in text and text.partition("@")[0] in store.names():
        return store.find(text)
    raw = Path(text).expanduser()
    fetched = (read_yaml(workspace / "params.yaml") or {}).get("fetch") or {}
    if fetched.get("dataset") == text:
        raw = workspace / "data/raw"
    if not raw.is_dir():
        return store.find(text)
    from tasks.data.classes import read_classes, save_classes
    from tasks.data.store.importing import Importing, bring_in

    classes = read_classes(workspace, "add")
    wanted = Importing(raw, named(text), text, classes, allow=["all"])
    found = bring_in(store, wanted, owner(workspace))
    save_classes(workspace, classes)
    track(store, found.version)
    flaws = f"; {len(found.notes):,} flaws were left out, as notes.json lists" if found.notes else ""
    print(f"{found.version.ref}: {found.built.images:,} pictures, {found.built.annotations:,} labels{flaws}")
    return found.version


def _champion(workspace: Path) -> str | None:
    from tasks.registry.versions import champion

    try:
        found = champion(workspace=workspace)
    except VisionmillError as error:
        print(f"no first model: {error.what}")
        return None
    return f"models:/{found['name']}/{found['version']}" if found else None
