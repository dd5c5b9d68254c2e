"""Schedules as a person types them: cron lines and intervals, checked field by field before Prefect sees them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tasks.base.errors import UserError, nearest

EXAMPLE = "'0 2 * * *' is every night at two, '30 6 * * 1-5' at half past six on working days, '0 */6 * * *' four " \
          "times a day; the five fields are minute, hour, day of the month, month, day of the week"
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12),
          ("day of the week", 0, 7))
MONTHS = {name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul",
                                                   "aug", "sep", "oct", "nov", "dec"), 1)}
DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
NAMES: tuple[dict[str, int], ...] = ({}, {}, {}, MONTHS, DAYS)
SHORT = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
         "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
SHORTEST_S = 60


@dataclass(frozen=True)
class When:
    """A cron line in a time zone, or an interval in seconds."""

    cron: str | None = None
    timezone: str | None = None
    interval_s: int | None = None

    def __str__(self) -> str:
        return f"cron '{self.cron}' ({self.timezone})" if self.cron else f"every {_words(self.interval_s or 0)}"

    def as_prefect(self) -> Any:
        """The schedule as Prefect's client takes it."""
        from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

        if self.cron:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        return IntervalSchedule(interval=timedelta(seconds=self.interval_s or 0))


def cron(text: str, timezone: str | None = None, option: str = "--cron") -> When:
    """A checked cron line.

    Raises:
        UserError: a field is wrong, or the line never comes; the message says which, and has an example.
    """
    line = SHORT.get(text.strip().lower(), text.strip())
    fields = line.split()
    if len(fields) != len(FIELDS):
        raise _refused(option, text, f"it has {len(fields)} fields instead of 5")
    for field, (name, low, high), names in zip(fields, FIELDS, NAMES, strict=True):
        if wrong := _wrong(field, low, high, names):
            raise _refused(option, text, f"{name}: {wrong}")
    if not _comes(fields):
        raise _refused(option, text, "there is no such day, it would never come")
    return When(line, zone_of(timezone))


def interval(text: str) -> When:
    """`90s`, `30m`, `6h`, `1d`.

    Raises:
        UserError: no such time, or less than a minute.
    """
    found = re.fullmatch(r"(\d+)\s*([a-z]+)", text.strip().lower())
    if not found or found[2] not in UNITS:
        raise UserError(f"--interval {text!r} is no time", mend="--interval 6h; units: s, m, h, d, w")
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds < SHORTEST_S:
        raise UserError(f"--interval {text!r} is shorter than a minute", mend="--interval 15m, say: a run takes longer")
    return When(interval_s=seconds)


def zone_of(name: str | None) -> str:
    """A checked name of a time zone; without one that of this machine.

    Raises:
        UserError: there is no such zone.
    """
    if name is None:
        return _own_zone()
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        guess = nearest(name, available_timezones())
        raise UserError(f"no time zone is called {name!r}",
                        mend=f"did you mean {guess!r}?" if guess else "--timezone Europe/Berlin") from None
    return name


def _own_zone() -> str:
    named = os.environ.get("TZ", "").lstrip(":")
    _, _, linked = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    for found in (named, linked):
        if found in available_timezones():
            return found
    return "UTC"


def _wrong(field: str, low: int, high: int, names: dict[str, int]) -> str | None:
    """What is wrong with one field; None: nothing."""
    for part in field.split(","):
        found = PART.fullmatch(part)
        if not found or (found["first"] == "*" and found["last"]):
            return f"{part!r} is neither *, a number, a range a-b nor */n"
        numbers = [_number(text, names) for text in (found["first"], found["last"]) if text not in (None, "*")]
        for number, text in zip(numbers, [found["first"], found["last"]], strict=False):
            if number is None:
                return f"{text!r} is no number{' and no name' if names else ''}"
            if not low <= number <= high:
                return f"{text} is not in {low}-{high}"
        if len(numbers) == 2 and (numbers[0] or 0) > (numbers[1] or 0):
            return f"{part!r} runs backwards"
        if found["step"] is not None and not 1 <= int(found["step"]) <= high:
            return f"a step of {found['step']} is not in 1-{high}"
    return None


def _number(text: str, names: dict[str, int]) -> int | None:
    return int(text) if text.isdigit() else names.get(text.lower())


def _comes(fields: list[str]) -> bool:
    """Whether some month has one of the days; a day of the week comes in each."""
    if fields[4] != "*":
        return True
    days, months = _values(fields[2], 1, 31, {}), _values(fields[3], 1, 12, MONTHS)
    return any(min(days) <= LONGEST[month - 1] for month in months)


def _values(field: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """All numbers that a checked field stands for."""
    found: set[int] = set()
    for part in field.split(","):
        words = PART.fullmatch(part)
        assert words is not None, "the field was checked"
        first = low if words["first"] == "*" else _number(words["first"], names) or 0
        last = _number(words["last"], names) if words["last"] else high if words["first"] == "*" or words["step"] \
            else first
        found.update(range(first, (last or 0) + 1, int(words["step"] or 1)))
    return found


def _refused(option: str, text: str, why: str) -> UserError:
    return UserError(f"{option} {text!r} is no cron line: {why}", mend=EXAMPLE)


def _words(seconds: int) -> str:
    for unit, name in ((604_800, "w"), (86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
