"""Weights from elsewhere that fit one of our presets become a model folder; what does not fit is listed, never halved.

Three ways to fit: a whole detector of ours; a backbone by its names in timm or torchvision, with or without its
classifier; a backbone whose tensors have other names in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import presets
from tasks.base.errors import UserError
from tasks.base.params import check

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.models.fcos import FCOS
    from tasks.models.preset import DetectorPreset

    State = dict[str, Tensor]

KIND = "model"
LAST = "head.classification.cls_logits.weight"  # one row a class
SHOWN = 4  # names of each kind in a message
COUNTERS = "num_batches_tracked"  # older files do not have them, and nothing reads them


@dataclass(frozen=True)
class Fit:
    """How a state lies beside a network's: `state` under the network's names where it fits, else what differs."""

    state: State | None
    missing: list[str]
    unexpected: list[str]
    shapes: list[str]

    def differences(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def said(self) -> str:
        """The three lists in words, each cut after a few names."""
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.shapes}
        return "; ".join(f"{len(names)} {word}: {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"
                         for word, names in parts.items() if names)


def preset_of(name: str, workspace: Path = Path()) -> DetectorPreset:
    """The network of a preset in conf/model/."""
    from tasks.models.preset import DetectorPreset

    told = presets.load(KIND, name, workspace)
    return check(DetectorPreset, told.get("train", {}).get("model"), f"conf/{KIND}/{name}.yaml: train.model")


def whole(state: State, preset: DetectorPreset, classes: int, size: tuple[int, int]) -> Fit:
    """A state beside the whole network of a preset."""
    from tasks.models.fcos import FCOS

    return lay(state, FCOS(preset, classes, *size).state_dict())


def backbone(state: State, name: str) -> Fit:
    """A state beside the classification network `name`, whose classifier may be left out or be of other classes."""
    import timm

    from tasks.models.backbone import Backbone

    network: Any = timm.create_model(name)
    own, last = network.state_dict(), f"{network.default_cfg['classifier']}."
    body = {key: value for key, value in own.items() if not key.startswith(last)}
    without = {key: value for key, value in state.items() if f".{last}" not in f".{key}"}
    tried = [lay(without, body), lay(state, Backbone(name).body.state_dict()), _in_order(state, own),
             _in_order(state, body)]
    return next((fit for fit in tried if fit.state is not None), tried[0])


def lay(state: State, own: State) -> Fit:
    """A state under the names of `own`; what all of its names begin with (`module.`) may be dropped.

    What only some begin with may not: the backbone of another detector would be half of it.
    """
    tried = [_beside(state, own)]
    while len(firsts := {key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.removeprefix(f"{next(iter(firsts))}."): value for key, value in state.items()}
        tried.append(_beside(state, own))
    return min(tried, key=Fit.differences)


def _beside(state: State, own: State) -> Fit:
    missing = sorted(key for key in own if key not in state and not key.endswith(COUNTERS))
    unexpected = sorted(key for key in state if key not in own)
    shapes = [f"{key} {list(state[key].shape)} instead of {list(own[key].shape)}" for key in sorted(own)
              if key in state and state[key].shape != own[key].shape]
    fits = not (missing or unexpected or shapes)
    return Fit({key: state.get(key, own[key]) for key in own} if fits else None, missing, unexpected, shapes)


def _in_order(state: State, own: State) -> Fit:
    """Other names in the same order: a wrong order would show as another shape, somewhere."""
    nothing = Fit(None, sorted(own), sorted(state), [])
    theirs = [value for key, value in state.items() if not key.endswith(COUNTERS)]
    names = [key for key in own if not key.endswith(COUNTERS)]
    if [value.shape for value in theirs] != [own[key].shape for key in names]:
        return nothing
    return Fit({**own, **dict(zip(names, theirs, strict=True))}, [], [], [])


def build(state: State, preset: DetectorPreset, size: tuple[int, int], classes: int | None,
          file: Path, workspace: Path = Path()) -> tuple[FCOS, str]:
    """The network with the weights in it, and what was loaded: `detector` or `backbone`.

    Raises:
        UserError: they fit neither; what differs is listed, and the presets that would fit.
    """
    import torch

    from tasks.models.fcos import FCOS
    from tasks.models.weights import load_backbone

    rows = next((value.shape[0] for key, value in state.items() if key.endswith(LAST) and value.ndim), None)
    detector = whole(state, preset, rows or classes or 1, size)
    if detector.state is not None:
        network = FCOS(preset, rows or classes or 1, *size)
        network.load_state_dict(detector.state)
        return network.eval(), "detector"
    body = backbone(state, preset.backbone)
    if body.state is None:
        nearer = detector if rows is not None or detector.differences() < body.differences() else body
        raise UserError(f"the weights do not fit {preset.backbone}: {nearer.said()}", where=file,
                        mend=_others(state, size, workspace))
    torch.manual_seed(0)
    network = FCOS(preset, classes or 1, *size)
    load_backbone(network.backbone, body.state)
    return network.eval(), "backbone"


def fitting(state: State, size: tuple[int, int], workspace: Path = Path()) -> list[str]:
    """The presets that these weights fit, by name."""
    found, seen = [], {}
    rows = next((value.shape[0] for key, value in state.items() if key.endswith(LAST) and value.ndim), None)
    for name in presets.names(KIND, workspace):
        preset = preset_of(name, workspace)
        if preset.backbone not in seen:
            seen[preset.backbone] = backbone(state, preset.backbone).state is not None
        if seen[preset.backbone] or (rows and whole(state, preset, rows, size).state is not None):
            found.append(name)
    return found


def _others(state: State, size: tuple[int, int], workspace: Path) -> str:
    names = fitting(state, size, workspace)
    if names:
        return f"they fit: --preset {' or '.join(names)}"
    return "they are of another network than all presets: export it to ONNX and import that"


def origin(preset: str, file: Path, loaded: str, digest: str) -> dict[str, Any]:
    """What a model folder says of where its weights are from."""
    return {"preset": preset, "source": file.name, "sha256": digest, "loaded": loaded, "family": "fcos",
            "title": f"{file.stem} as {preset}", "licence": None, "homepage": None}
