"""How Label Studio comes by the pictures: a folder of links that it serves, or an upload."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from tasks.base.errors import DataError, UserError
from tasks.data.formats._labelstudio_names import address_of
from tasks.data.linking import link_or_copy
from tasks.data.pictures import read_picture
from tasks.labelling.jobs.pictures import Task
from tasks.labelling.studio.client import Client, rows_in

# what a browser shows; others are sent as PNG
SHOWN = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp",
         ".bmp": "image/bmp"}
DIGEST = re.compile(r"[0-9a-f]{8,128}")
UPLOADED = re.compile(r"upload/\d+/[0-9a-f]{8}-([0-9a-f]{8,128})\.[a-z]{3,4}")
# one request: below what servers and the proxies before them take
FILES, BYTES = 20, 16 << 20


def file_name(task: Task) -> str:
    """The picture's digest and its suffix: two files of one name do not meet."""
    if not DIGEST.fullmatch(task.digest):
        raise DataError(f"{task.digest[:80]!r} is no picture's digest", where=task.image.get("file"),
                        mend="import the pictures anew")
    suffix = PurePosixPath(str(task.image["file"])).suffix.lower()
    return f"{task.digest}{suffix if suffix in SHOWN else '.png'}"


class Served:
    """A folder below what the server of this machine shows; it holds this job's pictures alone.

    Args:
        folder: the server's document root; name: of this job's folder in it.
    """

    def __init__(self, client: Client, project: int, folder: Path, name: str) -> None:
        self.folder, self.name = folder / name, name
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = rows_in(client.get("/api/storages/localfiles", project=project), "storages", client.url)
        if str(self.folder) not in {one.get("path") for one in known}:
            # without this entry the server shows no file of the folder; it is never synchronised: that would make tasks
            client.post("/api/storages/localfiles", {"project": project, "path": str(self.folder),
                                                     "use_blob_urls": True, "title": "visionmill"})

    def addresses(self, tasks: Sequence[Task]) -> list[str]:
        """What each task's data say of its picture, after the picture is there."""
        return [address_of(f"{self.name}/{self._put(task)}") for task in tasks]

    def _put(self, task: Task) -> str:
        name = file_name(task)
        if (self.folder / name).exists():
            return name
        handle, beside = tempfile.mkstemp(dir=self.folder, prefix=".")
        os.close(handle)
        path = Path(beside)
        path.unlink()
        try:
            if isinstance(task.location, Path) and _as_it_is(task):
                link_or_copy(task.location, path)
            else:
                path.write_bytes(_shown(task))
            path.replace(self.folder / name)
        except FileNotFoundError:
            raise DataError("a picture of the job is not on this machine", where=task.location,
                            mend="visionmill data pull, or dvc pull") from None
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
        return name


class Uploaded:
    """Pictures that the server keeps itself. What an interrupted upload left there is used."""

    def __init__(self, client: Client, project: int) -> None:
        self.client, self.project = client, project
        self.known = _by_digest(client.get(f"/api/projects/{project}/file-uploads", all="true"), client.url)

    def addresses(self, tasks: Sequence[Task]) -> list[str]:
        missing = [task for task in tasks if task.digest not in self.known]
        while missing:
            batch: list[tuple[str, tuple[str, bytes, str]]] = []
            size = 0
            while missing and len(batch) < FILES and size < BYTES:
                task = missing.pop(0)
                name, content = file_name(task), _shown(task)
                batch.append((name, (name, content, SHOWN[PurePosixPath(name).suffix])))
                size += len(content)
            self._upload(batch)
        absent = next((task.digest for task in tasks if task.digest not in self.known), None)
        if absent:
            raise UserError(f"Label Studio has taken the picture {absent} and does not name it", where=self.client.url,
                            mend="is it of version 1.20 or later?")
        return [f"/data/{quote(self.known[task.digest])}" for task in tasks]

    def _upload(self, batch: list[tuple[str, tuple[str, bytes, str]]]) -> None:
        answer = self.client.ask("POST", f"/api/projects/{self.project}/import", files=batch,
                                 params={"commit_to_project": "false"})
        made = answer.get("file_upload_ids") if isinstance(answer, dict) else None
        for number in made if isinstance(made, list) else ():
            self.known |= _by_digest([self.client.get(f"/api/import/file-upload/{int(number)}")], self.client.url)


def _by_digest(files: Any, where: str) -> dict[str, str]:
    named = [str(one.get("file")) for one in rows_in(files, "files", where)]
    return {found[1]: name for name in named if (found := UPLOADED.fullmatch(name))}


def _as_it_is(task: Task) -> bool:
    return PurePosixPath(str(task.image["file"])).suffix.lower() in SHOWN


def _shown(task: Task) -> bytes:
    """The file, or the picture as PNG where a browser would not show it."""
    if _as_it_is(task):
        return task.read()
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(read_picture(task.location)).save(content, "PNG")
    return content.getvalue()
