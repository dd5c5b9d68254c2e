"""What DVC knows about the line, asked in process: order of stages, what is stale, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.processes import is_alive
from tasks.base.errors import UserError, WorkspaceBusy
from tasks.base.files import read_json, write_json
from tasks.base.params import read_yaml

if TYPE_CHECKING:
    from dvc.repo import Repo

CODE = "code"


@dataclass(frozen=True)
class Line:
    """The stages in the order in which they run.

    Attributes:
        upstream: all stages that a stage needs, directly or not.
        stale: reasons of the stages that DVC would run now, in words.
    """

    order: list[str]
    upstream: dict[str, set[str]]
    stale: dict[str, list[str]] = field(default_factory=dict)

    def will_run(self) -> list[str]:
        """Stale stages and all that may follow from them."""
        return [s for s in self.order if s in self.stale or self.upstream[s] & set(self.stale)]


def ask(workspace: Path) -> Line:
    """Read the DAG and what is stale in it. `code.yaml` is written first, so that an edit of code is seen."""
    write_code(workspace)
    with _repo(workspace) as repo:
        order, upstream = _order(repo)
        status = repo.status()
    locked = read_lock(workspace)
    values = read_yaml(workspace / "params.yaml") or {}
    reasons = {name: list(explain(status[name], locked.get(name, {}), values)) for name in order if name in status}
    reasons.pop(CODE, None)
    return Line(order, upstream, reasons)


def is_stale(workspace: Path, stage: str) -> bool:
    """Whether DVC would run, or restore, this one stage now."""
    with _repo(workspace) as repo:
        return bool(repo.status(targets=[stage]))


def write_code(workspace: Path) -> None:
    """What the stage `code` does, without DVC."""
    from tasks import code

    with chdir(workspace):
        code.run(code.Params(), out=Path("code.yaml"))


def read_lock(workspace: Path) -> dict[str, Any]:
    """The stages of `dvc.lock`, empty before the first run."""
    path = workspace / "dvc.lock"
    return (read_yaml(path) or {}).get("stages", {}) if path.exists() else {}


def explain(states: list[Any], locked: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    """DVC's status of one stage in words."""
    if not locked:
        yield "never ran"
        return
    for state in states:
        if not isinstance(state, dict):
            yield {"changed command": "its command changed", "changed checksum": "its definition changed"}.get(
                state, state)
            continue
        for path, what in state.get("changed deps", {}).items():
            if isinstance(what, dict):
                yield from _explain_params(path, what, locked.get("params", {}).get(path, {}), values)
            else:
                yield {"deleted": f"{path} is missing", "new": f"{path} is new"}.get(what, f"{path} changed")
        for path, what in state.get("changed outs", {}).items():
            yield _explain_out(path, what)


def _explain_out(path: str, what: str) -> str:
    return {"deleted": f"{path} is missing", "not in cache": f"{path} is not in the cache",
            "new": f"{path} was never made"}.get(what, f"{path} was changed by hand")


def _explain_params(path: str, keys: dict[str, str], locked: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    for key, what in keys.items():
        if path == "code.yaml":
            kind, dash, name = key.partition("-")
            yield f"conf/{kind}/{name}.yaml changed" if dash else "its code changed"
        elif what == "modified" and path == "params.yaml":
            yield from differences(key, locked.get(key), value_at(values, key))
        else:
            yield {"deleted": f"{path}: {key} is missing", "new": f"{path}: {key} is new"}.get(
                what, f"{path}: {key} changed")


def differences(key: str, old: Any, new: Any) -> Iterator[str]:
    """`train.epochs 30 -> 40` for each value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in dict.fromkeys([*old, *new]):
            if old.get(part) != new.get(part):
                yield from differences(f"{key}.{part}", old.get(part), new.get(part))
    else:
        yield f"{key} {'not set' if old is None else old} -> {'not set' if new is None else new}"


def value_at(values: Any, dotted: str) -> Any:
    """The value of `train.epochs`, None where there is none."""
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _order(repo: Repo) -> tuple[list[str], dict[str, set[str]]]:
    """Stages of the workspace's dvc.yaml and what they need, in topological order, ties as in the file."""
    import networkx

    graph = networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)
    position = {stage.addressing: number for number, stage in enumerate(repo.index.stages)}
    wanted = {s.addressing for s in repo.index.stages if s.path_in_repo == "dvc.yaml"}
    wanted |= {needed for stage in wanted for needed in networkx.descendants(graph, stage)}
    forward = graph.subgraph(wanted).reverse()
    order = list(networkx.lexicographical_topological_sort(forward, key=lambda name: position[name]))
    return order, {name: networkx.ancestors(forward, name) for name in order}


def drop_dead_locks(workspace: Path) -> None:
    """Forget DVC's locks of processes that have ended: DVC itself waits for one that nobody has reaped, for ever."""
    file = workspace / ".dvc/tmp/rwlock"
    try:
        known = read_json(file)
        kept = {"read": {path: [info for info in infos if is_alive(info["pid"])]
                         for path, infos in known.get("read", {}).items()},
                "write": {path: info for path, info in known.get("write", {}).items() if is_alive(info["pid"])}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    kept["read"] = {path: infos for path, infos in kept["read"].items() if infos}
    if kept != known and any(known.values()):
        write_json(file, kept)


@contextmanager
def _repo(workspace: Path) -> Iterator[Repo]:
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    drop_dead_locks(workspace)
    try:
        # DVC takes names of stages from the dvc.yaml of the current folder
        with chdir(workspace), Repo() as repo:
            yield repo
    except LockError as error:
        raise WorkspaceBusy(f"another DVC command is at work here: {error}", where=workspace,
                            mend="wait until it has ended") from error
    except DvcException as error:
        text = str(error)
        if "busy" in text:
            raise WorkspaceBusy(f"another DVC command is at work here: {text}", where=workspace,
                                mend="wait until it has ended") from error
        raise UserError(text, where=workspace, mend="see `dvc status`; mend dvc.yaml or params.yaml") from error
