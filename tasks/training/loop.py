"""The training loop: read it from top to bottom."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.models.fcos import FCOS, Target
from tasks.training.augment import sample
from tasks.training.judge import Judge
from tasks.training.pictures import Pictures
from tasks.training.settings import Training
from tasks.training.state import Average, State, load_state, save_state

Entry = dict[str, Any]


def fit(model: FCOS, pictures: Pictures, judge: Judge, settings: Training, checkpoint: Path,
        after_epoch: Callable[[Entry], bool | None] = lambda entry: None,
        resumed: Callable[[State], None] = lambda state: None, teacher: FCOS | None = None) -> State:
    """Train `model` in place; it ends with the averaged weights of the best epoch.

    Args:
        model: any state; frozen parts are set here.
        pictures: the training split.
        judge: gives AP and AP50 of a model on the validation split.
        settings: how to train.
        checkpoint: file that a killed training goes on from.
        after_epoch: called with the entry of each new epoch; True ends the training.
        resumed: called with the state that a killed training is taken up from.
        teacher: a network whose answers are imitated beside the labels.

    Returns:
        The state at the end, with its history: one entry an epoch (`epoch`, losses, `lr`, `val_AP`, `val_AP50`).
    """
    torch.manual_seed(settings.seed)
    model.to(memory_format=torch.channels_last)
    freeze(model, settings.freeze)
    steps = math.ceil(len(pictures) / settings.batch_size)
    optimizer = make_optimizer(model, settings)
    average = Average(model, settings.ema)
    state = load_state(checkpoint) or State()
    if state.epoch:
        _restore(state, model, average, optimizer)
        resumed(state)
    scratch = copy.deepcopy(model).requires_grad_(False)
    while state.epoch < settings.epochs and not _gave_up(state, settings):
        entry = _epoch(model, pictures, settings, optimizer, average, state.epoch, steps, teacher)
        state.epoch += 1
        if state.epoch % settings.validate_every == 0 or state.epoch == settings.epochs:
            scratch.load_state_dict(average.weights)
            entry["val_AP"], entry["val_AP50"] = judge(scratch)
            if entry["val_AP"] > state.best_ap:
                state.best_ap, state.best_epoch = entry["val_AP"], state.epoch
                state.best = {k: v.clone() for k, v in average.weights.items()}
        state.history.append(entry)
        state.model, state.averaged = model.state_dict(), average.weights
        state.optimizer, state.random = optimizer.state_dict(), torch.get_rng_state()
        save_state(checkpoint, state)
        if after_epoch(entry):
            break
    model.load_state_dict(state.best)
    model.eval()
    return state


def _restore(state: State, model: FCOS, average: Average, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict(state.model)
    average.restore(state.averaged)
    optimizer.load_state_dict(state.optimizer)
    if state.random is not None:
        torch.set_rng_state(state.random)


def _gave_up(state: State, settings: Training) -> bool:
    return bool(settings.patience) and state.best_epoch > 0 and state.epoch - state.best_epoch >= settings.patience


def freeze(model: FCOS, stages: int) -> None:
    """Keep the first stages of the backbone as they are: their weights and their batch statistics."""
    for part in model.backbone.first_stages(stages):
        part.requires_grad_(False)


def make_optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """AdamW with a smaller rate for the backbone and no decay of biases, norms and scales."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            groups.setdefault((name.startswith("backbone."), weight.ndim > 1), []).append(weight)
    return torch.optim.AdamW([
        {"params": weights, "factor": settings.backbone_lr if backbone else 1.0,
         "weight_decay": settings.weight_decay if decays else 0.0}
        for (backbone, decays), weights in groups.items()
    ], lr=settings.lr, fused=True)


def scales(model: nn.Module) -> Tensor:
    """Sum of the sizes of all batch norms' scales that learn."""
    found = [m.weight.abs().sum() for m in model.modules()
             if isinstance(m, nn.BatchNorm2d) and m.weight is not None and m.weight.requires_grad]
    return torch.stack(found).sum() if found else torch.zeros(())


def rate(step: int, total: int, settings: Training) -> float:
    """Learning rate of a step: linear warm-up, then a cosine down to 1 % of the peak."""
    warmup = min(settings.warmup, total // 4)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    share = (step - warmup) / max(1, total - warmup)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def batches(pictures: Pictures, settings: Training, epoch: int) -> Iterator[tuple[Tensor, list[Target]]]:
    """The batches of an epoch: a function of seed and epoch alone."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(pictures))
    plain = epoch >= settings.epochs * (1 - settings.augment.close)
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start: start + settings.batch_size].tolist()
        samples = [sample(pictures, i, epoch, settings.seed, settings.augment, plain) for i in chosen]
        yield torch.stack([image for image, _ in samples]), [target for _, target in samples]


def _epoch(model: FCOS, pictures: Pictures, settings: Training, optimizer: torch.optim.Optimizer, average: Average,
           epoch: int, steps: int, teacher: FCOS | None) -> Entry:
    model.train()
    model.backbone.keep_frozen()
    sums: dict[str, float] = {}
    for at, (images, targets) in enumerate(batches(pictures, settings, epoch)):
        step = epoch * steps + at
        lr = rate(step, settings.epochs * steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.amp == "bf16"):
            losses = model.loss(images, targets, teacher)
        if settings.sparsity:
            losses["sparsity"] = settings.sparsity * scales(model)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss is {total.item()} in epoch {epoch + 1}, step {at + 1}: lower train.lr")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        average.update(step)
        for name, value in {**losses, "loss": total}.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
    return {"epoch": epoch + 1, "lr": lr, **{name: value / steps for name, value in sums.items()}}
