"""From the classes of a teacher to those of a pool: by a map that says it all, or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.base.errors import ParamsError, UserError, nearest
from tasks.data.classes import read_classes

SEVERAL = 8  # names in a message
LEFT_OUT = ("", "-")
FLAG = "--map"


@dataclass(frozen=True)
class Classes:
    """Which class of the pool each class of a teacher is.

    Attributes:
        names: of the pool, in the order of class ids.
        to: int64 [classes of the teacher], a place in `names`, −1 for one that is left out.
        notes: what a person should know.
    """

    names: list[str]
    to: np.ndarray
    notes: list[str]

    @property
    def same(self) -> bool:
        """Whether the teacher's classes are the pool's, in its order."""
        return np.array_equal(self.to, np.arange(len(self.names)))


def parse_map(text: str) -> dict[str, str]:
    """`person=person,car=vehicle,dog=-` as a dictionary; `-` leaves a class out.

    Raises:
        ParamsError: not written so, or a class that is named twice.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        theirs, sign, ours = (piece.strip() for piece in part.partition("="))
        if not theirs or not sign:
            raise ParamsError(f"{part.strip()!r} maps nothing", where=f"{FLAG} {text}",
                              mend="THEIRS=OURS,THEIRS=OURS; `-` leaves a class out")
        if theirs in found:
            raise ParamsError(f"the map names {theirs!r} twice", where=f"{FLAG} {text}", mend="keep one of them")
        found[theirs] = ours
    return found


def map_classes(teacher: Sequence[str], pool: Sequence[str], mapping: Mapping[str, str] | None, *, name: str,
                workspace: Path, drop_rest: bool = False, join: bool = False) -> Classes:
    """Bring a teacher's classes to those of a pool.

    Without a map the same names are the same classes, and names that `conf/classes.yaml` calls aliases; what has no
    counterpart is told. A pool that has no classes gets those of the workspace's list, else those that the map names
    or the teacher's.

    Args:
        name: the teacher's, for messages.
        drop_rest: a map may leave classes of the teacher out.
        join: a map may make one class of several.

    Raises:
        UserError: the map leaves classes out or joins some without the word for it, names a class that there is not,
            or no class is left.
    """
    listed = read_classes(workspace, unknown="ignore")
    aliases = {alias: entry.name for entry in listed.entries for alias in (entry.name, *entry.aliases)}
    names = list(pool) or [entry.name for entry in listed.entries]
    if mapping is None:
        wanted = {theirs: theirs if theirs in names else aliases.get(theirs, theirs) for theirs in teacher}
        names = names or list(teacher)
    else:
        _check_map(teacher, mapping, name, drop_rest, join)
        wanted = {theirs: ours for theirs, ours in mapping.items() if ours not in LEFT_OUT}
        names = names or list(dict.fromkeys(wanted.values()))
        wanted = {theirs: _known(ours, names, aliases, theirs) for theirs, ours in wanted.items()}
    place = {ours: at for at, ours in enumerate(names)}
    to = np.array([place.get(wanted.get(theirs, ""), -1) for theirs in teacher], np.int64)
    if not (to >= 0).any():
        raise UserError(f"no class of {name} is one of the pool's", where=f"{name}: {listing(teacher)}",
                        mend=f"{FLAG} {teacher[0]}={names[0]} --drop-rest; the pool's classes are {listing(names)}")
    return Classes(names, to, _notes(teacher, names, to, name, mapping is None))


def listing(names: Sequence[str], many: int = SEVERAL) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - many} more" if len(names) > many else ""
    return ", ".join(names[:many]) + more


def _check_map(teacher: Sequence[str], mapping: Mapping[str, str], name: str, drop_rest: bool, join: bool) -> None:
    for theirs in mapping:
        if theirs not in teacher:
            guess = nearest(theirs, teacher)
            raise UserError(f"{name} knows no class {theirs!r}", where=f"{FLAG} {theirs}={mapping[theirs]}",
                            mend=f"did you mean {guess!r}?" if guess else f"its classes: {listing(teacher)}")
    left = [theirs for theirs in teacher if theirs not in mapping]
    if left and not drop_rest:
        raise UserError(f"the map leaves {len(left)} of the {len(teacher)} classes of {name} out: {listing(left)}",
                        where=FLAG, mend="--drop-rest leaves them out; or map them: THEIRS=OURS, or THEIRS=- for one")
    sources: dict[str, list[str]] = {}
    for theirs, ours in mapping.items():
        if ours not in LEFT_OUT:
            sources.setdefault(ours, []).append(theirs)
    several = {ours: many for ours, many in sources.items() if len(many) > 1}
    if several and not join:
        told = "; ".join(f"{', '.join(many)} all become {ours}" for ours, many in several.items())
        raise UserError(f"the map makes one class of several: {told}", where=FLAG,
                        mend="--join makes one class of them; or keep one of each and leave the others out with `-`")


def _known(ours: str, names: Sequence[str], aliases: Mapping[str, str], theirs: str) -> str:
    main = ours if ours in names else aliases.get(ours, ours)
    if main not in names:
        guess = nearest(ours, names)
        raise UserError(f"the pool has no class {ours!r}", where=f"{FLAG} {theirs}={ours}",
                        mend=f"did you mean {guess!r}?" if guess else f"its classes: {listing(names)}")
    return main


def _notes(teacher: Sequence[str], names: Sequence[str], to: np.ndarray, name: str, by_name: bool) -> list[str]:
    left = [theirs for theirs, at in zip(teacher, to, strict=True) if at < 0]
    lacking = [ours for at, ours in enumerate(names) if at not in to]
    joined = [f"{listing([teacher[row] for row in np.flatnonzero(to == at).tolist()])} become {ours}"
              for at, ours in enumerate(names) if (to == at).sum() > 1]
    how = "without a counterpart by name are left out" if by_name else "are left out"
    notes = [f"{len(left)} of the {len(teacher)} classes of {name} {how}: {listing(left)}"] if left else []
    notes += [f"joined: {'; '.join(joined)}"] if joined else []
    return notes + ([f"{name} does not know {listing(lacking)}: nothing of that kind is pre-labelled"] if lacking
                    else [])
