"""SageMaker Ground Truth's augmented manifest: one JSON object a line, a picture's labels beside its `source-ref`.

Of several labels of one picture those of a detection job go before masks, and masks before classes; an adjusted label
goes before what it adjusts, a later one before an earlier one. The others pass through `attributes`, and so do keys
that nobody knows. See https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from tasks.base.errors import DataError
from tasks.data.formats._groundtruth_labels import Labels, choose, fill
from tasks.data.formats._groundtruth_write import CARRIES, write
from tasks.data.formats._superb_json import mapping, parse
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, Source, safe_name, split_in_name

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "SageMaker Ground Truth"
EXPECTED = 'JSON Lines with "source-ref", e.g. manifests/output/output.manifest'
MAX_LINE = 10 << 20
PEEKED = 1 << 20
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/+")


def find(index: FolderIndex) -> list[Source]:
    """Manifests; where several are of one split, the one called `output.manifest` is meant."""
    found: dict[str | None, list[Source]] = {}
    for file in sorted([*index.with_suffix(".manifest"), *index.with_suffix(".jsonl")]):
        if _is_manifest(index.root / file):
            split = split_in_name(PurePosixPath(file))
            found.setdefault(split, []).append(Source("groundtruth", index.root / file, split))
    return [source for rivals in found.values() for source in _meant(rivals)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one manifest, line by line.

    Raises:
        DataError: a line is no JSON object with `source-ref`, is longer than `MAX_LINE`, or names a picture outside.
    """
    here = source.path.relative_to(index.root).as_posix()
    labels = Labels(index, source, into, here)
    for number, line in _lines(source.path, here):
        where = f"{here}#line {number}"
        content = parse(line, where)
        reference = mapping(content).get("source-ref")
        if not isinstance(reference, str):
            known = ", ".join(map(repr, sorted(content)[:6])) if isinstance(content, dict) else type(content).__name__
            raise DataError(f"not a line of Ground Truth: expected 'source-ref', found {known}", where=where,
                            mend="mend or remove that line")
        file = locate(index, source, where, reference)
        if file is None:
            into.notes.append(Note("missing_picture", here, f"line {number}", f"there is no picture {reference!r}"))
            continue
        picture = Picture(file, source.split, None, where)
        fill(picture, content, choose(content), labels, partial(locate, index, source, where))
        yield picture
    labels.finish()


def locate(index: FolderIndex, source: Source, where: str, reference: str) -> str | None:
    """The file whose path ends like the key of `s3://bucket/key`: the longest ending goes first.

    Raises:
        DataError: several end alike, or the key climbs out of the folder.
    """
    parts = PurePosixPath(safe_name(URI.sub("", reference, count=1), where)).parts
    near = PurePosixPath(source.path.relative_to(index.root).as_posix()).parent
    several: DataError | None = None
    file = None
    for start in range(len(parts)):
        name = "/".join(parts[start:])
        try:
            file = index.find(name, near, source.split, where)
        except DataError as error:
            several = several or error
            continue
        if file and f"/{file}".endswith(f"/{name}"):
            return file
    if file is None and several:
        raise several
    return file


def _is_manifest(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(PEEKED).lstrip(b"\xef\xbb\xbf \t\r\n")
    return line.startswith(b"{") and b'"source-ref"' in line


def _meant(rivals: list[Source]) -> list[Source]:
    output = [source for source in rivals if source.path.name == "output.manifest"]
    return output if len(output) == 1 else rivals


def _lines(path: Path, here: str) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise DataError(f"a line has more than {MAX_LINE >> 20} MiB", where=f"{here}#line {number}",
                                mend="one picture a line, pictures by reference")
            if line.strip():
                yield number, line
