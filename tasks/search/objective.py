"""One trial: draw, train, report after every epoch, prune."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base.progress import Progress
from tasks.search.plan import Plan
from tasks.search.space import lay_over, suggest

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

Entry = dict[str, Any]


class Reporter(Protocol):
    """Where the curves of a trial go."""

    def metrics(self, values: dict[str, Any], step: int = 0) -> None: ...


class Learner(Protocol):
    """A training with checkpoints.

    It calls `after_epoch` with the entry of each new epoch and ends when that says True, and `replay` first with the
    entries of the epochs that a checkpoint in `work` already has.

    Raises:
        FloatingPointError: the loss is not finite.
    """

    def __call__(self, params: Any, work: Path, after_epoch: Callable[[Entry], bool],
                 replay: Callable[[list[Entry]], None]) -> None: ...


def draw(trial: Trial, plan: Plan) -> Any:
    """The section `train` of a trial. What was drawn is kept with it, as it is written into params.yaml later."""
    values = suggest(trial, plan.space)
    if "values" not in trial.user_attrs:
        trial.set_user_attr("values", values)
    return lay_over(plan.base, values)


def run_trial(study: Study, trial: Trial, plan: Plan, learner: Learner, work: Path, reporter: Reporter) -> FrozenTrial:
    """Train with the trial's parameters and tell the study how it went.

    The value is the best epoch's, since its weights are the ones that a training keeps. A loss that is not finite
    prunes the trial. Trial 0 is never pruned: it is what the others must beat. After an interrupt the trial stays
    open, and is taken up from its checkpoint.
    """
    from optuna.trial import TrialState

    watch = Watch(trial, plan, reporter)
    state = TrialState.PRUNED
    try:
        learner(draw(trial, plan), work, watch.after_epoch, watch.replay)
        state = TrialState.PRUNED if watch.pruned else TrialState.COMPLETE
    except Pruned:
        pass
    except FloatingPointError as error:
        trial.set_user_attr("note", str(error))
    except KeyboardInterrupt:
        trial.set_user_attr("starts", [0, 0])  # wanted by a person: does not count as a death
        raise
    done = study.tell(trial, watch.best if state == TrialState.COMPLETE else None, state=state)
    shutil.rmtree(work, ignore_errors=True)
    return done


class Pruned(Exception):
    """A trial was killed after the epoch in which the pruner would have stopped it."""


class Watch:
    """Reports epochs to the study and to the tracking, and says when to stop.

    Attributes:
        best: the best value of an epoch so far.
        pruned: whether the pruner stopped the trial.
    """

    def __init__(self, trial: Trial, plan: Plan, reporter: Reporter) -> None:
        self.trial, self.metric, self.reporter = trial, plan.settings.metric, reporter
        self.best, self.pruned = 0.0, False
        self.known = set(trial.storage.get_trial(trial._trial_id).intermediate_values)
        self.progress = Progress(plan.base.epochs, f"  trial {trial.number + 1}, epoch", every=20)

    def replay(self, entries: list[Entry]) -> None:
        self.progress.total = max(1, self.progress.total - len(entries))
        for entry in entries:
            self._report(entry)
        if entries and self._prune():
            raise Pruned

    def after_epoch(self, entry: Entry) -> bool:
        self._report(entry)
        self.progress.step(f"{self.metric} {entry[self.metric]:.3f}")
        self.pruned = self._prune()
        return self.pruned

    def _prune(self) -> bool:
        # asked for trial 0 too: its values are what others are compared with
        return self.trial.should_prune() and self.trial.number > 0

    def _report(self, entry: Entry) -> None:
        value, epoch = float(entry[self.metric]), int(entry["epoch"])
        self.best = max(self.best, value)
        if epoch not in self.known:
            self.trial.report(value, epoch)
        self.reporter.metrics({k: v for k, v in entry.items() if k != "epoch"}, step=epoch)
