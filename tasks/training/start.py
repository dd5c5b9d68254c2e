"""Where a network's weights start: ImageNet, nothing, or an earlier model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tasks.base.errors import DataError
from tasks.models.fcos import FCOS
from tasks.models.store import Structure, load_model, load_structure
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


def shaped_like(structure: Structure, earlier: Path | None) -> Structure:
    """The structure with the channels of a pruned earlier model, so that what is left of it trains on."""
    told = load_structure(earlier) if earlier is not None else None
    if told is None or not told.plan:
        return structure
    parts = {"image_size": structure.preset.image_size, "aspect": structure.preset.aspect}
    if told.preset.model_copy(update=parts) != structure.preset:
        raise DataError("the earlier model is a pruned one of another kind", where=earlier,
                        mend=f"visionmill configure train.model.backbone={told.preset.backbone}, and the same head")
    plan = {name: dict(shape) for name, shape in told.plan.items()}
    plan[LAST.rstrip(".")]["out_channels"] = len(structure.classes)
    return replace(structure, plan=plan)


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
