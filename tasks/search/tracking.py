"""A search in MLflow: one run for the study, and one with curves below it for each trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.files import write_atomic
from tasks.registry.runs import StageRun, stage_run
from tasks.search.plan import Plan
from tasks.search.space import lay_over, suggest

if TYPE_CHECKING:
    from optuna.trial import Trial


@contextmanager
def study_run(plan: Plan, folder: Path, workspace: Path) -> Iterator[StageRun]:
    """The run of the whole study; a later call for the same study goes on with it."""
    known = folder / "run"
    resume = known.read_text(encoding="utf-8").strip() if known.is_file() else None
    params = {"search": plan.settings.model_dump(), "train": plan.base.model_dump()}
    with stage_run("sweep", line=plan.key()[:32], params=params, record=folder / "runs" / "sweep.json",
                   resume=resume or None, workspace=workspace) as run:
        write_atomic(known, run.id or "")
        run.dataset("split", plan.data)
        yield run


@contextmanager
def trial_run(trial: Trial, plan: Plan, folder: Path, parent: str | None, workspace: Path) -> Iterator[StageRun]:
    """The run of one trial below the study's; a trial that is taken up goes on with its own."""
    values = suggest(trial, plan.space)
    tags = {"visionmill.trial": str(trial.number), "visionmill.study": plan.name}
    if parent:
        tags["mlflow.parentRunId"] = parent
    with stage_run(f"trial {trial.number}", line=plan.key()[:32], params=lay_over(plan.base, values).model_dump(),
                   record=folder / "runs" / f"trial-{trial.number}.json", resume=trial.user_attrs.get("run"),
                   tags=tags, workspace=workspace) as run:
        trial.set_user_attr("run", run.id)
        yield run
