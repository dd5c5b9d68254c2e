"""What is asked of each picture."""

from __future__ import annotations

from pydantic import Field

from tasks.base.params import Params


class Settings(Params):
    """How pictures are looked at. Another value is another set of pre-labels, but for `vectors`.

    Attributes:
        flip: look at the mirrored picture too: how far both agree tells right boxes from wrong ones.
        aldd: heat maps' contradictions of each class (the strategy `aldd`); the network runs once more.
        consistency: looks at changed copies (the strategy `cald`); the network runs three times more.
        vectors: make now what the pictures look like; else when `Prelabels.vectors` is first asked for.
    """

    flip: bool = Field(default=True, description="look at the mirrored picture too")
    aldd: bool = Field(default=False, description="heat maps' contradictions, for the strategy aldd")
    consistency: bool = Field(default=False, description="looks at changed copies, for the strategy cald")
    vectors: bool = Field(default=False, description="make now what the pictures look like, not when it is asked for")
