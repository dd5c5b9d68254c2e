"""The pieces that an expression is written in: numbers, quoted texts, words and signs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tasks.base.errors import ParamsError

LONGEST = 100_000
# DuckDB binds at most 1,000 expressions within each other: a long sum
MOST = 1000
SPACE = " \t\r\n\f\v"
AROUND = 30
TOKEN = re.compile(r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z_0-9.])
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<sign><=|>=|<>|!=|==|[=<>(),+*/-]))""", re.VERBOSE | re.ASCII)


@dataclass(frozen=True)
class Token:
    """A piece: what it says, as written, and the character where it begins, counted from 1."""

    kind: Literal["number", "text", "word", "sign", "end"]
    says: str
    place: int

    def text(self) -> str:
        """A quoted text without its quotes; a quote within is written twice."""
        quote = self.says[0]
        return self.says[1:-1].replace(quote * 2, quote)

    def number(self) -> float:
        """A number; infinity where it is too large."""
        return float(self.says)


def tokens(text: str) -> list[Token]:
    """All pieces of a text, and the end.

    Raises:
        ParamsError: something else stands there, or it is too long.
    """
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ParamsError("an expression cannot hold NUL or half a character", where=repr(text[:AROUND]))
    if len(text) > LONGEST:
        raise ParamsError(f"the expression has {len(text):,} characters; the limit is {LONGEST:,}")
    found, place, end = [], 0, len(text.rstrip(SPACE))
    while place < end:
        if (match := TOKEN.match(text, place)) is None:
            place += len(text[place:]) - len(text[place:].lstrip(SPACE))
            what = "this text does not end" if text[place] in "'\"" else f"{text[place]!r} is not expected"
            raise ParamsError(f"{what}, at character {place + 1}", where=marked(text, place + 1),
                              mend="quote texts like 'this', a quote within them twice")
        kind = match.lastgroup
        assert kind in ("number", "text", "word", "sign")
        found.append(Token(kind, match[kind], match.start(kind) + 1))  # type: ignore[arg-type]
        place = match.end()
    if len(found) > MOST:
        raise ParamsError(f"the expression has {len(found):,} words and signs; the limit is {MOST:,}")
    return [*found, Token("end", "the end", end + 1)]


def marked(text: str, place: int) -> str:
    """The text around a character, and an arrow before it."""
    return f"{text[max(place - 1 - AROUND, 0):place - 1].rstrip()} >>> {text[place - 1:place - 1 + AROUND]}"
