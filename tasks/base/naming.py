"""What is said of a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.base.errors import UserError, nearest


def unknown(what: str, name: str, known: Iterable[str], *, where: object = None, otherwise: str = "",
            told: str = "there are") -> UserError:
    """The error for `name`, with the nearest known one, else all of them.

    Args:
        what: what is not called so, such as "no labelling job is".
        otherwise: how to mend it where nothing is known at all.
        told: what stands before the list of all of them.
    """
    names = list(known)
    guess = nearest(name, names)
    mend = f"did you mean {guess!r}?" if guess else f"{told} {', '.join(names)}" if names else otherwise
    return UserError(f"{what} called {name!r}", where=where, mend=mend or None)
