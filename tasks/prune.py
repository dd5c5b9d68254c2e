"""Stage `prune`: remove channels and train what is left, step by step, until a budget is met."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.base.files import digest_tree, digest_value, folder_atomic, write_atomic, write_json
from tasks.base.params import Params as Base
from tasks.compress.budget import Budget, cost_of, needs_graph
from tasks.compress.climb import Climb
from tasks.compress.frontier import Point, pursue, table
from tasks.compress.importance import Importance
from tasks.compress.layers import layer_table, timed_points
from tasks.compress.pruning import How
from tasks.compress.sensitivity import Sensitivity, first, scan
from tasks.data.table import Dataset, read_dataset
from tasks.models.fcos import FCOS
from tasks.models.store import Structure, load_model
from tasks.registry.runs import StageRun, stage_run
from tasks.training.judge import Judge
from tasks.training.session import forget, known_run, parts, use_threads, work_folder
from tasks.training.settings import Training


class Params(Base):
    """Section `prune`.

    Attributes:
        budget: when to stop.
        importance, scope, round_to, exclude: which channels go; see tasks.compress.pruning.How.
        iterations: steps of pruning and retraining towards a limit of size.
        step: share of the parameters that each step keeps when only the loss of AP is limited.
        sensitivity: what each layer costs, measured before.
        distil: what is left imitates the answers of the whole network, beside learning from the labels.
        retrain: how what is left is trained; nothing is frozen.
    """

    budget: Budget = Budget(kept_parameters=0.3)
    importance: Importance = "magnitude-l2"
    scope: Literal["layer", "global"] = "layer"
    round_to: Literal[8, 16] = 16
    exclude: list[str] = []
    iterations: int = Field(1, ge=1)
    step: float = Field(0.7, gt=0, lt=1)
    sensitivity: Sensitivity = Sensitivity()
    distil: bool = True
    retrain: Training = Training(epochs=20, backbone_lr=1.0, freeze=0)

    @model_validator(mode="before")
    @classmethod
    def _keep_is_a_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and "keep" in values:
            raise ValueError(f"prune.keep is now prune.budget: {{kept_parameters: {values['keep']}}}")
        return values


def run(params: Params, *, raw: Path, data: Path, model: Path, out: Path, run: Path) -> None:
    """Prune and retrain the model of folder `model`; writes a model folder with its frontier to `out`.

    `prune.json` has the facts of the model that was taken, `frontier.json` those of every point, `layers.json` channels
    and MACs of every layer before and after, `sensitivity.json` the scan. Points outlive the stage in the work folder:
    another budget trains nothing again.

    Raises:
        GateRefused: the budget cannot be met; every point is in the message.
    """
    use_threads()
    dataset = read_dataset(data)
    parts(dataset)
    before, structure = load_model(model)
    shape = structure.height, structure.width
    same = params.model_dump(exclude={"budget": {"max_ap_loss", "kept_parameters", "macs", "file_mb", "peak_ram_mb"},
                                      "iterations": True, "step": True})
    key = digest_value([same, digest_tree(model), digest_tree(data)])
    work, kept = work_folder("prune", key), work_folder("frontier", key)
    with stage_run("prune", line=structure.line, params=params.model_dump(), record=run,
                   resume=known_run(work)) as told:
        write_atomic(work / "run", told.id or "")
        judge = Judge(raw, dataset.subset("val"), shape)
        cost = cost_of(structure, params.budget.precision, needs_graph(params.budget.limits()))
        whole = Point("whole", model, cost(before), *judge(before))
        scanned, how = _scanned(params, before, dataset, raw, shape)
        climb = Climb(structure, before.requires_grad_(False) if params.distil else None, dataset, raw, how,
                      params.retrain, cost, kept, work, told)
        taken, points = pursue(params.budget, whole, climb, params.iterations, params.step)
        _save(out, structure, whole, taken, points, scanned)
        _tell(told, whole, taken, points, out)
    forget(work)
    for other in kept.parent.glob("frontier-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


def _scanned(params: Params, model: FCOS, dataset: Dataset, raw: Path,
             shape: tuple[int, int]) -> tuple[list[dict[str, Any]], How]:
    asked = params.sensitivity
    how = How(params.importance, params.scope, params.round_to, tuple(params.exclude))
    if not asked.pictures:
        return [], how
    found = scan(model, Judge(raw, first(dataset.subset("val"), asked.pictures), shape), asked.cut, shape, how)
    for one in found[:5]:
        print(f"sensitive: {one['layer']}: {one['off']} of {one['channels']} channels off cost {one['loss']:.4f} AP")
    hurt = [one["layer"] for one in found if asked.protect is not None and one["loss"] > asked.protect]
    return found, How(params.importance, params.scope, params.round_to, (*params.exclude, *hurt))


def _save(out: Path, structure: Structure, whole: Point, taken: Point, points: list[Point],
          scanned: list[dict[str, Any]]) -> None:
    with folder_atomic(out) as folder:
        for name in ("model.json", "model.safetensors", "history.json"):
            shutil.copyfile(taken.folder / name, folder / name)
        facts = taken.facts(whole)
        write_json(folder / "prune.json", {**facts, "parameters_before": whole.cost.parameters,
                                           "parameters_after": taken.cost.parameters,
                                           "macs_before": whole.cost.macs, "macs_after": taken.cost.macs})
        write_json(folder / "frontier.json", [{"taken": p.key == taken.key, **p.facts(whole)} for p in points])
        write_json(folder / "layers.json", layer_table(whole.folder, taken.folder))
        if scanned:
            write_json(folder / "sensitivity.json", scanned)


def _tell(told: StageRun, whole: Point, taken: Point, points: list[Point], out: Path) -> None:
    times = timed_points(points)
    facts = taken.facts(whole)
    told.metrics({**facts, "latency_before_ms": times[0], "latency_after_ms": times[points.index(taken)]})
    for name in ("prune.json", "frontier.json", "layers.json"):
        told.artifact(out / name, "prune")
    print(f"Pruning ratio (pruned model / original model): {facts['kept_parameters']:.3f}")
    print(table(points))
    print(f"taken: parameters {whole.cost.parameters:,} → {taken.cost.parameters:,}, "
          f"MACs {whole.cost.macs / 1e6:,.0f} M → {taken.cost.macs / 1e6:,.0f} M, "
          f"torch latency {times[0]:.1f} → {times[points.index(taken)]:.1f} ms, "
          f"validation AP {whole.ap:.3f} → {taken.ap:.3f}")
