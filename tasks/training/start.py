"""Where a network's weights start: ImageNet, nothing, or an earlier model."""

from __future__ import annotations

from pathlib import Path

import torch

from tasks.base.errors import DataError
from tasks.models.fcos import FCOS
from tasks.models.store import Structure, load_model
from tasks.models.weights import imagenet, load_backbone

LAST = "head.classification.cls_logits."  # the layer that knows the classes


def start(structure: Structure, init: str, seed: int, earlier: Path | None) -> FCOS:
    """A network ready to be trained.

    Args:
        structure: what to build.
        init: `imagenet`, `scratch`, or the name of an earlier model whose folder is `earlier`.
        seed: fixes what is drawn.
        earlier: a folder with model.json; its classes may differ, the last layer then starts anew.

    Raises:
        DataError: the earlier model is of another architecture.
    """
    torch.manual_seed(seed)
    model = structure.build()
    if earlier is not None:
        _load_earlier(model, structure, earlier)
    elif init == "imagenet":
        load_backbone(model.backbone, imagenet(structure.preset.backbone))
    return model


def _load_earlier(model: FCOS, structure: Structure, earlier: Path) -> None:
    source, told = load_model(earlier)
    state = source.state_dict()
    if told.classes != structure.classes:
        print(f"the classes differ from those of {earlier.name}: the classification layer starts anew")
        state = {key: value for key, value in state.items() if not key.startswith(LAST)}
    own = model.state_dict()
    wrong = [key for key, value in state.items() if key not in own or own[key].shape != value.shape]
    if wrong:
        raise DataError(f"the earlier model does not fit: {wrong[0]} and {len(wrong) - 1} more differ", where=earlier,
                        mend=f"start from the unpruned model, or train.model.backbone: {told.preset.backbone}")
    model.load_state_dict(state, strict=False)
