"""Models that are asked in words (boxes) or with boxes (masks), through `transformers`.

What the pre-labelling calls:

    open_prompted("grounding-dino:FOLDER", classes, {"person": "a person on foot"}, workspace=…)    a Teacher;
        --map person="a person on foot": here it is a class of the pool → the words that it is asked for with
    open_masker("sam:FOLDER", workspace).mask(picture, boxes)    for each box a list of rings [x1, y1, x2, y2, …]

`PROMPTED` are the words before the colon that `open_prompted` takes, `MASKERS` those of `open_masker`. The weights are
a folder with safetensors; `transformers` is the extra `prompted`. Nothing is fetched unless `allow_download` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tasks.data.classes import read_classes
from tasks.labelling.teachers.prompting.loading import find_weights
from tasks.labelling.teachers.prompting.outlines import TOLERANCE
from tasks.labelling.teachers.prompting.words import phrases_of

if TYPE_CHECKING:
    from tasks.labelling.teachers.prompting.grounding import Grounded
    from tasks.labelling.teachers.prompting.masks import Masker

ANY = "prompted:"
PROMPTED = ("grounding-dino",)
MASKERS = ("sam",)


def open_prompted(text: str, classes: Sequence[str], mapping: Mapping[str, str] | None = None, *, workspace: Path,
                  drop_rest: bool = False, join: bool = False, threads: int | None = None,
                  allow_download: bool = False) -> Grounded:
    """A teacher that finds what it is told in words.

    Args:
        text: `grounding-dino:FOLDER`; a relative folder is the workspace's. `prompted:FOLDER` says the same.
        classes: names of the pool's classes; those of conf/classes.yaml, or of the mapping, where it has none. A class
            is asked for by its name where the mapping has no words for it.
        mapping: class -> words, or several phrases with `|` between them: {"vehicle": "car|lorry|bus"}; `-` leaves a
            class out.
        drop_rest: ask only for the classes of the mapping.
        join: not used: several phrases of one class are joined as they are.
        threads: of torch; its own choice when None.
        allow_download: FOLDER may be a repository of the Hugging Face hub, which is then fetched.

    Raises:
        UserError: the library or the folder is missing, or words that cannot be asked; each with the command.
        DataError: the folder holds no such model.
    """
    if text.partition(":")[0] in MASKERS:
        raise UserError(f"{text} draws masks into boxes that are there, it finds none", where="--model",
                        mend=f"--model models:/cells@champion --masks {text}")
    text = _named(text)
    _one_of(text, PROMPTED, "boxes from words")
    names = list(classes) or [entry.name for entry in read_classes(workspace, unknown="ignore").entries]
    names = names or list(mapping or {})
    asked = phrases_of(names, mapping, drop_rest)
    weights = find_weights(text, workspace, allow_download)
    from tasks.labelling.teachers.prompting.grounding import Grounded

    return Grounded(weights, names, asked, threads)


def open_masker(text: str, workspace: Path, *, tolerance: float = TOLERANCE, threads: int | None = None,
                allow_download: bool = False) -> Masker:
    """What draws polygons into boxes.

    Args:
        text: `sam:FOLDER`; a relative folder is the workspace's.
        tolerance: pixels by which a polygon may leave the mask's edge; 0 keeps the exact edge.
        threads, allow_download: as `open_prompted`.

    Raises:
        UserError: the library or the folder is missing, with the command.
        DataError: the folder holds no such model.
    """
    _one_of(text, MASKERS, "masks from boxes")
    if not 0 <= tolerance < float("inf"):
        raise UserError(f"a tolerance is a number of pixels from 0, got {tolerance}", mend=f"leave it out: {TOLERANCE}")
    weights = find_weights(text, workspace, allow_download)
    from tasks.labelling.teachers.prompting.masks import Masker

    return Masker(weights, tolerance, threads)


def fetch_weights(*texts: str | None, workspace: Path) -> None:
    """What the option --allow-download does: bring the weights of those texts that name a repository of the hub.

    `open_prompted` and `open_masker` then find them on this machine, without a network. Other texts are left alone.

    Raises:
        UserError: they do not come. DataError: they are no such model.
    """
    for text in texts:
        if text and _named(text).partition(":")[0] in (*PROMPTED, *MASKERS):
            find_weights(_named(text), workspace, allow_download=True)


def _named(text: str) -> str:
    return f"{PROMPTED[0]}:{text.removeprefix(ANY)}" if text.startswith(ANY) else text


def _one_of(text: str, known: tuple[str, ...], what: str) -> None:
    if text.partition(":")[0] not in known:
        raise UserError(f"{text!r} is not asked for {what}", mend=" or ".join(f"{name}:FOLDER" for name in known))
