"""From the words of a command to a model: which file, and the scores that count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.base.errors import DataError, UserError, nearest
from tasks.base.files import read_json
from tasks.metrics.targets import chosen_targets
from tasks.registry.versions import resolve_model
from tasks.runtime.detector import Detector
from tasks.runtime.runtimes import missing, runtime_of

DEFAULT_THRESHOLD = 0.5
BUNDLE = "bundle.json"


def find_model(model: str | None, workspace: Path = Path()) -> Path:
    """The file or the folder to open.

    Args:
        model: a file, a model folder, a bundle, or `models:/NAME@ALIAS`; the workspace's own when None.
        workspace: where the default and the registry are looked for.

    Raises:
        UserError: there is none; a bundle that was changed, or is not made for pictures as they are.
    """
    if model is None:
        return default_model(workspace)
    found = resolve_model(model, "deployed", workspace)
    return _in_bundle(found) if (found / BUNDLE).is_file() else found


def _in_bundle(folder: Path) -> Path:
    from tasks.bundle.make import check_bundle

    check_bundle(folder)
    told = read_json(folder / BUNDLE)
    if told["input"]["dtype"] != "uint8":
        raise UserError(f"this bundle is for {told['for']}: its model takes {told['input']['dtype']}", where=folder,
                        mend="run it there, or use its own predict.py; visionmill bundle without --for fits here")
    return folder / told["model"]


def default_model(workspace: Path = Path()) -> Path:
    """The pruned file of a workspace for one of its export targets that can run here, INT8 ones first, else its pruned
    or trained model.

    Raises:
        UserError: nothing has been made yet.
    """
    made = [f"exports/{target}/pruned.onnx" for target in reversed(chosen_targets(workspace / "params.yaml"))]
    for name in (*sorted(made, key=lambda name: "int8" not in name), "models/pruned", "models/trained"):
        if (workspace / name).exists() and _runs_here(workspace / name):
            return workspace / name
    raise UserError("there is no model in this workspace yet", where=workspace.resolve(),
                    mend="visionmill run, or name one: --model FILE or models:/NAME@champion")


def _runs_here(path: Path) -> bool:
    try:
        return missing(*runtime_of(path)) is None
    except DataError:
        return True  # opening it says what is wrong with it


def thresholds(detector: Detector, asked: Sequence[str]) -> np.ndarray:
    """Score thresholds float32 [K] from `0.5` and `NAME=0.3` in any order; the model's own where nothing is asked.

    Raises:
        UserError: an unknown class or no number in 0..1.
    """
    own = {name: detector.thresholds.get(name, DEFAULT_THRESHOLD) for name in detector.classes}
    named: dict[str, float] = {}
    for text in asked:
        name, _, number = text.rpartition("=")
        value = _number(number, text)
        if not name:
            own = dict.fromkeys(own, value)
        elif name in own:
            named[name] = value
        else:
            guess = nearest(name, own)
            raise UserError(f"the model knows no class {name!r}", where=f"--threshold {text}",
                            mend=f"did you mean {guess!r}?" if guess else f"classes: {', '.join(own)}")
    return np.asarray([named.get(name, own[name]) for name in detector.classes], dtype=np.float32)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"a threshold is a number from 0 to 1, got {text!r}", where=f"--threshold {whole}",
                        mend="--threshold 0.5, or for one class --threshold NAME=0.3")
    return value
