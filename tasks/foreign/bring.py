"""A model from elsewhere becomes files of ours: an ONNX file of our contract, or a model folder and its ONNX file."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_value, folder_atomic, write_json
from tasks.foreign.description import Description, classes_of, distinct, known, read_description

if TYPE_CHECKING:
    from tasks.foreign.reading import Opened

MIRROR = "VISIONMILL_MIRROR"
ONNX = (".onnx",)
# what every file of our contract says of itself
OURS = {"classes", "thresholds", "height", "width", "line", "problem", "output"}
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".th", ".pkl")


@dataclass(frozen=True)
class Imported:
    """What was made.

    Attributes:
        folder: holds `model.onnx` and `imported.json`; with weights also `trained/` (model.json, model.safetensors).
        title: for people.
        facts: what `imported.json` says: sha256, source, licence, description, what was loaded.
        classes: names in the order of class ids.
        trainable: False where only the ONNX file is there.
        notes: sentences that a person should read.
    """

    folder: Path
    title: str
    facts: dict[str, Any]
    classes: list[str]
    line: str
    problem: str
    trainable: bool
    notes: list[str] = field(default_factory=list)


def bring(source: str, out: Path, *, preset: str | None = None, classes: list[str] | None = None,
          size: tuple[int, int] | None = None, workspace: Path = Path()) -> Imported:
    """Make the files of a model from elsewhere in the folder `out`, which is replaced as a whole.

    Args:
        source: an .onnx file, a file of weights, or a catalogue entry of conf/import/ whose file the mirror has.
        preset: for ONNX a name in conf/import/ or a .yaml file of one's own, else a name in conf/model/.
        classes: names in the order of the model's outputs, where the description does not know them.
        size: height and width in pixels, where neither file nor description says.

    Raises:
        UserError: nothing to read, nothing that fits, or unsafe; the message says which and what would help.
    """
    file, preset = find(source, preset, workspace)
    if classes is not None:
        distinct(classes, "the classes given")
    if file.suffix.lower() in ONNX:
        return _bring_onnx(file, out, preset, classes, size, workspace)
    if file.is_dir() or file.suffix.lower() in WEIGHTS:
        from tasks.foreign.bring_weights import bring_weights

        return bring_weights(file, out, preset=preset, classes=classes, size=size, workspace=workspace)
    raise UserError(f"{file.suffix or 'a file without suffix'!r} is not read", where=file,
                    mend=f"an .onnx file, or weights: {' '.join(WEIGHTS)}")


def find(source: str, preset: str | None, workspace: Path = Path()) -> tuple[Path, str | None]:
    """The file that is meant, and its description's name where the source is a catalogue entry.

    Raises:
        UserError: no such file; or an entry whose file is not on this machine, or has been changed.
    """
    if Path(source).exists():
        return Path(source), preset
    entries = known(workspace)
    entry = entries.get(source)
    if entry is None or entry.file is None:
        with_file = ", ".join(sorted(name for name, one in entries.items() if one.file))
        raise UserError("no such model", where=source,
                        mend=f"a file, or an entry of the catalogue: {with_file}")
    folder = os.environ.get(MIRROR)
    found = Path(folder or ".") / "weights" / entry.file
    if folder is None or not found.is_file():
        raise UserError(f"the weights of {source} are not on this machine", where=found if folder else MIRROR,
                        mend=f"fetch them from {entry.homepage}, then: visionmill import-model FILE --preset {source}")
    if entry.sha256 and digest_file(found) != entry.sha256:
        raise UserError(f"the weights of {source} are not those of the catalogue", where=found,
                        mend="fetch them again")
    return found, preset or source


def _bring_onnx(file: Path, out: Path, preset: str | None, classes: list[str] | None, size: tuple[int, int] | None,
                workspace: Path) -> Imported:
    from tasks.foreign.decode import Misfit
    from tasks.foreign.reading import read_onnx, try_out

    proto = read_onnx(file)
    digest = digest_file(file)
    told = {entry.key: entry.value for entry in proto.metadata_props}
    if preset is None and set(told) >= OURS:
        return _as_it_is(file, out, told, classes, digest)
    if preset is None:
        preset = _by_digest(digest, workspace)
    description = read_description(preset, workspace) if preset else None
    if description is None:
        raise _which(proto, file, size, workspace)
    description = _sized(description, size)
    opened = try_out(proto, description.input, file)
    origin = {"preset": Path(str(preset)).name, "sha256": digest}
    try:
        return _write(file, out, description, opened, classes, origin, workspace)
    except Misfit as error:
        if better := _fitting(opened, workspace):
            raise UserError(error.what, where=error.where, mend=f"--preset {' or '.join(better)} would fit") from None
        raise


def _as_it_is(file: Path, out: Path, told: dict[str, str], classes: list[str] | None, digest: str) -> Imported:
    """A file of our own contract is copied byte for byte."""
    own = json.loads(told["classes"])
    if classes not in (None, own):
        raise UserError(f"the file says that its classes are {', '.join(own[:8])}", where=file,
                        mend="leave --classes and --labels out")
    facts = {"preset": None, "sha256": digest, "source": file.name, "title": file.stem, "licence": None,
             "homepage": None, "family": "ours", "loaded": "onnx", "classes": len(own), "height": int(told["height"]),
             "width": int(told["width"])}
    with folder_atomic(out) as folder:
        shutil.copyfile(file, folder / "model.onnx")
        write_json(folder / "imported.json", facts)
    return Imported(out, file.stem, facts, own, told["line"], told["problem"], False,
                    ["a file of ours: taken as it is; its model folder would be needed to train it on"])


def _write(file: Path, out: Path, description: Description, opened: Opened, classes: list[str] | None,
           origin: dict[str, Any], workspace: Path) -> Imported:
    from onnx.helper import set_model_props

    from tasks.compress.onnx_file import save, strip
    from tasks.foreign.wrap import metadata, wrap

    wrapped = wrap(opened, description, file)
    names = _names(classes or classes_of(description, workspace), wrapped.classes, file)
    line = digest_value([origin["sha256"], description.model_dump(mode="json"), names])[:32]
    facts = {**origin, "source": file.name, "title": description.title, "licence": description.licence,
             "homepage": description.homepage, "family": description.decoding.family, "fit": description.input.fit}
    strip(wrapped.proto)
    set_model_props(wrapped.proto, metadata(wrapped, description, names, line, facts))
    told = {**facts, "description": description.model_dump(mode="json"), "classes": len(names),
            "candidates": wrapped.candidates, "height": wrapped.size[0], "width": wrapped.size[1],
            "loaded": "onnx"}
    with folder_atomic(out) as folder:
        save(wrapped.proto, folder / "model.onnx")
        write_json(folder / "imported.json", told)
    return Imported(out, description.title, told, names, line, wrapped.problem, False, _notes(description))


def _names(names: list[str] | None, count: int, file: Path) -> list[str]:
    if names is None:
        raise UserError(f"nobody says what the {count} classes are called", where=file,
                        mend="--labels FILE (one name a line), or --classes a,b,c")
    if len(names) != count:
        raise UserError(f"the model tells {count} classes apart, the list has {len(names)} names", where=file,
                        mend="give one name for each class, in the order of the model's outputs"
                             + ("; is `background` one of them? decoding.background drops it" if count == len(names) + 1
                                else ""))
    return names


def _by_digest(digest: str, workspace: Path) -> str | None:
    return next((name for name, one in known(workspace).items() if one.sha256 == digest), None)


def _sized(description: Description, size: tuple[int, int] | None) -> Description:
    if size is None:
        return description
    changed = description.input.model_copy(update={"height": size[0], "width": size[1]})
    return description.model_copy(update={"input": changed})


def _which(proto: Any, file: Path, size: tuple[int, int] | None, workspace: Path) -> UserError:
    """What the model says, and which descriptions of the catalogue could read it; normalisation is not to be seen."""
    from tasks.foreign.description import Input
    from tasks.foreign.reading import try_out

    height, width = size or (None, None)
    opened = try_out(proto, Input(height=height, width=width), file)
    fitting = _fitting(opened, workspace)
    said = f"its outputs at {opened.size[0]} × {opened.size[1]}: {opened.said()}"
    if fitting:
        mend = f"--preset {fitting[0]}" + (f" (these fit too: {', '.join(fitting[1:])})" if fitting[1:] else "")
        return UserError(f"it is not said how this model reads and speaks; {said}", where=file,
                         mend=f"{mend}, if colours, mean and std are the model's; else a copy of conf/import/"
                              f"{fitting[0]}.yaml with its own: --preset FILE.yaml")
    return UserError(f"no description of the catalogue reads this model; {said}", where=file,
                     mend=f"write one: copy the nearest of conf/import/ ({', '.join(known(workspace))}) and give "
                          "--preset FILE.yaml")


def _fitting(opened: Opened, workspace: Path) -> list[str]:
    from tasks.foreign.wrap import fits

    return [name for name, one in known(workspace).items() if fits(opened, one)]


def _notes(description: Description) -> list[str]:
    notes = ["it can be used, measured, quantised and bundled; there are no weights that we could train"]
    if description.input.fit == "stretch":
        notes.append("it was trained on stretched pictures: the file finds where the picture ends, and stretches it")
    if description.input.fit == "letterbox" and description.input.pad != 114:
        notes.append(f"it was trained with padding {description.input.pad} and is given 114")
    return notes
