"""What a strategy needs, and the command that makes what is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.base.errors import UserError
from tasks.labels.mining.strategy import Strategy

# need: what is missing, and the command that makes it for a pool
COMMANDS = {
    "boxes": ("no model has looked at {pool}", "visionmill label auto {pool} --model NAME; "
              "or take --strategy coverage or random, which need none"),
    "flip": ("the pre-labels of {pool} were made without a look in the mirror",
             "visionmill label auto {pool} --model {model}{mapped} --flip"),
    "aldd": ("the pre-labels of {pool} have no heat maps",
             "visionmill label auto {pool} --model {model} --for aldd{mapped}"),
    "consistency": ("the pre-labels of {pool} were made without looks at changed copies",
                    "visionmill label auto {pool} --model {model} --for cald{mapped}"),
    "failures": ("no evaluation on val is known", "visionmill run, or take another strategy"),
}
WORDS = {
    "boxes": "pre-labels (label auto)", "flip": "pre-labels of mirrored pictures too (label auto --flip)",
    "vectors": "what the pictures look like (made here)", "aldd": "pre-labels by label auto --for aldd",
    "consistency": "pre-labels by label auto --for cald",
    "failures": "a trained model and a val split, or an evaluation on val",
}
VERSION = re.compile(r"(.+)@(\d+)")


def as_asked(name: str) -> str:
    """A model's name as `--model` takes it: `cells@3` → `models:/cells/3`."""
    found = VERSION.fullmatch(name)
    return f"models:/{found[1]}/{found[2]}" if found else name


def refuse_lacks(strategy: Strategy, having: Mapping[str, bool], pool: str, model: str, mapped: bool = False) -> None:
    """Raises UserError, with the command that makes it, where something that the strategy needs is not there.

    Args:
        having: by need, as `Strategy.needs` names them; what is not named is taken to be there.
        pool: as a person writes it in a command; model: its name in the column `source`.
        mapped: whether its classes were mapped, which the command must do alike.
    """
    # boxes first: without any there is nothing that a column could be missing of
    for need in sorted(strategy.needs, key=lambda name: (name != "boxes", name)):
        if not having.get(need, True):
            what, mend = COMMANDS[need]
            raise UserError(f"{strategy.name}: {what.format(pool=pool)}", where=pool,
                            mend=mend.format(pool=pool, model=as_asked(model),
                                             mapped=" and the same --map as before" if mapped else ""))
