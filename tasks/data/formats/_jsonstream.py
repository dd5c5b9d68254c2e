"""JSON files a value at a time: memory holds the value at hand, however large the file is.

Values are decoded by the standard library's `json`, so they are those of `json.loads`, NaN and long integers too.
(ijson's C parser takes half the speed, refuses these, and gigabytes of memory for 100 KB of opening brackets.)
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from json.decoder import JSONDecodeError
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tasks.base.errors import DataError

CHUNK = 1 << 20
# characters of one value: a picture with all its brush strokes has a few million
MAX_VALUE = 1 << 25
SPACE = re.compile(r"[ \t\n\r]*")
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
# where text is cut, the decoder's complaint is this far from the cut, or it is an unfinished string
NEAR = 16
OPEN_STRING = "Unterminated string"


class JsonStream:
    """Reads from `path`; errors name it `here`. The caller takes each value where the cursor stands.

    Args:
        chunk: characters read at once; the values do not depend on it.

    Raises:
        DataError: the file is not JSON, or is cut off; says at which character. Every method does.
    """

    def __init__(self, path: Path, here: str, chunk: int = CHUNK) -> None:
        self.here, self.chunk = here, chunk
        self._file = path.open("rb")
        head = self._file.read(4)
        self._file.seek(0)
        coding = json.detect_encoding(head)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig" if coding == "utf-8" else coding)()
        self._json = json.JSONDecoder()
        self._text, self._at, self._before, self._ended = "", 0, 0, False

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            found = SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at:self._at + 1]
            self._more()

    def value(self) -> Any:
        """The value at the cursor, whole."""
        self.peek()
        while True:
            flaw: JSONDecodeError | None = None
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                # a number may go on behind the text at hand
                if end < len(self._text) or self._ended:
                    return self._taken(value, end)
            except JSONDecodeError as error:
                flaw = error
            except RecursionError:
                raise self._not_json("values are nested too deep", self._at) from None
            except ValueError as error:
                raise self._not_json(str(error), self._at) from None
            if flaw and (self._ended or not _cut(flaw, len(self._text))):
                raise self._not_json(flaw.msg, flaw.pos)
            if len(self._text) - self._at > MAX_VALUE:
                raise self._not_json(f"one value has more than {MAX_VALUE >> 20} million characters", self._at)
            self._more()

    def items(self) -> Iterator[Any]:
        """The values of the list at the cursor."""
        self._take("[")
        if self.peek() == "]":
            return self._take("]")
        while True:
            yield self.value()
            if self.peek() != ",":
                return self._take("]")
            self._take(",")

    def members(self) -> Iterator[str]:
        """The keys of the object at the cursor; the caller takes the value of each before it asks for the next."""
        self._take("{")
        if self.peek() == "}":
            return self._take("}")
        while True:
            if self.peek() != '"':
                raise self._not_json("a key in quotes is missing", self._at)
            key = self.value()
            self._take(":")
            yield key
            if self.peek() != ",":
                return self._take("}")
            self._take(",")

    def value_if_short(self, limit: int) -> tuple[bool, Any]:
        """(True, the value at the cursor), or (False, None) where its text has more than `limit` characters."""
        self.peek()
        while len(self._text) - self._at <= limit and not self._ended:
            self._more()
        try:
            value, end = self._json.raw_decode(self._text[self._at:self._at + limit])
            return True, self._taken(value, self._at + end)
        except (ValueError, RecursionError):
            self.skip()
            return False, None

    def skip(self) -> None:
        """Leave out the value at the cursor. It is decoded all the same, a part at a time."""
        opening = self.peek()
        if opening == "[":
            for _ in self.items():
                pass
        elif opening == "{":
            for _ in self.members():
                self.value()
        else:
            self.value()

    def end(self) -> None:
        """Makes sure that nothing follows."""
        if self.peek():
            raise self._not_json("something follows the end of the value", self._at)

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self._not_json(f"{character!r} is missing", self._at)
        self._at += 1

    def _taken(self, value: Any, end: int) -> Any:
        text, start = self._text, self._at
        self._at = end
        if text.find("\\u", start, end) >= 0 and HALF_CHARACTER.search(text, start, end):
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise self._not_json(r"half a character (\ud800 to \udfff without its other half)", start) from None
        return value

    def _more(self) -> None:
        waiting = self._text[self._at:]
        self._before, self._text, self._at = self._before + self._at, waiting, 0
        # as much again as waits: a long value is not decoded from its start a hundred times
        content = self._file.read(max(self.chunk, len(waiting)))
        self._ended = not content
        try:
            self._text += self._decoder.decode(content, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._not_json(f"not {error.encoding} text ({error.reason})", len(waiting) + error.start) from None

    def _not_json(self, what: str, place: int) -> DataError:
        where = self._before + place
        if self._ended and (place >= len(self._text.rstrip()) or what.startswith(OPEN_STRING)):
            what += "; the file is cut off there"
        return DataError(f"not JSON: {what} (character {where:,})", where=self.here, mend="mend or replace that file")


class JsonRows:
    """Writes the items of a list to a text file, one a line; the brackets are the caller's."""

    def __init__(self, file: IO[str]) -> None:
        self.file, self.count = file, 0

    def add(self, row: Mapping[str, Any]) -> None:
        # json.dump would come back for every token
        self.file.write((",\n" if self.count else "\n") + json.dumps(row, ensure_ascii=False, allow_nan=False))
        self.count += 1


def _cut(flaw: JSONDecodeError, length: int) -> bool:
    return flaw.pos > length - NEAR or flaw.msg.startswith(OPEN_STRING)
