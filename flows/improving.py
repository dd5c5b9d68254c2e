"""What the rounds need of a workspace: DVC for their versions, the line for their trainings, a task for each step."""

from __future__ import annotations

from pathlib import Path

from flows.datastore import open_store, owner, track
from tasks.base.errors import GateRefused, UserError
from tasks.base.params import read_yaml
from tasks.data.store.layout import Version
from tasks.improving.rounds import Lined, Loop
from tasks.improving.state import Todo
from tasks.improving.work import Waiting

TRAINED = Path("models/trained")


def open_loop(root: Path, name: str) -> Loop:
    """The rounds of a workspace, with its store, DVC and its line."""
    store = open_store(root)
    return Loop(name, root, store, owner(root), keep=lambda version: track(store, version), line=WorkspaceLine(root))


def done_as_task(loop: Loop, todo: Todo) -> str:
    """One step as one Prefect task. A training of the line is none: its stages are tasks.

    Raises:
        Waiting: as `Loop.do`. VisionmillError: it failed.
    """
    from flows.steps import step

    if todo.step == "train" and todo.round and loop.state.settings.train == "line":
        said = loop.do(todo)
        print(f"{todo} : {said}", flush=True)
        return said
    waits: list[Waiting] = []

    def act() -> str:
        try:
            return loop.do(todo)
        except Waiting as found:
            waits.append(found)
            return f"waits: {found}"

    said = step(str(todo), act)
    if waits:
        raise waits[0]
    return said


class WorkspaceLine:
    """The line of a workspace, in the form of `tasks.improving.rounds.TheLine`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def used(self) -> str | None:
        """The version that params.yaml names."""
        told = (read_yaml(self.root / "params.yaml") or {}).get("data") or {}
        return str(told["version"]) if told.get("version") else None

    def go_back(self, version: Version) -> None:
        """Let params.yaml name it again."""
        from flows.commands.data.use import choose

        print(choose(self.root, version.ref, version.digest), end="")

    def train(self, version: Version, reason: str) -> Lined:
        """`data use`, then the flow `retrain`: run, register, judge by the gate. A refused version is one too.

        Raises:
            VisionmillError: a stage or the registration failed.
        """
        from flows.commands.data.use import choose
        from flows.retrain import retrain
        from tasks.registry.registered import is_registered

        print(choose(self.root, version.ref, version.digest), end="", flush=True)
        refused = False
        try:
            retrain.fn(workspace=str(self.root), reason=reason, pull=False)
        except GateRefused:
            refused = True
        made = is_registered(self.root)
        if made is None:
            raise UserError("the line ran and what it made is not registered", where=self.root,
                            mend="visionmill register, then visionmill improve")
        return Lined(self.root / TRAINED, f"models:/{made.name}/{made.version}", not refused,
                     f"trained on {version.ref}: {made.name} version {made.version}, the gate "
                     f"{'refused' if refused else 'passed'}")
