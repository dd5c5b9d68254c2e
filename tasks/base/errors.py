"""One small tree of errors. A message says what, where, and the command that mends it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VisionmillError(Exception):
    """Something went wrong on our side; `exit_code` is what the command ends with.

    Args:
        what: what is wrong, in one line.
        where: file and row, or picture and box.
        mend: the command or the edit that mends it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, mend: str | None = None) -> None:
        self.what, self.where, self.mend = what, where, mend
        lines = [what]
        if where is not None:
            lines.append(f"  where: {where}")
        if mend:
            lines.append(f"  mend:  {mend}")
        super().__init__("\n".join(lines))


class UserError(VisionmillError):
    """The user's input: a parameter, a path, a file's content."""

    exit_code = 2


class ParamsError(UserError):
    """A value or a key in `params.yaml` or in a preset."""


class DataError(UserError):
    """A picture, an annotation or a table."""


class WorkspaceBusy(UserError):
    """Another run holds this workspace."""


class GateRefused(VisionmillError):
    """A gate said no; the reasons are in the message."""

    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is spelled most like `word`, or None when none is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return found[0] if found else None
