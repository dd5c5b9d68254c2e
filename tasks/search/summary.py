"""What a finished search says: its best trials, and which parameters mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.search import study as store
from tasks.search.plan import Plan

if TYPE_CHECKING:
    from optuna import Study

BEST = 5
ENOUGH = 8  # complete trials from which importances say something


def table(study: Study, plan: Plan) -> str:
    """The best trials with their values, and importances where there are enough trials."""
    best, done = store.ranking(study)[:BEST], store.finished(study)
    if not best:
        return "no trial was completed: see the reasons above"
    keys = list(plan.space)
    rows = [["trial", plan.settings.metric, "epochs", *(key.removeprefix("train.") for key in keys)]]
    rows += [[f"{t.number + 1}{' (params.yaml)' if not t.number else ''}", f"{t.value:.4f}", str(store.epochs_of(t)),
              *(word(store.chosen(t)[key]) for key in keys)] for t in best]
    states = [trial.state.name for trial in done]
    spent = sum(store.epochs_of(trial) for trial in done)
    counts = f"{states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned, {states.count('FAIL')} failed"
    return "\n".join([*aligned(rows), f"{len(done)} trials ({counts}), {spent} epochs", *importances(study, plan)])


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def importances(study: Study, plan: Plan) -> list[str]:
    """`mattered: lr 0.61, batch_size 0.20, …` (PED-ANOVA, shares of 1); nothing where trials are few or all equal."""
    best = store.ranking(study)
    if len(best) < ENOUGH or best[0].value == best[-1].value:
        return []
    from optuna.importance import get_param_importances

    found = get_param_importances(study, params=[key for key in plan.space if all(key in t.params for t in best)])
    return ["mattered: " + ", ".join(f"{key.removeprefix('train.')} {share:.2f}" for key, share in found.items())]
