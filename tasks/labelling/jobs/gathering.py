"""What came back, laid out so that a format's reader finds our pictures under the names that its files use.

A picture is known by our id where the format carried it, else by its file name, else by the bytes of a picture that
came back beside the labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import mapping
from tasks.data.formats.index import FolderIndex
from tasks.data.incoming import bring
from tasks.data.pictures import SUFFIXES, measure
from tasks.labelling.jobs.handing import OURS

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
MAX_FILE = 1 << 30  # bytes of one file of labels
RENAMED = 1 << 28  # a larger one is read as a stream, by the names in it alone
PICTURES, LABELS = "pictures", "labels"


@dataclass
class Gathered:
    """A folder that a reader can read.

    Attributes:
        digests: name of a picture in it → digest.
        when: seconds since 1970: the newest change of a file of labels.
        strange: pictures that came back and are not of the job.
    """

    folder: Path
    digests: dict[str, str] = field(default_factory=dict)
    when: float = 0.0
    strange: list[str] = field(default_factory=list)


def gather(source: Path, room: Path, names: Mapping[str, str], format: str) -> Gathered:
    """Lay out in `room` what is in a folder, an archive or one file of labels.

    Args:
        names: digest → the file name under which a picture of the job was handed out.

    Raises:
        DataError: there is nothing, it is no sound archive, or it is too large.
    """
    source = source.expanduser()
    if not source.exists():
        raise DataError("nothing is there", where=source, mend="give the file or the folder that came back")
    made = Gathered(room)
    (room / PICTURES).mkdir(parents=True)
    for digest, name in names.items():
        (room / PICTURES / name).touch()
        made.digests[f"{PICTURES}/{name}"] = digest
    folder = source
    if source.is_file() and source.suffix.lower() in ARCHIVES:
        made.when = source.stat().st_mtime
        folder = bring(str(source), room.with_name(f"{room.name}-unpacked"))
    if folder.is_file():
        _take(folder, room / LABELS / folder.name, names, format, made)
        return made
    known = {name.casefold() for name in names.values()}
    for file in FolderIndex(folder).files:
        if PurePosixPath(file).suffix.lower() not in SUFFIXES:
            _take(folder / file, room / LABELS / file, names, format, made)
        elif PurePosixPath(file).name.casefold() not in known:
            _by_digest(folder / file, file, names, made)
    return made


def _take(path: Path, target: Path, names: Mapping[str, str], format: str, made: Gathered) -> None:
    """A file of labels; its pictures are called as ours are where it carries our ids."""
    if path.stat().st_size > MAX_FILE:
        raise DataError(f"a file of labels has more than {MAX_FILE >> 30} GiB", where=path, mend="send fewer pictures")
    made.when = max(made.when, path.stat().st_mtime)
    target.parent.mkdir(parents=True, exist_ok=True)
    rename = RENAME.get(format)
    renamed = rename(path, names) if rename and path.stat().st_size <= RENAMED else None
    if renamed is None:
        target.symlink_to(path.resolve())
    else:
        target.write_text(renamed, encoding="utf-8")


def _by_digest(path: Path, file: str, names: Mapping[str, str], made: Gathered) -> None:
    """A picture under a name that we did not give."""
    digest = measure(path).digest
    if digest not in names:
        made.strange.append(file)
        return
    target = made.folder / PICTURES / "named" / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    made.digests[target.relative_to(made.folder).as_posix()] = digest


def _parsed(text: str) -> Any:
    # what is no JSON is left to the format's reader, which says so
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _ours(told: Any, names: Mapping[str, str]) -> str | None:
    digest = mapping(mapping(told).get(OURS)).get("digest")
    return names.get(digest) if isinstance(digest, str) else None


def _coco(path: Path, names: Mapping[str, str]) -> str | None:
    content = _parsed(_text(path)) if path.suffix.lower() == ".json" else None
    images = mapping(content).get("images")
    changed = False
    for image in images if isinstance(images, list) else []:
        name = _ours(image, names)
        if name and PurePosixPath(str(image.get("file_name"))).name != name:
            image["file_name"], changed = name, True
    return json.dumps(content) if changed else None


def _groundtruth(path: Path, names: Mapping[str, str]) -> str | None:
    lines, changed = _text(path).splitlines(), False
    for at, text in enumerate(lines):
        line = _parsed(text) if OURS in text else None
        name = _ours(line, names)
        if name and PurePosixPath(str(mapping(line).get("source-ref"))).name != name:
            lines[at], changed = json.dumps(mapping(line) | {"source-ref": name}), True
    return "\n".join(lines) + "\n" if changed else None


def _superb(path: Path, names: Mapping[str, str]) -> str | None:
    content = _parsed(_text(path)) if path.suffix.lower() == ".json" else None
    name = _ours(mapping(mapping(content).get("info")), names)
    key = mapping(content).get("data_key", mapping(content).get("dataKey"))
    if name is None or PurePosixPath(str(key)).name == name:
        return None
    return json.dumps({k: v for k, v in mapping(content).items() if k != "dataKey"} | {"data_key": name})


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


RENAME: dict[str, Callable[[Path, Mapping[str, str]], str | None]] = {
    "coco": _coco, "groundtruth": _groundtruth, "superb": _superb}


def worker_responses(folder: Path) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Of a Ground Truth job's output folder: line of the manifest from 0 → what each worker sent."""
    for path in sorted(folder.glob("**/annotations/worker-response/*/*/*.json")):
        answers = mapping(_parsed(_text(path))).get("answers")
        if path.parent.name.isdecimal() and isinstance(answers, list) and path.stat().st_size < MAX_FILE:
            yield int(path.parent.name), [one for one in answers if isinstance(one, dict)]
