"""What groups of verbs share (`visionmill data …`, `visionmill label …`): choosing one, help, and a parser."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from tasks.base.errors import UserError, nearest

# verb: (module, what it does)
Verbs = Mapping[str, tuple[str, str]]


def chosen(group: str, verbs: Verbs, examples: str, words: list[str]) -> str | None:
    """The verb that was asked for; None when it was help, which is printed.

    Raises:
        UserError: there is no such verb; the nearest is offered.
    """
    if not words or words[0] in ("-h", "--help"):
        wide = max(map(len, verbs))
        lines = "\n".join(f"  {name:{wide}}  {text}" for name, (_, text) in verbs.items())
        print(f"usage: visionmill {group} VERB [options]\n\n{lines}\n\n{examples}\n\n"
              f"`visionmill {group} VERB --help` shows the options of one verb.")
        return None
    if words[0] not in verbs:
        guess = nearest(words[0], verbs)
        raise UserError(f"no {group} verb is called {words[0]!r}",
                        mend=f"did you mean {guess!r}?" if guess else f"visionmill {group} --help")
    return words[0]


def parser(group: str, verb: str, what: str, examples: str) -> argparse.ArgumentParser:
    """A parser of `visionmill GROUP VERB` whose help ends with examples."""
    return argparse.ArgumentParser(
        prog=f"visionmill {group} {verb}", description=what, allow_abbrev=False,
        epilog=f"examples:\n{examples}" if examples else None, formatter_class=argparse.RawDescriptionHelpFormatter)
