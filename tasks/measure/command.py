"""What `visionmill benchmark` does: find, measure, show, log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import write_atomic, write_json
from tasks.measure.everywhere import Settings, everywhere
from tasks.measure.shown import picture, table
from tasks.measure.sources import Source, find, pictures
from tasks.training.session import use_threads


def run_benchmark(models: Sequence[str], out: Path, *, data: Path | None = None, rounds: int = 10,
                  threads: int | None = None, runtimes: Sequence[str] = (), workspace: Path = Path(),
                  memory: bool = True) -> dict[str, Any]:
    """Measure and write benchmark.json and benchmark.svg to `out`; logged to MLflow where there is a workspace.

    Args:
        models: as `sources.find` takes them.
        out: folder, made when it is not there; other files in it stay.
        data: pictures with boxes for accuracy; the workspace's test split when None.
        rounds, threads, runtimes, memory: as in `Settings`.
        workspace: whose registry is asked.

    Raises:
        UserError: nothing to measure, a runtime that is not here, a wrong number.
        DataError: an artefact or a dataset is broken, or their classes differ.
    """
    if rounds < 1 or (threads is not None and threads < 1):
        raise UserError("rounds and threads are numbers of at least 1", where=f"--rounds {rounds} --threads {threads}")
    use_threads()
    source = find(models, workspace)
    test = pictures(data, source.workspace)
    asked = Settings(rounds, threads, tuple(runtimes), memory=memory)
    found = everywhere(source.paths, test, asked)
    write_json(out / "benchmark.json", found)
    write_atomic(out / "benchmark.svg", picture(found, _title(models, source)))
    print(table(found))
    print(f"{out / 'benchmark.svg'}, {out / 'benchmark.json'}{_log(found, asked, source, out)}")
    return found


def _title(models: Sequence[str], source: Source) -> str:
    names = [Path(word).name if Path(word).exists() else word for word in models if Path(word).name]
    return ", ".join(names)[:60] or (source.workspace or Path()).resolve().name


def _log(found: dict[str, Any], asked: Settings, source: Source, out: Path) -> str:
    """A run of its own; says what happened."""
    workspace = source.workspace or Path()
    if source.workspace is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        return "; not logged: no workspace, and MLFLOW_TRACKING_URI is not set"
    from tasks.registry.runs import stage_run
    from tasks.runtime.backends.description import describe

    line = describe(next(iter(source.paths.values()))).line
    params = {"rounds": asked.rounds, "threads": asked.threads, "artefacts": len(source.paths)}
    numbers = {name: {key: value for key, value in one.items() if not isinstance(value, str)}
               for name, one in found["rows"].items()}
    with stage_run("benchmark-all", line=line, params=params, record=out / "run.json", workspace=workspace) as run:
        run.metrics(numbers)
        for name in ("benchmark.json", "benchmark.svg"):
            run.artifact(out / name, "benchmark")
    return f", MLflow run {run.id}" if run.id else ", not logged: tracking is off"
