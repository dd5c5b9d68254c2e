"""Data cards in MLflow: a run of its own, with the page as an artefact and its numbers as metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.registry import store
from tasks.registry.runs import clean, flatten, log_metrics


def log_card(ref: str, page: Path, facts: Mapping[str, Any], workspace: Path = Path()) -> str:
    """Log a card; returns the run's id.

    Args:
        ref: the dataset it is about, `name@number` or a folder.
        facts: numbers of the page; what is no number is left out.

    Raises:
        UserError: the store cannot be reached.
    """
    client = store.client(workspace)
    with store.told_in_words("a data card was logged", workspace):
        tags = {"mlflow.runName": f"card {ref}", "visionmill.dataset": ref}
        run = client.create_run(store.experiment(client, workspace), tags=tags).info.run_id
        now = int(time.time() * 1000)
        numbers = {(clean(name), 0): (float(value), now) for name, value in flatten(facts, "/").items()
                   if isinstance(value, int | float) and not isinstance(value, bool)}
        log_metrics(client, run, numbers)
        client.log_artifact(run, str(page), "card")
        client.set_terminated(run)
    return str(run)
