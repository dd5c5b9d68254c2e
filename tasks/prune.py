"""Stage `prune`: remove channels down to a share of the parameters, then train what is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from tasks.base.files import digest_tree, digest_value, folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.compress.pruning import macs, parameters, prune_to
from tasks.data.table import read_dataset
from tasks.metrics.latency import in_turns, summary, timed
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.store import Structure, load_model, save_model
from tasks.registry.runs import StageRun, stage_run
from tasks.training.session import forget, known_run, learn, use_threads, work_folder
from tasks.training.settings import Training
from tasks.training.state import State

ROUNDS = 8


class Params(Base):
    """Section `prune`.

    Attributes:
        keep: share of the parameters to keep, at most; 1 leaves the network as it is.
        distil: what is left imitates the answers of the whole network, beside learning from the labels.
        retrain: how what is left is trained; nothing is frozen.
    """

    keep: float = Field(0.3, gt=0, le=1)
    distil: bool = True
    retrain: Training = Training(epochs=20, backbone_lr=1.0, freeze=0)


def facts(before: FCOS, after: FCOS, height: int, width: int) -> dict[str, Any]:
    """What pruning removed, as numbers."""
    counts = {"parameters_before": parameters(before), "parameters_after": parameters(after),
              "macs_before": macs(before, height, width), "macs_after": macs(after, height, width)}
    return {**counts, "kept_parameters": counts["parameters_after"] / counts["parameters_before"],
            "kept_macs": counts["macs_after"] / counts["macs_before"]}


def measured(before: FCOS, after: FCOS, height: int, width: int) -> dict[str, float]:
    """Median latency of both networks in torch at batch 1, milliseconds."""
    picture = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    with torch.inference_mode():
        times = in_turns({"before": timed(lambda: before(picture)), "after": timed(lambda: after(picture))},
                         ROUNDS)
    return {f"latency_{name}_ms": summary(seconds)["median_ms"] for name, seconds in times.items()}


def run(params: Params, *, raw: Path, data: Path, model: Path, out: Path, run: Path) -> None:
    """Prune and retrain the model of folder `model`; writes a model folder with prune.json to `out`."""
    use_threads()
    dataset = read_dataset(data)
    before, structure = load_model(model)
    key = digest_value([params.model_dump(), digest_tree(model), digest_tree(data)])
    work = work_folder("prune", key)
    with stage_run("prune", line=structure.line, params=params.model_dump(), record=run,
                   resume=known_run(work)) as told:
        after = prune_to(before, params.keep, structure.height, structure.width)
        said = facts(before, after, structure.height, structure.width)
        state, best = learn(after, dataset, raw, (structure.height, structure.width), params.retrain, work, told,
                            before.requires_grad_(False) if params.distil else None)
        _save(out, replace(structure, plan=read_plan(after), thresholds=best), state, said)
        _tell(told, {**said, **measured(before, after, structure.height, structure.width)}, state, out)
    forget(work)


def _save(out: Path, structure: Structure, state: State, said: dict[str, Any]) -> None:
    with folder_atomic(out) as folder:
        save_model(folder, structure, state.best)
        write_json(folder / "history.json", state.history)
        write_json(folder / "prune.json", said)


def _tell(told: StageRun, said: dict[str, Any], state: State, out: Path) -> None:
    told.metrics({**said, "best_epoch": state.best_epoch, "best_val_AP": state.best_ap})
    told.artifact(out / "prune.json", "prune")
    print(f"Pruning ratio (pruned model / original model): {said['kept_parameters']:.3f}")
    print(f"parameters {said['parameters_before']:,} → {said['parameters_after']:,}, "
          f"MACs {said['macs_before'] / 1e6:,.0f} M → {said['macs_after'] / 1e6:,.0f} M, "
          f"torch latency {said['latency_before_ms']:.1f} → {said['latency_after_ms']:.1f} ms, "
          f"validation AP {state.best_ap:.3f} in epoch {state.best_epoch}")
