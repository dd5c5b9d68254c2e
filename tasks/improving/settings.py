"""How the rounds go, as data: a preset of conf/improve/; what is changed later holds from the next round on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.base import presets
from tasks.base.errors import ParamsError
from tasks.base.params import Params, check
from tasks.improving.light import Light
from tasks.labelling.mirroring import flip_of

SECTION = "improve"
ORACLE = "oracle"


class Settings(Params):
    """Section `improve` of a preset; each round keeps those that it began with.

    Attributes:
        rounds: in all; more of them later go on where the last one ended.
        budget: pictures a round.
        strategy, values: how they are picked, and the strategy's parameters: `visionmill mine --help`.
        seed: of what is drawn, and of the trainings.
        train: `line`: the line of this workspace, registered and judged by its gate; `light`: a small training that is
            judged on the fixed set alone, for seconds.
        light: its settings.
        model: who labels and mines in the first round; None: the champion, where there is one.
        desk: who answers: `label-studio`, or a format of files; an oracle is chosen when the rounds are begun.
        hardest: at most so many of the picked pictures go to people; None: all.
        instructions: for the people.
        options: of the desk.
        conflict: whose labels a picture keeps that has several: as `visionmill data merge`.
        content: overlap from which an oracle leaves a box as it is.
        processes: that look at the pool.
        poll_s: seconds between two looks at the desk, with --wait.
    """

    rounds: int = Field(3, ge=1)
    budget: int = Field(50, ge=1)
    strategy: str = "mixed"
    values: dict[str, Any] = {}
    seed: int = Field(0, ge=0)
    train: Literal["line", "light"] = "line"
    light: Light = Light()
    model: str | None = None
    desk: str = "label-studio"
    hardest: int | None = Field(None, ge=1)
    instructions: str = ""
    options: dict[str, Any] = {}
    conflict: Literal["human", "newest", "first", "stop"] = "human"
    content: float = Field(0.7, gt=0, le=1)
    processes: int = Field(1, ge=1)
    poll_s: float = Field(60.0, gt=0)


def load_settings(preset: str, changes: dict[str, Any], workspace: Path = Path()) -> Settings:
    """A preset of conf/improve/ with changes over it; those of a mapping go over it key by key.

    Light trainings mirror pictures as the workspace's line does, where neither says how.

    Raises:
        ParamsError: no such preset, an unknown key or a wrong value.
    """
    values = presets.load(SECTION, preset, workspace)
    where = f"conf/{SECTION}/{preset}.yaml"
    if not isinstance(values, dict) or set(values) != {SECTION}:
        raise ParamsError("a preset of the rounds has one section, `improve`", where=where, mend="see the default one")
    settings = check(Settings, values[SECTION], where)
    if "flip" not in ((values[SECTION] or {}).get("light") or {}).get("augment", {}):
        settings = changed(settings, {"light": {"augment": {"flip": flip_of(workspace)}}})
    return changed(settings, changes)


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with other values.

    Raises:
        ParamsError: an unknown key or a wrong value.
    """
    return check(Settings, _laid_over(settings.model_dump(mode="json"), changes), SECTION)


def _laid_over(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, change in changes.items():
        known = merged.get(key)
        # the parameters of a strategy are another one's when it changes, so these are replaced
        whole = key in ("values", "options")
        merged[key] = _laid_over(known, change) if isinstance(change, dict) and isinstance(known, dict) and (
            not whole) else change
    return merged
