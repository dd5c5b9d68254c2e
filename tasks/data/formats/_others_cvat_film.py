"""CVAT for video 1.1: `<track>` elements with a shape for each frame; the film's pictures lie beside the XML file.

A picture's number stands in its name: `frame_000012.png`, as CVAT saves them, or `000012.jpg`, as `data frames` does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from tasks.base.errors import DataError
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number

NUMBER = re.compile(r"(?:frame_)?(\d{1,9})")
Draw = Callable[[Element, str, tuple[float, float]], Box | str]


class Film:
    """The pictures of one XML file's film while it is read.

    Args:
        draw: makes a box of a shape's element, a row and the picture's size; a reason where it is none.
    """

    def __init__(self, index: FolderIndex, here: str, into: Reading, draw: Draw) -> None:
        self.index, self.here, self.into, self.draw = index, here, into, draw
        self.name, self.size = "", (float("nan"), float("nan"))
        self.tracks = self.unseen = 0
        self._files: dict[int, str] | None = None
        self._boxes: dict[int, list[Box]] = defaultdict(list)
        self._gone: dict[int, list[str]] = defaultdict(list)

    def learn(self, element: Element) -> None:
        """Take in what stands before the tracks: the film's name and the size of its pictures."""
        if element.tag == "source" and not self.name:
            self.name = (element.text or "").strip()
        elif element.tag == "original_size":
            self.size = number(element.findtext("width")), number(element.findtext("height"))

    def track(self, element: Element) -> None:
        """Take in one track: boxes of frames that have a picture; where it ends is noted on the picture."""
        self.tracks += 1
        name = element.get("id") or str(self.tracks)
        for place, item in enumerate(element):
            frame = int(found[1]) if (found := re.fullmatch(r"(\d{1,9})", item.get("frame", ""))) else -1
            key = item.get("keyframe") != "0"
            if frame not in self.files:
                self.unseen += key and item.get("outside") != "1"
            elif item.get("outside") == "1":
                self._gone[frame].append(name)
            else:
                self._add(element, item, frame, f"track {name}, shape {place}", key, name)

    def _add(self, track: Element, item: Element, frame: int, place: str, key: bool, name: str) -> None:
        told = {"label": track.get("label") or "", "source": track.get("source") or "manual"}
        for attribute, value in told.items():
            item.attrib.setdefault(attribute, value)
        flags = {flag: item.attrib.pop(flag, None) for flag in ("frame", "keyframe", "outside")}
        box = self.draw(item, f"{self.here}#{place}", self.size)
        item.attrib |= {flag: value for flag, value in flags.items() if value is not None}
        if isinstance(box, str):
            self.into.notes.append(Note("bad_mask", self.here, place, box, self.files[frame]))
            return
        box.track = name
        if not key:
            # between key frames the tool has drawn it, not a person
            box.source, box.attributes = "model:interpolate", (box.attributes or {}) | {"interpolated": "cvat"}
        self._boxes[frame].append(box)

    @property
    def files(self) -> dict[int, str]:
        """Frame → picture.

        Raises:
            DataError: two pictures could be one frame.
        """
        if self._files is None:
            self._files = self._found()
        return self._files

    def _found(self) -> dict[int, str]:
        folder = f"{PurePosixPath(self.here).parent}/".removeprefix("./")
        pictures = [(int(found[1]), file) for file in self.index.pictures()
                    if (found := NUMBER.fullmatch(PurePosixPath(file).stem))]
        stem = PurePosixPath(self.name).stem
        near = [one for one in pictures if one[1].startswith(folder)] or pictures
        some = [one for one in near if stem and any(part.startswith(stem) for part in PurePosixPath(one[1]).parts)]
        files: dict[int, str] = {}
        for frame, file in some or near:
            if (other := files.setdefault(frame, file)) != file:
                raise DataError(f"{other} and {file} could both be frame {frame} of {self.name or 'the film'}",
                                where=self.here, mend="put each film's pictures into a folder of its name")
        return files

    def pictures(self) -> list[Picture]:
        """All pictures of the film, in the order of the frames, with their boxes."""
        if not self.tracks:
            return []
        if self.unseen:
            detail = f"{self.unseen} key boxes are on frames of {self.name or 'the film'} without a picture"
            self.into.notes.append(Note("missing_picture", self.here, "track", detail))
        group = f"film-{self.name or PurePosixPath(self.here).stem}"
        declared = self.size if self.size[0] == self.size[0] else None
        return [Picture(file, None, declared, f"{self.here}#frame {frame}", self._boxes.get(frame, []), group=group,
                        frame=frame, attributes={"gone": self._gone[frame]} if frame in self._gone else None)
                for frame, file in sorted(self.files.items())]
