"""`visionmill improve`: rounds of mine, label, merge, train, compare; begun once, gone on with by the same command."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.help import parser
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from tasks.improving.state import State

EXAMPLES = """\
  visionmill improve --data bccd --oracle --rounds 3         the whole loop, known labels answer; makes a workspace
  visionmill improve --data bccd --oracle --control          beside it a random arm of the same budget
  visionmill improve --data cells --pool ~/new-pictures --budget 50    with people; ends where they are waited for
  visionmill improve                                         goes on; --wait looks again until they are ready
  visionmill improve --rounds 6 --budget 30                  more rounds, and smaller ones from the next on
  visionmill improve status --html rounds.html
  visionmill improve undo; visionmill improve redo           take back the last step (--round: all of a round); put back
  visionmill improve skip prelabel; visionmill improve stop"""
VERBS = ("status", "undo", "redo", "skip", "stop")
# options that are settings of the rounds
SETTINGS = {"rounds": int, "budget": int, "strategy": str, "seed": int, "train": str, "model": str, "hardest": int}
ABOUT = {"rounds": "in all (default 3)", "budget": "pictures a round", "strategy": "how they are picked: mine --help",
         "seed": "of what is drawn", "train": "line or light", "model": "who labels first (default: the champion)",
         "hardest": "at most so many of the picked ones go to people"}


def main(words: list[str]) -> int:
    """Begin rounds or go on with them, look at them, or change where they are."""
    if words and words[0] in VERBS:
        return _verb(words[0], words[1:])
    options = _arguments().parse_args(words)
    from flows import beginning

    options.data, options.pool = beginning.absolute(options.data), beginning.absolute(options.pool)
    workspace = beginning.enter_or_make(options.data, options.oracle, options.path)
    os.chdir(workspace)
    name = beginning.name_of(options, workspace)
    changes = _changes(options)
    if name is None:
        name = beginning.begin(options, changes, workspace)
    else:
        beginning.refuse_others(name, options, workspace)
        _change(name, changes, options.preset, workspace)
    return _go_on(name, workspace, wait=options.wait)


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("improve", EXAMPLES)
    arguments.add_argument("--data", metavar="NAME[@N]", help="what is labelled already; with --oracle what is known")
    arguments.add_argument("--pool", metavar="NAME[@N]|DIR", help="what may be labelled")
    arguments.add_argument("--judge", metavar="NAME[@N]", help="measured on (default: the test split of --data)")
    arguments.add_argument("--oracle", action="store_true", help="known labels answer in place of people")
    arguments.add_argument("--start", type=int, help="--oracle: pictures that are labelled at first (40)")
    arguments.add_argument("--control", action="store_true", help="a random arm of the same budget beside it")
    arguments.add_argument("--name", help="of the rounds, and of the versions that they make")
    arguments.add_argument("--preset", help="a file of conf/improve/ (default, quick)")
    for key, kind in SETTINGS.items():
        arguments.add_argument(f"--{key}", type=kind, help=ABOUT[key])
    arguments.add_argument("--to", dest="desk", help="who answers: label-studio, coco, superb, groundtruth, cvat")
    arguments.add_argument("--instructions", type=Path, metavar="FILE", help="for the people")
    arguments.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE",
                           help="any other setting: light.steps=100, values.epsilon=0.1")
    arguments.add_argument("--path", type=Path, metavar="DIR", help="of the workspace that --oracle makes")
    arguments.add_argument("--wait", action="store_true", help="look again until people are ready")
    return arguments


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """What was said of the settings."""
    from flows.parameters import scalar

    found = {key: getattr(options, key) for key in (*SETTINGS, "desk") if getattr(options, key) is not None}
    if options.instructions is not None:
        if not options.instructions.is_file():
            raise UserError("no such file", where=options.instructions, mend="--instructions FILE")
        found["instructions"] = _text_of(options.instructions)
    for word in options.set:
        path, equals, value = word.partition("=")
        if not equals or not path:
            raise UserError(f"--set {word!r} is not KEY=VALUE", mend="--set light.steps=100")
        place = found
        *parents, last = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UserError(f"--set {word!r}: {parent} is one value", mend=f"say {parent} once")
        place[last] = scalar(value)
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError("that is no text in UTF-8", where=path, mend="--instructions FILE.md") from None


def _change(name: str, changes: dict[str, Any], preset: str | None, workspace: Path) -> None:
    from tasks.improving import begin

    if preset is not None:
        raise UserError("--preset is for rounds that begin", where=name, mend="change single values: --budget, --set …")
    if changes:
        print("\n".join(begin.change(name, changes, workspace)[1]) or "the settings are so already")


def _go_on(name: str, workspace: Path, *, wait: bool) -> int:
    from flows.supervisor import supervise, workspace_lock
    from tasks.improving import state as journal
    from tasks.improving.telling import told_status

    stop: Path | None = journal.stop_file(name, workspace)
    while True:
        state = journal.read(name, workspace)
        if state.todo() is None:
            print("\n".join(told_status(state)))
            return 0
        with workspace_lock(workspace, wait=wait):
            if stop is not None:
                # once it is our turn: another run may be about to hear it
                stop.unlink(missing_ok=True)
                stop = None
            # a look at the desk needs no server of flows
            waits = state.waiting is not None and _looked(name, workspace) is not None
            code = 0 if waits else supervise("flows.improve", {"workspace": str(workspace), "name": name}, workspace)
        state = journal.read(name, workspace)
        if code or not state.waiting or not wait:
            _tell_end(state, workspace, code)
            return code
        if not _until_ready(name, workspace, state):
            return 0


def _tell_end(state: State, workspace: Path, code: int) -> None:
    from tasks.improving.state import stop_file
    from tasks.improving.telling import told_status

    if not code:
        print("\n" + "\n".join(told_status(state, stop_file(state.name, workspace).exists())))
        print("page       visionmill improve status --html rounds.html")


def _until_ready(name: str, workspace: Path, state: State) -> bool:
    """Try the step that waits again and again; False where a person has asked to stop."""
    from flows.supervisor import workspace_lock
    from tasks.base.errors import WorkspaceBusy
    from tasks.improving.state import stop_file

    told = state.waiting
    while not stop_file(name, workspace).exists():
        time.sleep(state.settings.poll_s)
        try:
            with workspace_lock(workspace):
                waits = _looked(name, workspace)
        except WorkspaceBusy:
            continue
        if waits is None:
            return True
        if waits != told:
            told = waits
            print(f"{time.strftime('%H:%M')} {told}", flush=True)
    return False


def _looked(name: str, workspace: Path) -> str | None:
    """Do the step that waits, once; why it still waits, None where it is done."""
    from flows.improving import open_loop
    from tasks.improving.work import Waiting

    loop = open_loop(workspace, name)
    try:
        if (todo := loop.todo()) is not None:
            print(f"{todo} : {loop.do(todo)}", flush=True)
    except Waiting as waits:
        return str(waits)
    return None


def _verb(verb: str, words: list[str]) -> int:
    arguments = parser("improve", EXAMPLES)
    arguments.prog += f" {verb}"
    arguments.add_argument("--name", help="of the rounds (default: those that were worked at last)")
    if verb == "status":
        arguments.add_argument("--round", type=int, metavar="N", help="each step of one round, and what it brought")
        arguments.add_argument("--html", type=Path, metavar="FILE", help="write one page that needs no other file")
    if verb in ("undo", "redo"):
        arguments.add_argument("--round", action="store_true", help="all steps of that round")
    if verb == "skip":
        arguments.add_argument("step", help="prepare, mine, prelabel, send, wait, fetch, merge, train, compare or next")
    options = arguments.parse_args(words)
    from flows.workspace import enter
    from tasks.improving import state as journal

    workspace = enter()
    known = journal.names(workspace)
    if not (options.name or known):
        raise UserError("no rounds were begun here", where=workspace, mend="visionmill improve --data NAME --pool NAME")
    name = options.name or known[0]
    if verb == "status":
        return _status(name, options.round, options.html, workspace)
    if verb == "stop":
        from tasks.base.files import write_atomic

        journal.read(name, workspace)
        write_atomic(journal.stop_file(name, workspace), "")
        print("the step that is being done is the last one; visionmill improve goes on")
        return 0
    return _move(verb, name, options, workspace)


def _status(name: str, round_: int | None, html: Path | None, workspace: Path) -> int:
    from tasks.improving import state as journal
    from tasks.improving.telling import told_round, told_status, told_steps

    state = journal.read(name, workspace)
    print("\n".join(told_status(state, journal.stop_file(name, workspace).exists())))
    measured = [one.round for one in state.entries if one.step == "compare" and one.out]
    if round_ is not None:
        print("\n".join(told_steps(state, round_)))
    elif measured:
        print("\n".join([*told_round(state, measured[-1]), "",
                         f"steps      visionmill improve status --round {measured[-1]}"]))
    if html is not None:
        if html.is_dir():
            raise UserError("that is a folder, and a file is to be written", where=html, mend=f"{html}/rounds.html")
        from flows.datastore import open_store
        from tasks.reporting.improve.page import write_page

        write_page(html, state, open_store(workspace), workspace)
        print(f"page       {html}")
    return 0


def _move(verb: str, name: str, options: argparse.Namespace, workspace: Path) -> int:
    """Undo, redo or skip; not while a run goes on, whose data the line would read otherwise."""
    from flows.improving import open_loop
    from flows.supervisor import workspace_lock
    from tasks.improving import state as journal
    from tasks.improving.rounds import put_back, taken_back
    from tasks.improving.telling import told_status

    with workspace_lock(workspace), journal.held(name, workspace):
        state = journal.read(name, workspace)
        if verb == "skip":
            print(f"left out: {journal.skip(state, options.step, workspace)}")
        elif verb == "redo":
            back = journal.redo(state, "round" if options.round else "step", workspace)
            print(f"put back: {', '.join(str(one.todo) for one in back)}")
            print("".join(f"{line}\n" for line in put_back(open_loop(workspace, name), back)), end="")
        else:
            taken = journal.undo(state, "round" if options.round else "step", workspace)
            print(f"taken back: {', '.join(str(one.todo) for one in taken)}; the versions stay")
            print("".join(f"{line}\n" for line in taken_back(open_loop(workspace, name), taken)), end="")
    print("\n".join(told_status(state)))
    return 0
