"""Films as pictures: frames chosen by change and by interval become a dataset version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file
from tasks.base.params import Params
from tasks.data.ops import Making
from tasks.data.pictures import measure
from tasks.data.sql import write_version
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.store.recipes import facts
from tasks.data.table import ANNOTATIONS, IMAGES, Meta, full_disk_is_told
from tasks.labels.keyframes import Choosing, choose, signature
from tasks.runtime.video import Video

WORD = re.compile(r"[^A-Za-z0-9._-]+")
DIGITS = 16  # of a film's digest, in the name of its group


class Frames(Params):
    """Which frames of a film become pictures.

    Attributes:
        every: seconds after which there is one in any case; 0 for never.
        change: a frame that differs from the last chosen one by more than this is one, 0..1 (`keyframes.change`).
        least: seconds between two at least, unless the scene changes.
        most: pictures of a film at most, spread over those that were chosen; 0 for all.
        form: of the files; PNG is ten times as large and keeps every pixel.
        quality: of JPEG.
    """

    every: float = Field(default=1.0, ge=0, description="seconds after which there is one in any case; 0 for never")
    change: float = Field(default=0.1, ge=0, le=1, description="difference from the last one that makes another, 0..1")
    least: float = Field(default=0.2, ge=0, description="seconds between two at least, unless the scene changes")
    most: int = Field(default=0, ge=0, description="pictures of a film at most; 0 for all")
    form: Literal["jpg", "png"] = Field(default="jpg", description="of the files")
    quality: int = Field(default=95, ge=50, le=100, description="of JPEG")

    def choosing(self) -> Choosing:
        """The same for `tasks.labels.keyframes`."""
        # a change that is not enough is no other scene either
        return Choosing(change=self.change, least=min(self.least, self.every or self.least), most=self.every or 1e12,
                        cut=max(Choosing().cut, self.change))


@dataclass
class Film:
    """What became of one film.

    Attributes:
        path, digest: of its file; read: frames that could be read; seconds: up to the last of them.
        kept: frame number, time and reason of each picture, in order.
        flaw: why fewer frames were read than there should be; None for a sound film.
    """

    path: Path
    digest: str
    read: int = 0
    seconds: float = 0.0
    kept: list[tuple[int, float, str]] = field(default_factory=list)
    flaw: str | None = None

    @property
    def group(self) -> str:
        """What all pictures of one film have in common, whatever its file is called."""
        return f"film-{self.digest[:DIGITS]}"


def look(path: Path, settings: Frames) -> Film:
    """Choose frames of a film. Of one that breaks off, those that can be read are looked at, and it is told.

    Raises:
        DataError: no such film, or nothing of it can be read.
    """
    video = Video(path)
    film = Film(path, digest_file(path))
    seen, numbers, times = [], [], []
    for frame in video.frames():
        seen.append(signature(frame.picture))
        numbers.append(frame.number)
        times.append(frame.time)
    film.read, film.flaw, film.seconds = video.read, video.flaw, max(times)
    # the times of a damaged film may fall
    steady = np.maximum.accumulate(np.array(times))
    chosen, reasons = choose(np.stack(seen), steady, settings.choosing())
    some = _spread(len(chosen), settings.most)
    film.kept = [(numbers[chosen[at]], round(float(steady[chosen[at]]), 6), reasons[at]) for at in some]
    return film


def publish_frames(store: Store, clips: Sequence[Path], settings: Frames, *, name: str, owner: str,
                   classes: Sequence[str] = (), licence: str | None = None) -> tuple[Version, bool, list[Film]]:
    """The version whose pictures are frames of these films, whether it is new, and what became of each film.

    A film is a group, which no split tears apart. The same films and settings again give the version that is there.

    Raises:
        DataError: a film of which nothing can be read, or a full disk. UserError: one film twice, or the name is
            somebody else's.
    """
    films = [look(path, settings) for path in clips]
    twice = {film.digest for film in films if sum(one.digest == film.digest for one in films) > 1}
    if twice:
        names = [str(film.path) for film in films if film.digest in twice]
        raise UserError("one film is given twice", where=", ".join(names), mend="name it once")
    recipe = {"import": {"format": ["film"], "from": " ".join(str(path) for path in clips),
                         "settings": settings.model_dump(), "films": [film.digest for film in films]}}
    with store.locked(), full_disk_is_told(store.root):
        latest = store.latest(name)
        if latest and latest.here and _same(latest.meta.recipe, recipe):
            return latest, False, films
        making = store.begin(name, owner)
        rows = (row for film in films for row in _pictures(film, making, settings))
        images = sorted(rows, key=lambda row: row["file"])
        table = pa.Table.from_pylist([row | {"image_id": number} for number, row in enumerate(images)], IMAGES)
        write_version(making.folder, [table], [ANNOTATIONS.empty_table()],
                      Meta(name=name, classes=list(classes), licence=licence))
        if latest and latest.here and latest.digest == table_digest(making.folder):
            return latest, False, films
        noted = {film.path.name: film.flaw for film in films if film.flaw}
        return store.publish(making, recipe, owner, facts() | ({"broken_off": noted} if noted else {})), True, films


def _pictures(film: Film, making: Making, settings: Frames) -> Iterator[dict[str, Any]]:
    """Write the chosen frames; rows of the picture table less their ids."""
    wanted = {number: (time, reason) for number, time, reason in film.kept}
    folder = f"{WORD.sub('-', film.path.stem).strip('-.') or 'film'}-{film.digest[:8]}"
    (making.pictures / folder).mkdir(parents=True)
    last = max(wanted)
    for frame in Video(film.path).frames():
        if frame.number in wanted:
            time, reason = wanted[frame.number]
            name = f"{folder}/{frame.number:06d}.{settings.form}"
            _save(frame.picture, making.pictures / name, settings)
            found = measure(making.pictures / name)
            told = {"film": {"name": film.path.name, "digest": film.digest, "why": reason}}
            yield {"file": f"{making.origin}/{name}", **found._asdict(), "group": film.group, "frame": frame.number,
                   "time": time, "attributes": json.dumps(told, sort_keys=True, ensure_ascii=False)}
        if frame.number == last:
            return
    raise DataError("the film changed while it was read", where=film.path, mend="run it again")


def _save(picture: np.ndarray, path: Path, settings: Frames) -> None:
    options: dict[str, Any] = {"quality": settings.quality, "subsampling": 0} if settings.form == "jpg" else {}
    Image.fromarray(picture).save(path, **options)


def _spread(count: int, most: int) -> list[int]:
    """Places of `most` of `count`, the first and the last among them."""
    if not most or count <= most:
        return list(range(count))
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()


def _same(known: dict[str, Any], recipe: dict[str, Any]) -> bool:
    """Whether two recipes are of the same films, wherever they lie."""
    told = known.get("import", {})
    return all(told.get(key) == recipe["import"][key] for key in ("settings", "films"))
