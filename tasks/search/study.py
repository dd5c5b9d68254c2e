"""The study on disk: opened after a kill as after a good end, with a sampler that a kill does not change."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.site import read_site
from tasks.search.plan import WORK, Plan
from tasks.search.settings import Params
from tasks.search.space import as_word, current
from tasks.search.turns import away, turns_at, turns_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "journal.log"
ENOUGH = 10  # trials of a bracket before TPE's guesses are better than chance
STARTS = 3  # of a trial that dies each time in the same epoch


def open_study(plan: Plan, folder: Path) -> Study:
    """Open the study, or make it with the current parameters as trial 0.

    With a journal file call it while no other process has it open: what a killed one left half-written is mended. A
    study in the site's database may be open in several processes, on several machines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if storage_of(folder) is None:
        mend_journal(folder / JOURNAL)
    study = load_study(plan.name, folder, plan)
    with turns_of(study).choosing(study._study_id):
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial({key: as_word(current(plan.base, key)) for key in plan.space})
    return study


def storage_of(folder: Path) -> str | None:
    """Address of the database that the site names for sweeps, None for a journal file in the study's folder."""
    return read_site(folder.parents[len(WORK.parts)]).optuna


def exists(folder: Path) -> bool:
    """Whether there may be a study: a journal file is looked for, a database would have to be asked."""
    return storage_of(folder) is not None or (folder / JOURNAL).is_file()


def load_study(name: str, folder: Path, plan: Plan | None = None) -> Study:
    """The study as it is; with a plan it can be continued.

    Raises:
        UserError: the site's database cannot be reached.
    """
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = _open_storage(storage_of(folder), folder)
    pruner = make_pruner(plan.settings, plan.min_epochs, plan.base.epochs) if plan else None
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", pruner=pruner,
                               load_if_exists=True)


def _open_storage(url: str | None, folder: Path) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    import sqlalchemy

    try:
        # two processes that make its tables at once both fail
        with turns_at(url).choosing(0):
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise away(error, url) from error


def mend_journal(path: Path) -> None:
    """Cut off a line that a killed process left unfinished, and its lock: the next write would glue to the line."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("rb+") as file:
            file.truncate(len(whole))


def make_sampler(settings: Params, number: int) -> BaseSampler:
    """The sampler of one trial. Seeded by its number, so that a killed search goes on as an undisturbed one."""
    import numpy as np
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    # multivariate and constant liar are the defaults of Optuna 5
    return TPESampler(seed=seed, n_startup_trials=settings.startup_trials)


def make_pruner(settings: Params, min_epochs: int, max_epochs: int) -> BasePruner:
    from optuna.pruners import HyperbandPruner, NopPruner

    if settings.pruner == "none":
        return NopPruner()
    return HyperbandPruner(min_resource=min_epochs, max_resource=max_epochs,
                           reduction_factor=settings.epochs.reduction_factor)


def brackets(plan: Plan) -> int:
    """How many groups of trials Hyperband compares apart; 1 without it."""
    if plan.settings.pruner == "none":
        return 1
    return math.floor(math.log(plan.base.epochs / plan.min_epochs, plan.settings.epochs.reduction_factor)) + 1


def advice(plan: Plan) -> str | None:
    """Says so when there are too few trials for what was chosen."""
    count = plan.settings.trials / brackets(plan)
    if plan.settings.sampler != "tpe" or count >= ENOUGH:
        return None
    return (f"{plan.settings.trials} trials in {brackets(plan)} brackets are about {count:.0f} each: TPE learns from "
            f"about {ENOUGH}, so most are drawn nearly at random; --trials {ENOUGH * brackets(plan)} is better")


def next_trial(study: Study, plan: Plan) -> Trial | None:
    """The trial to run now: one that a kill cut short, else a new one; None when all are done or being done.

    A trial that died in the same epoch three times is marked as failed. What another worker is at is left to it.
    """
    turns = turns_of(study)
    turns.give_back()
    with turns.choosing(study._study_id):
        trial = _cut_short(study, plan) or _new_trial(study, plan)
        if trial is not None:
            turns.take(trial._trial_id)
        return trial


def _cut_short(study: Study, plan: Plan) -> Trial | None:
    from optuna.trial import Trial, TrialState

    for cut in study.get_trials(states=(TrialState.RUNNING,)):
        if not turns_of(study).take(cut._trial_id):
            continue
        study.sampler = make_sampler(plan.settings, cut.number)
        trial = Trial(study, cut._trial_id)  # the public way, ask(), only makes new ones
        if _count_start(trial) <= STARTS:
            return trial
        study.tell(cut.number, state=TrialState.FAIL)
    return None


def _new_trial(study: Study, plan: Plan) -> Trial | None:
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    ready = [t for t in trials if t.state == TrialState.WAITING]
    if not ready and len(trials) >= plan.settings.trials:
        return None
    study.sampler = make_sampler(plan.settings, ready[0].number if ready else len(trials))
    trial = study.ask()
    _count_start(trial)
    return trial


def _count_start(trial: Trial) -> int:
    """Note that a trial starts; returns how often it has started in this epoch."""
    epoch = max(trial.storage.get_trial(trial._trial_id).intermediate_values, default=0)
    before, count = trial.user_attrs.get("starts", (epoch, 0))
    count = count + 1 if before == epoch else 1
    trial.set_user_attr("starts", [epoch, count])
    return count


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that will not run again: complete, pruned and failed ones."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def ranking(study: Study) -> list[FrozenTrial]:
    """Complete trials, the best one first; of equal ones the earlier."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))


def chosen(trial: FrozenTrial) -> dict[str, Any]:
    """The values that a trial was trained with, by their dotted names."""
    return trial.user_attrs["values"]


def epochs_of(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=0)
