"""From the words of a command to a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tasks.base.errors import UserError
from tasks.base.files import digest_value
from tasks.labelling.teachers.found import FLOOR, Teacher

PLUGIN = "plugin:"
# `sam:` finds no boxes, and says so
PROMPTED = ("prompted:", "grounding-dino:", "sam:")


def open_teacher(text: str, classes: list[str], mapping: Mapping[str, str] | None = None, *, workspace: Path,
                 drop_rest: bool = False, join: bool = False, threads: int | None = None,
                 description: Path | str | None = None, weights: Path | None = None) -> Teacher:
    """Open what labels.

    Args:
        text: `models:/NAME@ALIAS`; a file or a folder that the line made; an entry of conf/import; any .onnx file,
            with `description`; `grounding-dino:FOLDER`, which is told what to look for; `plugin:NAME`.
        classes: of the pool, in the order of class ids; where it has none, those of the workspace, the map or the
            teacher become them.
        mapping: a class of the teacher → one of the pool, `-` for none; by name when None.
        drop_rest, join: the map may leave classes out; may make one class of several.
        threads: cores to use; all of them when None.
        weights: the file of a catalogue entry, where VISIONMILL_MIRROR has none.

    Raises:
        UserError: no such model, a description that does not fit it, a map that needs a word, or something is not
            installed; the message says which.
    """
    if text.startswith(PLUGIN):
        opened: Teacher = import_module("tasks.plugins.labeller").open_plugin(
            text.removeprefix(PLUGIN), classes, workspace, mapping, drop_rest, join)
        return opened
    if text.startswith(PROMPTED):
        prompted: Teacher = import_module("tasks.labelling.teachers.prompted").open_prompted(
            text, classes, mapping, workspace=workspace, drop_rest=drop_rest, join=join, threads=threads)
        return prompted
    return _detecting(text, classes, mapping, workspace, drop_rest, join, threads, description, weights)


def with_masks(teacher: Teacher, text: str, *, workspace: Path, threads: int | None = None) -> Teacher:
    """The same boxes with outlines that the model `sam:FOLDER` draws.

    Raises:
        UserError: the library or the weights are missing.
    """
    from tasks.labelling.teachers.masking import MaskingTeacher

    masker = import_module("tasks.labelling.teachers.prompted").open_masker(text, workspace, threads=threads)
    return MaskingTeacher(teacher, masker)


def _detecting(text: str, classes: list[str], mapping: Mapping[str, str] | None, workspace: Path, drop_rest: bool,
               join: bool, threads: int | None, description: Path | str | None, weights: Path | None) -> Teacher:
    from tasks.labelling.teachers.detecting import DetectingTeacher
    from tasks.labelling.teachers.finding import find_place
    from tasks.labelling.teachers.mapping import map_classes
    from tasks.runtime.backends.description import describe

    place = find_place(text, workspace, description, weights)
    told = describe(place.file)
    if told.problem != "detect":
        raise UserError(f"{place.name} names whole pictures, it finds no boxes", where=place.file,
                        mend="take a detector")
    mapped = map_classes(told.classes, classes, mapping, name=place.name, workspace=workspace, drop_rest=drop_rest,
                         join=join)
    mapped.notes[:0] = place.notes
    digest = digest_value([place.digest, mapped.names, mapped.to.tolist(), FLOOR])
    return DetectingTeacher(place.file, mapped, name=place.name, digest=digest, threads=threads)
