"""A training inside a stage: its data, its work folder, its live curves. `train` and `prune` share it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_value, write_atomic
from tasks.base.params import read_yaml
from tasks.base.progress import Progress
from tasks.data.table import Dataset
from tasks.models.fcos import FCOS
from tasks.training.judge import Judge
from tasks.training.loop import Entry, fit
from tasks.training.pictures import Pictures
from tasks.training.settings import Training
from tasks.training.state import State

WORK = Path(".visionmill/work")
# their labels have boxes
TRAINED = ("detect", "segment", "pairs")


class Reporter(Protocol):
    """What a training tells of itself: a tracked run."""

    id: str | None

    def metrics(self, values: dict[str, Any], step: int = 0) -> None: ...


def work_folder(stage: str, key: str) -> Path:
    """Where a stage keeps what outlives a kill: outside its outputs, which DVC removes before it runs.

    The stage's code is part of the name: epochs of two versions of it would make a model that neither makes.
    """
    code = Path("code.yaml")
    digests = read_yaml(code) if code.is_file() else {}
    return WORK / f"{stage}-{digest_value([key, digests.get(stage)])[:16]}"


def forget(work: Path) -> None:
    """Remove a finished stage's work folder, and those that its killed runs with other parameters left."""
    for folder in WORK.glob(f"{work.name.rpartition('-')[0]}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def known_run(work: Path) -> str | None:
    """The run that a killed stage had begun."""
    file = work / "run"
    return file.read_text().strip() or None if file.is_file() else None


def use_threads() -> None:
    """One OpenMP thread a core that this process may use; `VISIONMILL_THREADS` says otherwise."""
    asked = os.environ.get("VISIONMILL_THREADS") or str(len(os.sched_getaffinity(0)))
    if not asked.isdigit() or not int(asked):
        raise UserError(f"VISIONMILL_THREADS is {asked!r}", mend="a number of cores, 1 or more")
    torch.set_num_threads(int(asked))
    torch.use_deterministic_algorithms(True)


def parts(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """Training and validation rows.

    Raises:
        DataError: the labels are not boxes, a split has no picture, or training has no box.
    """
    if dataset.meta.problem not in TRAINED:
        raise DataError(f"these labels are for {dataset.meta.problem!r}; what is trained here is detection of boxes",
                        where="data/split", mend="choose a dataset with boxes: visionmill data list")
    train, val = dataset.subset("train"), dataset.subset("val")
    mend = "give each split some pictures: split.fractions in params.yaml"
    for name, part in (("train", train), ("val", val)):
        if not part.images.num_rows:
            raise DataError(f"the {name} split has no picture", where="data/split", mend=mend)
    if not train.annotations.num_rows:
        raise DataError("the training split has no box", where="data/split", mend="label some of its pictures")
    return train, val


def learn(model: FCOS, dataset: Dataset, raw: Path, shape: tuple[int, int], settings: Training, work: Path,
          reporter: Reporter, teacher: FCOS | None = None) -> tuple[State, dict[str, float]]:
    """Train with live curves and time left; goes on from the checkpoint in `work` when there is one.

    Returns:
        The state at the end, and the score of the best F1 on the validation split by class.

    Raises:
        UserError: the loss is not finite.
    """
    write_atomic(work / "run", reporter.id or "")
    train, val = parts(dataset)
    pictures = Pictures(raw, train, shape, settings.cache_mb, work / "pictures", settings.disk_mb)
    judge = Judge(raw, val, shape)
    progress = Progress(settings.epochs, "epoch", every=0)

    def tell(entry: Entry) -> None:
        reporter.metrics({k: v for k, v in entry.items() if k != "epoch"}, step=entry["epoch"])
        score = f", validation AP {entry['val_AP']:.3f}, AP50 {entry['val_AP50']:.3f}" if "val_AP" in entry else ""
        progress.step(f"loss {entry['loss']:.3f}{score}")

    try:
        state = fit(model, pictures, judge, settings, work / "checkpoint.pt", tell, _resumed(progress, reporter),
                    teacher)
    except FloatingPointError as error:
        raise UserError(str(error), where="params.yaml: lr", mend="visionmill configure train.lr=...") from None
    return state, judge.thresholds(model)


def _resumed(progress: Progress, reporter: Reporter) -> Callable[[State], None]:
    def tell(state: State) -> None:
        print(f"resumed at epoch {state.epoch + 1}")
        progress.total -= state.epoch
        for entry in state.history:
            reporter.metrics({k: v for k, v in entry.items() if k != "epoch"}, step=entry["epoch"])

    return tell
