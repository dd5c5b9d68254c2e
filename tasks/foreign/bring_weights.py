"""A file of weights, or a model folder of ours, becomes `trained/` and its ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_tree, digest_value, folder_atomic, write_json
from tasks.foreign.bring import Imported
from tasks.foreign.states import read_state
from tasks.foreign.weights import LAST, build, fitting, origin, preset_of

if TYPE_CHECKING:
    from tasks.models.fcos import FCOS
    from tasks.models.store import Structure


def bring_weights(file: Path, out: Path, *, preset: str | None, classes: list[str] | None,
                  size: tuple[int, int] | None, workspace: Path = Path()) -> Imported:
    """Write `trained/`, `model.onnx` and `imported.json` to `out`.

    Args:
        file: weights, or a folder with model.json.
        preset: a name in conf/model/; a model folder needs none.
        classes: names in the order of the head's outputs; of a backbone alone those that it will be trained for.
        size: height and width in pixels; by the preset, square, when None.

    Raises:
        UserError: unsafe, of another network, no preset or classes said, or a list of the wrong length.
    """
    if file.is_dir():
        return _bring_folder(file, out)
    state = read_state(file)
    if preset is None:
        names = fitting(state, size or (320, 320), workspace)
        raise UserError("it is not said which network these weights are of", where=file,
                        mend=f"--preset {' or --preset '.join(names)}" if names else
                        "they fit no preset: export the model to ONNX and import that")
    if classes is None:
        raise UserError("nobody says what the classes are called", where=file,
                        mend="--labels FILE (one name a line), or --classes a,b,c")
    made, shape = _structure(preset, classes, size, workspace)
    network, loaded = build(state, made.preset, shape, len(classes), file, workspace)
    rows = network.state_dict()[LAST].shape[0]
    if rows != len(classes):
        raise UserError(f"the model tells {rows} classes apart, the list has {len(classes)} names", where=file,
                        mend="give one name for each class, in the order of the model's outputs")
    digest = digest_file(file)
    line = digest_value([digest, made.preset.model_dump(), classes, shape])[:32]
    return _write(network, replace(made, line=line), out, origin(preset, file, loaded, digest))


def _structure(preset: str, classes: list[str], size: tuple[int, int] | None,
               workspace: Path) -> tuple[Structure, tuple[int, int]]:
    from tasks.models.preset import input_shape
    from tasks.models.store import Structure

    network = preset_of(preset, workspace)
    height, width = size or input_shape(network, [])
    if height % 16 or width % 16:
        raise UserError(f"{height} × {width}: our networks take multiples of 16", where="--size",
                        mend=f"--size {max(32, round(height / 16) * 16)}x{max(32, round(width / 16) * 16)}")
    return Structure(network, classes, height, width, ""), (height, width)


def _bring_folder(folder: Path, out: Path) -> Imported:
    from tasks.models.store import load_model

    network, structure = load_model(folder)
    facts = origin("model folder", folder.resolve(), "detector", digest_tree(folder))
    return _write(network, structure, out, facts)


def _write(network: FCOS, structure: Structure, out: Path, facts: dict[str, Any]) -> Imported:
    from tasks.compress.onnx_file import write_onnx
    from tasks.models.store import save_model

    told = {**facts, "classes": len(structure.classes), "height": structure.height, "width": structure.width}
    with folder_atomic(out) as folder:
        save_model(folder / "trained", structure, network.state_dict())
        write_onnx(network, structure, folder / "model.onnx", fold=False)
        write_json(folder / "imported.json", told)
    notes = ["the head is not trained yet: it finds nothing before train.init has made a model of it"] if (
        facts["loaded"] == "backbone") else []
    return Imported(out, facts["title"], told, structure.classes, structure.line, "detect", True, notes)
