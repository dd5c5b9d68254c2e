"""One MLflow run a stage, and its record: a file that DVC carries and from which the run can be logged again."""

from __future__ import annotations

import math
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import VisionmillError
from tasks.base.files import digest_value, write_json
from tasks.registry import lineage, store

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLUSH_SECONDS = 2.0
BATCH = 900  # MLflow takes 1,000 entries a request
PAUSE_S = 30.0  # between two tries at a server that is away: one that hangs costs a minute each


class StageRun:
    """What a stage says about itself. Metrics reach the MLflow UI within about two seconds.

    Use `stage_run`, which opens and closes it. `id` is the MLflow run id, None where nothing is tracked. The same
    metric may be reported again for the same step: the last value stands in the record, and equal ones are not sent
    twice, so a resumed training reports its whole history again.
    """

    def __init__(self, record: dict[str, Any], mlflow: MlflowClient | None) -> None:
        self.record, self.id = record, record["run_id"]
        self._mlflow = mlflow
        self._values: dict[tuple[str, int], tuple[float, int]] = {}
        self._pending: dict[tuple[str, int], tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._stop = threading.Event()
        self._warned: set[str] = set()
        self._quiet_until = -math.inf
        self._began, self._floor = time.time() - time.monotonic(), 0  # one reading: the clock may be set meanwhile
        self._thread = threading.Thread(target=self._flush_often, name="mlflow", daemon=True)
        if mlflow is not None:
            self._thread.start()

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Report numbers; nested mappings become `outer/inner`. None (not applicable) is left out.

        Args:
            values: name → number.
            step: epoch or iteration, 0 for a stage that measures once.
        """
        now = self._now()
        for name, value in flatten(values, "/").items():
            if value is None or isinstance(value, str):
                continue
            number = float(value)
            if not math.isfinite(number):
                self._warn(f"metric {name} at step {step} is {number}: left out of the record")
                continue
            self._add(clean(name), step, number, now)

    def tags(self, values: Mapping[str, Any]) -> None:
        text = {clean(name): str(value)[:8000] for name, value in values.items()}
        self.record["tags"] |= text
        self._send(lambda mlflow: log_tags(mlflow, self.id, text))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or all files of a folder, below `folder` of the run's artefacts."""
        self.record["artifacts"].append({"path": path.as_posix(), "folder": folder})
        self._send(lambda mlflow: log_path(mlflow, self.id, path, folder))

    def dataset(self, name: str, digest: str, context: str = "training") -> None:
        """Log a dataset by its digest alone; no picture is read.

        Args:
            name: name of the dataset.
            digest: hash of its content; MLflow keeps the first 36 characters.
            context: what it was used for: training, testing, calibration.
        """
        entry = {"name": name, "digest": digest, "context": context}
        self.record["datasets"].append(entry)
        self._send(lambda mlflow: log_dataset(mlflow, self.id, entry))

    def flush(self) -> None:
        """Send what is pending now, for instance before a checkpoint is written."""
        with self._sending:
            with self._lock:
                waiting, self._pending = self._pending, {}
            if waiting and not self._send(lambda mlflow: log_metrics(mlflow, self.id, waiting)):
                with self._lock:
                    self._pending = waiting | self._pending

    def preload(self, mlflow: MlflowClient) -> None:
        """Take over what the killed run had reported."""
        for name in mlflow.get_run(self.id).data.metrics:
            for point in mlflow.get_metric_history(self.id, name):
                self._values[name, point.step] = point.value, point.timestamp
                # of two values of one step MLflow shows the later one, by the clock
                self._floor = max(self._floor, point.timestamp + 1)

    def close(self, status: str) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        when = max(self._now(), self.record["started"])
        ended = self._send(lambda mlflow: mlflow.set_terminated(self.id, status, when))
        self.record |= {"status": status, "ended": when, "metrics": self._history()}
        if self._mlflow is not None and (self._warned & {"lost"} or not ended):
            # registration logs it again from the record
            self.record["tags"]["visionmill.partial_run"] = str(self.id)
            self.record["run_id"] = None

    def _now(self) -> int:
        """Milliseconds since 1970, never less than before in this run."""
        return max(int((self._began + time.monotonic()) * 1000), self._floor)

    def _add(self, name: str, step: int, number: float, now: int) -> None:
        with self._lock:
            known = self._values.get((name, step))
            if known is not None and known[0] == number:
                return
            self._values[name, step] = number, now
            if self._mlflow is not None:
                self._pending[name, step] = number, now

    def _history(self) -> dict[str, list[dict[str, Any]]]:
        history: dict[str, list[dict[str, Any]]] = {}
        for (name, step), (value, when) in sorted(self._values.items()):
            history.setdefault(name, []).append({"step": step, "value": value, "time": when})
        return history

    def _flush_often(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.flush()

    def _send(self, call: Any) -> bool:
        if self._mlflow is None:
            return True
        if time.monotonic() < self._quiet_until:
            return False
        try:
            call(self._mlflow)
        except Exception as error:  # a lost server must not end a training of hours
            self._quiet_until = time.monotonic() + PAUSE_S
            if "lost" not in self._warned:
                self._warned.add("lost")
                warn(f"MLflow did not take a part of this run ({store.told(error)[:160]}); the stage goes on, "
                     "`visionmill register` delivers the rest from its record")
            return False
        return True

    def _warn(self, text: str) -> None:
        if text.split(" at ")[0] not in self._warned:
            self._warned.add(text.split(" at ")[0])
            warn(text)


@contextmanager
def stage_run(stage: str, *, line: str, params: Mapping[str, Any], record: Path, resume: str | None = None,
              tags: Mapping[str, str] | None = None, workspace: Path = Path()) -> Iterator[StageRun]:
    """An MLflow run around a stage; on a good end its record is written to `record`.

    When the block raises, the run is closed as FAILED (KILLED for an interrupt) and no record is written. When the
    store cannot be reached, the stage goes on with the record alone. `VISIONMILL_TRACKING=off` asks for that.

    Args:
        stage: name of the stage; `export@cpu-int8` for one of several.
        line: key that all the runs of one line share.
        params: the stage's parameters, nested as they like.
        record: the JSON file to write.
        resume: id of the run that a killed training goes on with; another run is opened when it is not in the store.
        tags: more tags.
        workspace: folder of dvc.yaml.
    """
    entry = _new_record(stage, line, params, tags, workspace)
    mlflow, resumed = _open(entry, resume, workspace)
    run = StageRun(entry, mlflow)
    if mlflow is not None and resumed:
        run.preload(mlflow)
    try:
        yield run
    except BaseException as error:
        run.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    run.close("FINISHED")
    write_json(record, entry)


def create_run(mlflow: MlflowClient, entry: Mapping[str, Any], workspace: Path, **more: str) -> str:
    """Open a run for a record: name, tags and parameters; returns its id."""
    tags = {**entry["tags"], **more, "mlflow.source.name": f"visionmill stage {entry['stage']}"}
    name = f"{entry['stage']} {entry['line'][:8]}"
    run = mlflow.create_run(store.experiment(mlflow, workspace), start_time=entry["started"], tags=tags, run_name=name)
    log_params(mlflow, run.info.run_id, entry["params"])
    return run.info.run_id


def log_params(mlflow: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    flat = [Param(clean(name), str(value)[:6000]) for name, value in flatten(params, ".").items()]
    for start in range(0, len(flat), 100):
        mlflow.log_batch(run_id, params=flat[start:start + 100])


def log_metrics(mlflow: MlflowClient, run_id: str, values: Mapping[tuple[str, int], tuple[float, int]]) -> None:
    """Send (name, step) → (value, time in ms), few requests for many values."""
    from mlflow.entities import Metric

    rows = [Metric(name, value, when, step) for (name, step), (value, when) in values.items()]
    for start in range(0, len(rows), BATCH):
        mlflow.log_batch(run_id, metrics=rows[start:start + BATCH])


def log_tags(mlflow: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    rows = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(rows), 100):
        mlflow.log_batch(run_id, tags=rows[start:start + 100])


def log_path(mlflow: MlflowClient, run_id: str, path: Path, folder: str | None) -> None:
    if path.is_dir():
        mlflow.log_artifacts(run_id, str(path), folder)
    else:
        mlflow.log_artifact(run_id, str(path), folder)


def log_dataset(mlflow: MlflowClient, run_id: str, entry: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # 36 characters are exactly a DVC `<md5>.dir`
    data = Dataset(entry["name"][:500], entry["digest"][:36], "visionmill", f'{{"digest": "{entry["digest"]}"}}')
    mlflow.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", entry["context"])])])


def flatten(values: Mapping[str, Any], joint: str, prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`; lists stay as they are."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, joint, f"{prefix}{name}{joint}")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def clean(name: str) -> str:
    """A name that MLflow takes: letters, digits, `_-. :/`, no leading slash, at most 250 characters."""
    return re.sub(r"[^\w\-. :/]", "_", str(name)).strip("/")[:250] or "_"


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _new_record(stage: str, line: str, params: Mapping[str, Any], tags: Mapping[str, str] | None,
                workspace: Path) -> dict[str, Any]:
    found = lineage.lineage_tags(workspace) | {
        "visionmill.line": line, "visionmill.stage": stage, "visionmill.params_hash": digest_value(params)}
    return {"schema": 1, "run_id": None, "stage": stage, "line": line, "params": dict(params), "metrics": {},
            "tags": {clean(name): str(value) for name, value in {**found, **(tags or {})}.items()}, "datasets": [],
            "artifacts": [], "status": "RUNNING", "started": int(time.time() * 1000), "ended": None}


def _open(entry: dict[str, Any], resume: str | None, workspace: Path) -> tuple[MlflowClient | None, bool]:
    if not store.enabled():
        return None, False
    try:
        mlflow = store.client(workspace)
        if resume and _reopen(mlflow, resume):
            entry["run_id"] = resume
            entry["started"] = mlflow.get_run(resume).info.start_time
            log_tags(mlflow, resume, entry["tags"])
            return mlflow, True
        more = {"visionmill.resumed_from": resume} if resume else {}
        entry["tags"] |= more
        entry["run_id"] = create_run(mlflow, entry, workspace)
    except VisionmillError as error:
        warn(f"{error}\n  the stage goes on and is recorded locally only; `visionmill register` delivers it later")
        return None, False
    return mlflow, False


def _reopen(mlflow: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.update_run(run_id, status="RUNNING")
    except MlflowException:
        return False
    return True
