"""Batches on disk. A batch that was accepted is finished, whatever happens to the server, and no picture twice.

`ID/batch.json` what was asked, `pictures.bin` and `index.jsonl` the pictures, `results.jsonl` one line a picture in
their order, `ended.json` how it ended. A folder appears whole, by renaming; results are appended by one writer, which
counts the whole lines that are there when it begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.base.files import read_json, write_json
from tasks.serving.intake import INDEX, PICTURES, Limits, unpack
from tasks.serving.settings import of_query, settings_of
from tasks.serving.target import Target

ID = re.compile(r"[0-9]{14}-[0-9a-f]{12}")
ASKED, RESULTS, ENDED = "batch.json", "results.jsonl", "ended.json"
DAY_S = 86_400


class Batch:
    """One accepted batch.

    Attributes:
        folder: where it lies.
        id: its name.
        target: what answers it: the version that the name stood for when it was accepted.
        settings: which detections count, as plain data.
        total: pictures.
        done, failed: lines of results, and those of them that are errors; kept by whoever writes them.
    """

    def __init__(self, folder: Path) -> None:
        told = read_json(folder / ASKED)
        self.folder, self.id, self.target = folder, folder.name, Target.of(told["target"])
        self.settings, self.total, self.created = told["settings"], told["total"], told["created"]
        self.done, self.failed = 0, 0
        self.state = "waiting"
        self.reason: str | None = None
        if (folder / ENDED).is_file():
            ended = read_json(folder / ENDED)
            self.state, self.reason, self.done, self.failed = (ended[key] for key in ("state", "reason", "done",
                                                                                      "failed"))

    def told(self) -> dict[str, Any]:
        """What a client is told of it."""
        where = f"/v1/batches/{self.id}"
        return {"id": self.id, "model": self.target.name, "version": self.target.version, "sha256": self.target.sha256,
                "state": self.state, "reason": self.reason, "total": self.total, "done": self.done,
                "failed": self.failed, "created": self.created, "url": where, "results": f"{where}/results"}

    def pictures(self) -> Iterator[tuple[int, str, bytes]]:
        """Number, name and bytes of each picture that has no result yet."""
        with (self.folder / INDEX).open(encoding="utf-8") as index, (self.folder / PICTURES).open("rb") as blob:
            for number, line in enumerate(index):
                if number >= self.done:
                    told = json.loads(line)
                    blob.seek(told["offset"])
                    yield number, told["name"], blob.read(told["bytes"])

    @contextlib.contextmanager
    def results(self) -> Iterator[Results]:
        """The writer of results, behind what is there."""
        with Results(self.folder / RESULTS) as writer:
            self.done, self.failed = writer.lines, writer.errors
            yield writer

    def end(self, state: str, reason: str | None = None) -> None:
        """It is `done`, `cancelled` or `failed`; its pictures go."""
        self.state, self.reason = state, reason
        write_json(self.folder / ENDED, {"state": state, "reason": reason, "done": self.done, "failed": self.failed,
                                         "ended": _now()})
        for name in (PICTURES, INDEX):
            (self.folder / name).unlink(missing_ok=True)


class Results:
    """Appends lines; what a killed writer left of a line is cut off first."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab+")
        self.lines = self.errors = whole = 0
        self._file.seek(0)
        for line in self._file:
            if line.endswith(b"\n"):
                self.lines, whole = self.lines + 1, whole + len(line)
                self.errors += "error" in json.loads(line)
        self._file.truncate(whole)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """One line, handed to the system whole."""
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


class Batches:
    """All batches of a server.

    Args:
        folder: `.visionmill/serve/batches`; made when it is not there.
        keep_days: ended ones that are older go.
    """

    def __init__(self, folder: Path, keep_days: float) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Batch] = {}
        for found in sorted(folder.iterdir()):
            if not ID.fullmatch(found.name):
                shutil.rmtree(found, ignore_errors=True)  # what a killed server was about to accept
            elif (found / ASKED).is_file():
                self.known[found.name] = Batch(found)
        self.forget(keep_days)

    def upload(self) -> Path:
        """An empty folder for what is on its way; it vanishes with the next start if it is not accepted."""
        return Path(tempfile.mkdtemp(dir=self.folder, prefix=".upload-"))

    def accept(self, upload: Path, content_type: str, query: str, target: Target, limits: Limits) -> Batch:
        """Make an upload's file `request` a batch. From the moment this returns it will be done.

        Raises:
            BadRequest: it is none, or asks what cannot be answered.
        """
        total, given = unpack(upload / "request", content_type, upload, limits)
        settings = settings_of({**given, **of_query(query)}, target.classes).plain()
        (upload / "request").unlink()
        write_json(upload / ASKED, {"target": target.plain(), "settings": settings, "total": total, "created": _now()})
        for name in (PICTURES, INDEX):
            with (upload / name).open("rb") as file:
                os.fsync(file.fileno())
        place = self.folder / f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{secrets.token_hex(6)}"
        upload.chmod(0o755)
        upload.rename(place)
        return Batch(place)

    def find(self, name: str) -> Batch | None:
        """A batch by its id; what is no id is nothing."""
        return self.known.get(name) if ID.fullmatch(name) else None

    def open(self) -> list[Batch]:
        """Those that are not ended, oldest first."""
        return [batch for batch in self.known.values() if batch.state in ("waiting", "running")]

    def drop(self, batch: Batch) -> None:
        """Remove one that is ended."""
        self.known.pop(batch.id, None)
        shutil.rmtree(batch.folder, ignore_errors=True)

    def forget(self, keep_days: float) -> None:
        """Remove ended ones that are older than `keep_days`."""
        for batch in list(self.known.values()):
            ended = batch.folder / ENDED
            if ended.is_file() and time.time() - ended.stat().st_mtime > keep_days * DAY_S:
                self.drop(batch)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
