"""A search from end to end: trial after trial, what is said of each, and what is tracked."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.progress import duration
from tasks.search import study as store
from tasks.search.objective import Learner, run_trial
from tasks.search.plan import Plan, folder_of, write_plan
from tasks.search.tracking import study_run, trial_run

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


class Search:
    """A study that is open for more trials; one process at a time may have it open.

    Args:
        plan: what is searched.
        learner: the training.
        workspace: its files lie in the workspace's `.visionmill/sweep/NAME`.

    Use it as a context manager: the run that is tracked ends with it.
    """

    def __init__(self, plan: Plan, learner: Learner, workspace: Path = Path()) -> None:
        self.plan, self.learner, self.workspace = plan, learner, workspace
        self.folder = folder_of(plan, workspace)
        self.study = store.open_study(plan, self.folder)
        write_plan(plan, self.folder)
        self.start, self.here = time.monotonic(), 0

    def __enter__(self) -> Search:
        self._stack = ExitStack()
        self.tracked = self._stack.enter_context(study_run(self.plan, self.folder, self.workspace))
        return self

    def __exit__(self, *problem: object) -> bool | None:
        return self._stack.__exit__(*problem)  # type: ignore[arg-type]

    def next(self) -> Trial | None:
        """The trial to run now, None when all are done."""
        return store.next_trial(self.study, self.plan)

    def run(self, trial: Trial) -> FrozenTrial:
        """Run one trial and say how it went."""
        with trial_run(trial, self.plan, self.folder, self.tracked.id, self.workspace) as run:
            done = run_trial(self.study, trial, self.plan, self.learner, self.folder / f"trial-{trial.number}", run)
            run.tags({"visionmill.trial_state": done.state.name.lower()})
        best = store.ranking(self.study)
        if best:
            self.tracked.metrics({f"best_{self.plan.settings.metric}": best[0].value}, step=trial.number)
        self.here += 1
        print(self.line(done), flush=True)
        return done

    def line(self, trial: FrozenTrial) -> str:
        """`trial 3/20: val_AP 0.412, best 0.455 (trial 1), about 12 min left`."""
        total, done = self.plan.settings.trials, len(store.finished(self.study))
        left = (time.monotonic() - self.start) / max(self.here, 1) * max(total - done, 0)
        best = store.ranking(self.study)
        parts = [f"trial {trial.number + 1}/{total}: {outcome(trial, self.plan)}"]
        parts += [f"best {best[0].value:.3f} (trial {best[0].number + 1})"] if best else []
        return ", ".join([*parts, f"about {duration(left)} left" if done < total else "all done"])


def outcome(trial: FrozenTrial, plan: Plan) -> str:
    """How one trial ended, in words."""
    if trial.value is None:
        return str(trial.user_attrs.get("note") or "failed")
    said = f"{plan.settings.metric} {trial.value:.3f}"
    if "note" in trial.user_attrs:
        return f"{said}, then {trial.user_attrs['note']}"
    pruned = trial.state.name == "PRUNED"
    return f"{said}, pruned after {store.epochs_of(trial)} of {plan.base.epochs} epochs" if pruned else said
