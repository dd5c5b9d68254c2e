"""A model folder pruned by a threshold into another model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from tasks.base.errors import UserError
from tasks.base.files import folder_atomic, write_json
from tasks.compress.layers import layer_table
from tasks.compress.pruning import macs, parameters, protected
from tasks.compress.tlt import Settings, tlt_prune
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.store import load_model, save_model
from tasks.registry.versions import resolve_model


def prune_folder(model: str, settings: Settings, out: Path) -> dict[str, Any]:
    """Prune a model folder or a registered version's trained model; nothing is trained.

    Returns:
        parameters and MACs before and after, and kept_parameters, TLT's pruning ratio, 0..1.

    Raises:
        UserError: `out` is there already, the model is an exported file, or the threshold removes a whole layer.
    """
    if out.exists():
        raise UserError("the folder is there already", where=out, mend="--out another one")
    source = resolve_model(model, "trained")
    if source.is_file():
        raise UserError("an exported file cannot be pruned: its channels are fixed", where=source,
                        mend="name the model folder that it was exported from")
    before, structure = load_model(source)
    example = torch.zeros(1, 3, structure.height, structure.width, dtype=torch.uint8)
    pruned, decisions = tlt_prune(
        before, example, settings, tuple(protected(before, ())), unwrapped_parameters=[("head.scales", 0)],
        output_transform=lambda answer: answer[0].sum() + answer[1].sum())
    after = cast(FCOS, pruned)
    shape = structure.height, structure.width
    said: dict[str, Any] = {"parameters_before": parameters(before), "parameters_after": parameters(after),
            "kept_parameters": parameters(after) / parameters(before),
            "macs_before": macs(before, *shape), "macs_after": macs(after, *shape), "settings": settings.model_dump()}
    with folder_atomic(out) as folder:
        save_model(folder, replace(structure, plan=read_plan(after)), after.state_dict())
        write_json(folder / "prune.json", said)
        write_json(folder / "layers.json", layer_table(source, folder))
    for one in decisions:
        if len(one.keep) < one.channels:
            tied = f" and {len(one.layers) - 1} tied to it" if len(one.layers) > 1 else ""
            print(f"{one.layers[0]}{tied}: {one.channels} → {len(one.keep)}")
    print(f"Pruning ratio (pruned model / original model): {said['kept_parameters']:.3f}")
    print(f"MACs {said['macs_before'] / 1e6:,.0f} M → {said['macs_after'] / 1e6:,.0f} M; train it again before use: "
          f"visionmill configure train.init={out}")
    return said
