"""From the words of a command to a model file in our contract: registry, catalogue, any ONNX file, the line's.

A model from elsewhere is made a file of ours once and kept in `.visionmill/teachers/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_tree, digest_value, folder_atomic
from tasks.registry.versions import is_address

T = TypeVar("T")
KEPT = Path(".visionmill/teachers")
MODEL = "model.onnx"
# what the importer says of its own options, in the words of this command
WORDS = {"--preset FILE.yaml": "--description FILE.yaml", "--preset": "--description",
         "--labels FILE (one name a line), or --classes a,b,c": "`classes: [a, b, c]` in the description",
         "visionmill import-model FILE --description": "--weights FILE --model"}


@dataclass(frozen=True)
class Place:
    """A model that can be opened.

    Attributes:
        file: a model folder, an .onnx file or an .engine file of our contract.
        name: what stands behind `model:` in the column `source`: `cells@3`, `picodet-s-416`.
        digest: SHA-256 of the model as it came, and of its description.
    """

    file: Path
    name: str
    digest: str
    notes: list[str] = field(default_factory=list)


def find_place(text: str, workspace: Path, description: Path | str | None = None,
               weights: Path | None = None) -> Place:
    """The model that is meant.

    Args:
        text: `models:/NAME@ALIAS`, a file or folder, or an entry of conf/import.
        description: of an ONNX file from elsewhere: a .yaml file, or an entry of conf/import.
        weights: the file of a catalogue entry, where VISIONMILL_MIRROR has none.

    Raises:
        UserError: no such model, or a description that does not fit what the model says.
    """
    if is_address(text):
        return _registered(text, workspace)
    path = Path(text)
    if path.exists() and weights is None:
        if path.suffix.lower() == ".onnx" and (description is not None or not _ours(path)):
            return _foreign(path, str(description) if description else None, path.stem, workspace)
        return _local(path, workspace)
    return _catalogued(text, weights, str(description) if description else None, workspace)


def _registered(text: str, workspace: Path) -> Place:
    from tasks.registry.tracing.reading import find, reading
    from tasks.registry.versions import resolve_model

    file = resolve_model(text, "deployed", workspace)
    with reading(workspace, "a version was looked up") as registry:
        known = find(text, registry, workspace)
    return Place(file, f"{known.name}@{known.version}", digest_file(file))


def _local(path: Path, workspace: Path) -> Place:
    from tasks.seeing.opening import find_model

    file = find_model(str(path), workspace)
    inside = path.resolve()
    root = workspace.resolve()
    named = inside.relative_to(root) if inside.is_relative_to(root) else Path(inside.name)
    return Place(file, named.with_suffix("").as_posix() if path.is_file() else named.as_posix(),
                 digest_tree(file) if file.is_dir() else digest_file(file))


def _catalogued(text: str, weights: Path | None, description: str | None, workspace: Path) -> Place:
    from tasks.foreign.bring import find
    from tasks.foreign.description import known

    if weights is None:
        file, preset = _in_our_words(lambda: find(text, description, workspace), text)
        return _foreign(file, preset, text, workspace)
    entries = known(workspace)
    if text not in entries:
        raise UserError("--weights are those of an entry of the catalogue", where=f"--model {text}",
                        mend=f"--model one of {', '.join(sorted(entries))}")
    if not weights.is_file():
        raise UserError("no such file of weights", where=weights, mend=f"fetch it from {entries[text].homepage}")
    place = _foreign(weights, text, text, workspace)
    stated = entries[text].sha256
    if stated and digest_file(weights) != stated:
        place.notes.append(f"{weights.name} is not the file that the catalogue knows as {text}")
    return place


def _foreign(file: Path, preset: str | None, name: str, workspace: Path) -> Place:
    """Make a file of ours of it, or take the one that was made."""
    from tasks.foreign.bring import bring
    from tasks.foreign.description import classes_of, read_description

    told: list[Any] = [preset, None]
    if preset is not None:
        description = read_description(preset, workspace)
        told = [description.model_dump(mode="json"), classes_of(description, workspace)]
    digest = digest_value([digest_file(file), *told])
    kept = workspace / KEPT / digest_value([digest, _importer()])[:32]
    if not (kept / MODEL).is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with folder_atomic(kept) as fresh:
            _in_our_words(lambda: bring(str(file), fresh / "made", preset=preset, workspace=workspace), text=file)
            (fresh / "made" / MODEL).rename(fresh / MODEL)
    return Place(kept / MODEL, name, digest)


def _importer() -> str:
    """Digest of the code that makes files of ours: what it made before an upgrade is made again."""
    import tasks.foreign

    return digest_value([digest_file(path) for path in sorted(Path(tasks.foreign.__path__[0]).glob("*.py"))])


def _ours(path: Path) -> bool:
    from tasks.foreign.bring import OURS
    from tasks.runtime.backends.description import read_onnx

    return set(read_onnx(path)[0]) >= OURS


def _in_our_words(call: Callable[[], T], text: object) -> T:
    try:
        return call()
    except UserError as error:
        mend = error.mend
        for theirs, ours in WORDS.items():
            mend = mend.replace(theirs, ours) if mend else mend
        raise type(error)(error.what, where=error.where or text, mend=mend) from None
