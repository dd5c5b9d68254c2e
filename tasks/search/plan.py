"""What makes two searches the same one: space, data and the parameters that trial 0 has. Where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import digest_tree, digest_value, read_json, write_json
from tasks.base.params import Params as Section
from tasks.search import space
from tasks.search.settings import Dimension, Params

WORK = Path(".visionmill/sweep")
STUDY = "study.json"
FREE = ("trials",)  # may differ between two runs of the same search


@dataclass(frozen=True)
class Plan:
    """A search that was asked for.

    Attributes:
        settings: how to search; its space holds the current values too.
        base: the section `train`, with the epochs of a whole trial.
        data: hash of the split.
        min_epochs: of a trial before it may be pruned.
        notes: what was changed in what the user asked for, in words.
    """

    settings: Params
    base: Any
    data: str
    min_epochs: int
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The study's name: Hyperband draws a trial's bracket from it, so it must be the same after a kill."""
        return f"sweep-{self.key()[:12]}"

    def key(self) -> str:
        return digest_value([self.settings.model_dump(exclude=set(FREE)), self.base.model_dump(), self.data])

    @property
    def space(self) -> dict[str, Dimension]:
        return self.settings.space

    def fixed(self) -> str:
        """Digest of the parameters that are not searched: a result is of use to those who have the same."""
        return digest_fixed(self.base, self.space)


def make_plan(settings: Params, base: Section, data: Path) -> Plan:
    """Check a search against what it searches.

    Args:
        settings: how to search.
        base: the section `train` of params.yaml.
        data: the folder of the split.

    Raises:
        UserError: there is no data. ParamsError: the space does not fit the parameters.
    """
    if not (data / "dataset.json").is_file():
        raise UserError(f"there is nothing to search on: {data.as_posix()} is missing", where=data.absolute(),
                        mend="visionmill run, or at least: dvc repro split")
    space.check_space(settings.space, base)
    wide, notes = space.widened(settings.space, base)
    fewest, most = settings.epochs.bounds(getattr(base, "epochs", 1))
    whole = base.model_copy(update={"epochs": most, "validate_every": 1})
    return Plan(settings.model_copy(update={"space": wide}), whole, digest_tree(data), fewest, tuple(notes))


def digest_fixed(base: Section, searched: dict[str, Any]) -> str:
    """Digest of a section without what is searched and without what a search sets itself."""
    known = {name: space.current(base, name) for name in space.names(type(base), "train")}
    skipped = {*searched, "train.epochs", "train.validate_every", "train.cache_mb"}
    return digest_value({name: value for name, value in known.items() if name not in skipped})


def folder_of(plan: Plan, workspace: Path = Path()) -> Path:
    return workspace / WORK / plan.name


def write_plan(plan: Plan, folder: Path) -> None:
    """Keep what the search was about, for `adopt` and for people, and that it is the last one that was open.

    One search is open in a workspace at a time: its lock is held.
    """
    turn = 1 + max((_turn(told) for told in _told(folder.parent)), default=0)
    write_json(folder / STUDY, {
        "schema": 1, "name": plan.name, "turn": turn, "data": plan.data, "fixed": plan.fixed(),
        "trials": plan.settings.trials, "settings": plan.settings.model_dump(),
        "base": plan.base.model_dump(mode="json")})


def studies(workspace: Path = Path()) -> list[dict[str, Any]]:
    """What the searches of a workspace were about, the one that was open last first; each with its `folder`.

    Their order is counted, not taken from a clock, which may jump.
    """
    return sorted(_told(workspace / WORK), key=lambda told: -_turn(told))


def _told(folder: Path) -> list[dict[str, Any]]:
    return [{**read_json(file), "folder": file.parent} for file in sorted(folder.glob(f"*/{STUDY}"))]


def _turn(told: dict[str, Any]) -> int:
    """Searches of before there were turns come before all that have one."""
    return int(told.get("turn", 0))
