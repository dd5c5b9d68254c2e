"""The flow that searches: each trial as one task, one after the other, on the line's split and beside its outputs.

    python -P -m flows.sweep '{"changes": {"trials": 20}}'      in a workspace; `visionmill sweep` does it supervised
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import bookkeeping as book
from flows.commands.sweep import DATA, NEXT, RAW, plan_of
from flows.outcome import end_with, run_flow
from tasks.data.table import read_dataset
from tasks.registry.versions import resolve_model
from tasks.search import summary
from tasks.search.search import Search, outcome
from tasks.search.trainer import Trainer
from tasks.train import Params, structure_of
from tasks.training.session import use_threads


@flow(name="sweep", validate_parameters=False, log_prints=False)
def sweep(workspace: str = ".", preset: str | None = None, changes: dict[str, Any] | None = None) -> None:
    """Run the trials that are still to do; those that a kill cut short first.

    Args:
        workspace: folder with `dvc.yaml` and the line's split.
        preset, changes: see `tasks.search.settings.load_settings`.
    """
    root = Path(workspace).resolve()
    book.start(root)
    use_threads()
    plan = plan_of(root, preset, changes or {})
    with Search(plan, trainer(root, plan.base), root) as search:
        while (trial := search.next()) is not None:
            _trial.with_options(task_run_name=f"trial {trial.number + 1}")(search, trial)
    print(f"\n{summary.table(search.study, plan)}\n{NEXT}", flush=True)


def trainer(root: Path, base: Params) -> Trainer:
    """The line's training on the line's split."""
    earlier = None if base.init in ("imagenet", "scratch") else resolve_model(base.init, "trained", root)
    return Trainer(root / RAW, read_dataset(root / DATA), structure_of, earlier)


@task(name="trial", cache_policy=NO_CACHE, persist_result=False)
def _trial(search: Search, trial: Any) -> State[None]:
    said = outcome(done := search.run(trial), search.plan)
    get_run_logger().info(said)
    return Completed(name=done.state.name.title(), message=said)


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    return run_flow(sweep, words)


if __name__ == "__main__":
    end_with(main, "finished trials are kept, `visionmill sweep`")
