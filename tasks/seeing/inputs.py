"""Which pictures and videos are looked at, and under which names they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.base.errors import UserError
from tasks.data.pictures import SUFFIXES
from tasks.runtime.video import VIDEOS


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS


def collect(inputs: Sequence[Path], out: Path | None = None) -> list[Path]:
    """The pictures and videos that the arguments name; a folder stands for all in it, but for what was drawn in `out`.

    Raises:
        UserError: a path does not exist, or there is no picture and no video at all.
    """
    found: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise UserError("no such picture or video", where=path, mend="name pictures, videos, or folders of them")
        found.extend(_inside(path, out) if path.is_dir() else [path])
    if not found:
        raise UserError("no picture found, and no video", where=", ".join(map(str, inputs)),
                        mend=f"known: {' '.join(sorted(SUFFIXES | VIDEOS))}")
    return found


def _inside(folder: Path, out: Path | None) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES | VIDEOS and p.is_file())
    # a folder that is looked at twice would else show boxes on boxes; when it is `out` itself, that is told later
    drawn = out.resolve() if out and out.resolve() != folder.resolve() else None
    return [p for p in files if drawn is None or not p.resolve().is_relative_to(drawn)]


def drawn_names(files: Sequence[Path]) -> list[str]:
    """A name for each drawn file, none twice: `NAME.png` of a picture, `NAME.mp4` of a video."""
    single = len({f.stem for f in files}) == len(files)
    names = [f.stem if single else f"{at:05d}-{f.stem}" for at, f in enumerate(files)]
    return [f"{name}{'.mp4' if is_video(f) else '.png'}" for name, f in zip(names, files, strict=True)]


def spare_originals(files: Sequence[Path], drawn: Sequence[Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        UserError: a drawn file would take an original's place.
    """
    both = {f.resolve() for f in files} & {d.resolve() for d in drawn}
    if both:
        raise UserError("the drawn file would replace the original", where=sorted(both)[0],
                        mend="--out another folder")
