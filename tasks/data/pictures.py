"""Reading and measuring pictures. What comes from outside is hostile: sizes are checked before pixels are decoded."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from tasks.base.errors import DataError
from tasks.base.files import CHUNK
from tasks.data.headers import ORIENTATION, read_header

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})
# the decoders that a picture may choose
DECODERS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
# 270 MB as RGB; a few kilobytes of PNG can ask for far more
MAX_PIXELS = 90_000_000
AHEAD = 4  # results that may wait for each thread
WHOLE = 64 << 20  # a file below this is read in one go
FEW = 500  # fewer are done before processes have started
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}

S = TypeVar("S")
T = TypeVar("T")


class Measured(NamedTuple):
    """What is known of a picture file without decoding it; width and height are 0 where the header is unreadable."""

    width: int
    height: int
    orientation: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Member:
    """A picture's bytes inside an archive that stores them uncompressed."""

    archive: Path
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.archive}!{self.name}"


Location = Path | Member


def locate(raw: Path, images: pa.Table) -> list[Location]:
    """Where the bytes of each picture of a table are, its files being relative to `raw`."""
    columns = images.select(["file", "shard", "offset", "bytes"]).to_pydict()
    return [raw / file if shard is None else Member(raw / shard, offset, size, file)
            for file, shard, offset, size in zip(*columns.values(), strict=True)]


def open_bytes(place: Location) -> BinaryIO:
    """The picture's bytes as a file that can seek."""
    if isinstance(place, Path):
        return place.open("rb")
    with place.archive.open("rb") as file:
        file.seek(place.offset)
        return io.BytesIO(file.read(place.size))


def size_in_bytes(place: Location) -> int:
    return place.stat().st_size if isinstance(place, Path) else place.size


def read_picture(place: Location) -> np.ndarray:
    """The pixels as displayed: uint8 [height, width, 3], RGB, EXIF orientation applied; the first frame of several.

    Raises:
        DataError: not a picture, truncated, or more than `MAX_PIXELS`.
    """
    return read_with(place, upright)


def read_with(place: Location, decode: Callable[[Image.Image], T]) -> T:
    """What `decode` makes of an opened picture whose size is in bounds.

    Raises:
        DataError: as `read_picture`.
    """
    flaw: tuple[str, str] | None
    try:
        with _quiet_about_bombs(), open_bytes(place) as file, Image.open(file, formats=DECODERS) as picture:
            flaw = _flaw_of_size(*picture.size)
            if flaw is None:
                return _decoded(picture, decode)
    except _DecodingError as error:
        flaw = ("truncated", str(error))
    except Exception as error:
        flaw = ("zero_size", "the file has 0 bytes") if _is_empty(place) else _flaw_of_header(error, place)
    mend = f"replace or remove the picture; in a line: validate.{flaw[0]}: drop"
    raise DataError(f"picture is {flaw[0].replace('_', ' ')}: {flaw[1]}", where=place, mend=mend)


class _DecodingError(Exception):
    """The header was sound, the pixels are not."""


def _decoded(picture: Image.Image, decode: Callable[[Image.Image], T]) -> T:
    try:
        return decode(picture)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        raise _DecodingError(str(error)) from None


def upright(picture: Image.Image) -> np.ndarray:
    """The pixels of an opened picture as displayed: uint8 [height, width, 3]."""
    picture.load()
    return np.asarray(turned(_eight_bit(picture), orientation_of(picture)).convert("RGB"))


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """A picture as displayed, given its EXIF orientation."""
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture


def find_flaw(place: Location, decode: bool = True) -> tuple[str, str] | None:
    """What is wrong with a picture file: (`zero_size`, `unreadable`, `too_large` or `truncated`, reason), or None.

    Args:
        decode: decode all pixels, which alone finds a truncated picture.
    """
    try:
        if size_in_bytes(place) == 0:
            return "zero_size", "the file has 0 bytes"
        with _quiet_about_bombs(), open_bytes(place) as file, Image.open(file, formats=DECODERS) as picture:
            return _flaw_of_size(*picture.size) or (_flaw_of_pixels(picture) if decode else None)
    except Exception as error:
        return _flaw_of_header(error, place)


def measure(place: Location | str) -> Measured:
    """Digest and displayed size of one picture; reads its bytes once and decodes nothing where the header is plain.

    Raises:
        OSError: the file is missing or may not be read.
    """
    data = _bytes_of(place)
    if data is not None:
        return _measured(read_header(data) or _header(io.BytesIO(data)), len(data), hashlib.sha256(data).hexdigest())
    place = Path(place) if isinstance(place, str) else place
    digest = hashlib.sha256()
    with open_bytes(place) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        return _measured(_header(file), size_in_bytes(place), digest.hexdigest())


def _measured(header: tuple[int, int, int], size: int, digest: str) -> Measured:
    width, height, orientation = header
    if orientation >= 5:  # 5 to 8 exchange the axes
        width, height = height, width
    return Measured(width, height, orientation, size, digest)


def measure_all(places: Iterable[Location], workers: int | None = None) -> Iterator[Measured]:
    """`measure` of each picture, in order; large sets by processes (`workers` of them), memory does not grow."""
    return (Measured(*one) for one in _over_all("measure", places, workers))


def find_flaws(places: Iterable[Location], workers: int | None = None) -> Iterator[tuple[str, str] | None]:
    """`find_flaw` of each picture, all pixels decoded, in order; large sets by processes."""
    return (one and (one[0], one[1]) for one in _over_all("find_flaw", places, workers))


def over_pictures(function: Callable[[S], T], items: Iterable[S], threads: int | None = None) -> Iterator[T]:
    """`map` on a few threads, in order. Hashing and decoding release the GIL; a few results a thread wait."""
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _over_all(task: str, places: Iterable[Location], workers: int | None) -> Iterator[Any]:
    from tasks.data.crew import TASKS, cores, over_processes

    workers = workers or min(8, cores())
    source = iter(places)
    first = list(islice(source, FEW))
    if len(first) == FEW and workers > 1:
        return over_processes(task, chain(first, source), workers)
    if task == "find_flaw":
        return over_pictures(find_flaw, chain(first, source), workers)
    # threads would take turns at headers, and lose more time at that than one alone
    return map(TASKS[task], chain(first, source))


def _bytes_of(place: Location | str) -> bytes | None:
    """All bytes, without a buffer in between; None where they are too many to hold."""
    name, offset = (place.archive, place.offset) if isinstance(place, Member) else (place, 0)
    opened = os.open(name, os.O_RDONLY)
    try:
        size = place.size if isinstance(place, Member) else os.fstat(opened).st_size
        return os.pread(opened, size, offset) if size < WHOLE else None
    finally:
        os.close(opened)


def _header(file: BinaryIO) -> tuple[int, int, int]:
    """Size as stored and orientation, by Pillow; zeros where it knows no size."""
    try:
        file.seek(0)
        with _quiet_about_bombs(), Image.open(file, formats=DECODERS) as picture:
            width, height = picture.size
            # a PNG is decoded for its orientation
            orientation = 1 if _flaw_of_size(width, height) else orientation_of(picture)
            if orientation >= 5 and picture.format == "TIFF":  # Pillow gives its size as displayed
                width, height = height, width
            return width, height, orientation
    except Exception:  # validate names the reason
        return 0, 0, 1


def orientation_of(picture: Image.Image) -> int:
    """1 to 8; 1 where the EXIF data are damaged, as viewers take it."""
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
        return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    except Exception:  # SyntaxError, struct.error, ValueError, …; also of pixels: a PNG is decoded first
        return 1


def _is_empty(place: Location) -> bool:
    with suppress(OSError):
        return size_in_bytes(place) == 0
    return False


def _flaw_of_header(error: Exception, place: Location) -> tuple[str, str]:
    if isinstance(error, Image.DecompressionBombError):
        return "too_large", str(error)
    if isinstance(error, UnidentifiedImageError):
        return "unreadable", f"cannot identify image file {place.name!r}"
    reason = str(error).replace(str(place), place.name)
    return "truncated" if "truncated" in reason.lower() else "unreadable", reason


def _flaw_of_size(width: int, height: int) -> tuple[str, str] | None:
    if width * height > MAX_PIXELS:
        return "too_large", f"{width} x {height} pixels, more than {MAX_PIXELS:,}"
    return ("zero_size", f"{width} x {height} pixels") if width * height == 0 else None


def _flaw_of_pixels(picture: Image.Image) -> tuple[str, str] | None:
    try:
        picture.load()
    except Exception as error:
        return "truncated", str(error)
    return None


def _eight_bit(picture: Image.Image) -> Image.Image:
    # convert("RGB") clips 16-bit pictures to white instead of scaling them
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    return picture


def _quiet_about_bombs() -> Any:
    # the size is checked here, with our own limit
    return warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
