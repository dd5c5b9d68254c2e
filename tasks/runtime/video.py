"""Videos by PyAV: frames with their time stamps in, an annotated copy out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.errors import DataError
from tasks.data.pictures import MAX_PIXELS
from tasks.runtime.letterbox import resize

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEOS = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
# a playlist, which is a text, could make FFmpeg open other files and addresses
ONLY = {"protocol_whitelist": "file",
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf"}
TICKS = 90_000  # of a second: time stamps are kept to it, as in MPEG
USUAL_RATE = Fraction(25)
SLACK = 0.5  # seconds that may lack at the end: the streams of a sound file do not end together
FEW = 2  # frames that may lack: editing hides some at the ends

Write = Callable[[np.ndarray, float], None]


@dataclass(frozen=True)
class Facts:
    """What a video says of itself before it is decoded: frames a second, seconds and frames where the file has them."""

    rate: Fraction
    duration: float | None
    frames: int | None

    @property
    def about(self) -> int:
        """How many frames there are, or may be; 0 where nothing tells."""
        return self.frames or round((self.duration or 0) * self.rate)


@dataclass(frozen=True)
class Frame:
    """One frame: its number from 0, its time in seconds from the start, its pixels uint8 [H, W, 3] RGB as displayed."""

    number: int
    time: float
    picture: np.ndarray


class Video:
    """A video file, opened and looked into at once.

    Attributes:
        facts: what it says of itself.
        read: frames that were decoded so far.
        flaw: why fewer were than there should be, once all were read; None for a sound video.

    Raises:
        DataError: no such file, no video, or a video without frames.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0
        self.flaw: str | None = None
        self._damaged, self._reached = 0, 0.0
        with _opened(path) as (container, stream):
            self.facts = _facts(container, stream)
            if next(self._decoded(container, stream), None) is None:
                raise self._empty()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Frame 0 and each `every`-th after it. What cannot be decoded is left out, and told in `flaw`.

        Raises:
            DataError: there is not one.
        """
        self.read, self.flaw, self._damaged, self._reached = 0, None, 0, 0.0
        with _opened(self.path) as (container, stream):
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            for frame in self._decoded(container, stream):
                number, self.read = self.read, self.read + 1
                if number % every == 0:
                    time = float(number / self.facts.rate) if frame.time is None else max(0.0, frame.time - start)
                    yield Frame(number, time, _pixels(frame))
        self.flaw = self._found_flaw()
        if self.read == 0:
            raise self._empty()

    def _empty(self) -> DataError:
        why = f": {self._damaged} of its pieces cannot be decoded" if self._damaged else ""
        return DataError(f"a video without frames{why}", where=self.path, mend="copy or record it again")

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """All frames; sound is read over, for the time at which the file ends."""
        import av

        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.pts is not None:
                    self._reached = max(self._reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                frames = packet.decode() if packet.stream.index == stream.index else []
            except av.error.FFmpegError:
                self._damaged += 1
                if packet is None or self._damaged > 1000:
                    return
                continue
            yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))

    def _found_flaw(self) -> str | None:
        said = [f"{self._damaged} of its pieces cannot be decoded"] if self._damaged else []
        duration, frames = self.facts.duration, self.facts.frames
        if duration is not None and self._reached + SLACK < duration:
            said.append(f"it ends at {self._reached:.2f} s of {duration:.2f} s")
        elif frames is not None and self.read + max(FEW, frames // 100) < frames:
            said.append(f"it has {self.read} of the {frames} frames that it announces")
        return "; ".join(said) or None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av

    if not path.is_file():
        raise DataError("no such video", where=path, mend="name a picture, a video, or a folder of them")
    try:
        container = av.open(str(path.resolve()), options=ONLY)
    except av.error.FFmpegError as error:
        raise DataError(f"not a video, or broken off before its index: {error.strerror}", where=path,
                        mend="copy or record it again; ffmpeg -i FILE says more") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            raise DataError("a video without frames: no picture stream is in it", where=path,
                            mend="name a file with moving pictures")
        context = streams[0].codec_context
        if context is None:
            raise DataError("no decoder for this video here", where=path, mend="convert it: ffmpeg -i FILE new.mp4")
        if context.width * context.height > MAX_PIXELS:
            size = f"{context.width} x {context.height}"
            raise DataError(f"frames of {size} pixels, more than {MAX_PIXELS:,}", where=path,
                            mend="scale it down: ffmpeg -i FILE -vf scale=1920:-2 new.mp4")
        yield container, streams[0]


def _facts(container: InputContainer, stream: VideoStream) -> Facts:
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    duration = container.duration / 1e6 if container.duration else None
    return Facts(Fraction(rate), duration, stream.frames or None)


def _pixels(frame: VideoFrame) -> np.ndarray:
    # phones write the picture as the sensor has it, and beside it how it is turned
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


@contextmanager
def writing(path: Path, rate: Fraction) -> Iterator[Write]:
    """An MP4 file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: of the file; its folder is there.
        rate: frames a second, about; each frame comes with its own time.

    Yields:
        A function of a picture uint8 [H, W, 3] and its time in seconds. All get the first one's size, made even.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        with _encoder(beside, rate) as write:
            yield write
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _encoder(path: Path, rate: Fraction) -> Iterator[Write]:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        x264 = "libx264" in av.codecs_available
        stream = container.add_stream("libx264" if x264 else "mpeg4", rate=rate.limit_denominator(60_000),
                                      options={"preset": "veryfast", "crf": "23"} if x264 else {"qscale": "3"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        last = -1

        def write(picture: np.ndarray, time: float) -> None:
            nonlocal last
            if last < 0:
                stream.height, stream.width = (side + side % 2 for side in picture.shape[:2])
            even = _even(picture, (stream.height, stream.width))
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, TICKS), max(last + 1, round(time * TICKS))
            last = frame.pts
            container.mux(stream.encode(frame))

        yield write
        if last >= 0:
            container.mux(stream.encode(None))


def _even(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Padded by a pixel where a side is odd; of another size (a stream may change it), scaled."""
    lacks = size[0] - picture.shape[0], size[1] - picture.shape[1]
    if set(lacks) <= {0, 1}:
        return np.ascontiguousarray(np.pad(picture, ((0, lacks[0]), (0, lacks[1]), (0, 0)), mode="edge"))
    return np.ascontiguousarray(resize(picture, size))
