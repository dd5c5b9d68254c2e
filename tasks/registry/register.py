"""From the outputs of a finished line to a registered version, judged by the gate. Not a DVC stage: it talks to a
store, and what it does is not a function of files alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tasks.base.errors import UserError
from tasks.base.files import write_atomic, write_json
from tasks.base.params import Params as BaseParams
from tasks.base.params import load
from tasks.registry import package, restore, runs, store, versions
from tasks.registry.describe import describe, told
from tasks.registry.gates.gate import Gate, GateReport, judge, load_gate
from tasks.registry.outputs import Outputs, number_tags, read_outputs, version_tags
from tasks.registry.registered import Registration, is_registered, remember

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Params", "Registration", "is_registered", "register"]


class Params(BaseParams):
    """Section `register` of params.yaml.

    Attributes:
        gate: a file of conf/gate/.
        policy: auto: a version that passes the gate becomes champion; manual: a person moves the alias in MLflow.
        name: the registered model's name; the workspace's folder when it is left out.
        smoke_pictures: small test pictures that a version carries, for trying its bundles and for comparing; with 0 no
            picture and no box of the data leaves the workspace.
    """

    gate: str = "default"
    policy: Literal["auto", "manual"] = "manual"
    name: str | None = None
    smoke_pictures: int = Field(default=4, ge=0, le=8)


def register(workspace: Path = Path()) -> Registration:
    """Register what lies in the workspace, judge it, and move the aliases that the policy allows.

    The same outputs are one version: registering them again judges that version again and makes no other. It may be
    ended at any moment: what is done is kept, and the next call goes on from there.

    Raises:
        UserError: results are missing or older than params.yaml, the gate's file is wrong, the store is away.
        VisionmillError: the store refused something.
    """
    params = load(Params, "register", workspace / "params.yaml")
    gate = load_gate(params.gate, workspace)
    outputs = read_outputs(workspace)
    with (store.file_lock(workspace / store.STATE / "register.lock"), versions.global_uri(workspace),
          _resumable(workspace), store.told_in_words("a version was registered", workspace)):
        mlflow = store.client(workspace)
        name = store.workspace_name(workspace)
        report, known = _judge(mlflow, name, outputs, gate, params.gate)
        parent = _ensure_runs(mlflow, outputs)
        version = known or _create(mlflow, name, outputs, report, parent, params.smoke_pictures)
        before = _annotate(mlflow, version, outputs, report, parent)
        moved = _move_aliases(mlflow, version, report, params.policy, workspace)
        registration = _registration(mlflow, version, report, parent, known is None, moved)
        remember(registration, workspace)
    if known is None or before != _verdict(report):
        _tell(registration, outputs, workspace)
    return registration


@contextmanager
def _resumable(workspace: Path) -> Iterator[None]:
    """An error of the store says how to go on."""
    try:
        yield
    except UserError as error:
        if not error.what.startswith("the MLflow store"):
            raise
        mend = f"{error.mend}; then `visionmill register` goes on from there: nothing is lost"
        raise UserError(error.what, where=workspace.resolve() if error.where is None else error.where,
                        mend=mend) from error


def _judge(mlflow: MlflowClient, name: str, outputs: Outputs, gate: Gate, preset: str) -> tuple[GateReport, Any | None]:
    """The verdict against the champion, and the version that serves the judged artefact of these outputs already.

    A champion that is registered again is judged against the one before it, which says more than against itself.
    """
    report = _against(mlflow, name, outputs, gate, preset, "champion")
    known = _known(mlflow, name, outputs.key(), report.artefact)
    if known is not None and "champion" in known.aliases:
        report = _against(mlflow, name, outputs, gate, preset, "previous", report.artefact)
    return report, known


def _against(mlflow: MlflowClient, name: str, outputs: Outputs, gate: Gate, preset: str, alias: str,
             only: str | None = None) -> GateReport:
    from tasks.registry.gates.opponents import contest, opponent

    held = opponent(mlflow, name, alias)
    return judge(gate, outputs.evidence(held, *contest(outputs, held, gate, name)), preset, only)


def _known(mlflow: MlflowClient, name: str, key: str, artefact: str) -> Any | None:
    found = mlflow.search_model_versions(f"name = '{name}' and tags.`visionmill.key` = '{key}'", max_results=1000)
    # the same outputs hold several artefacts; a version serves one, and a verdict on another is not its own
    same = [version for version in found if version.tags.get("visionmill.artefact") == artefact]
    return mlflow.get_model_version(name, same[0].version) if same else None


def _ensure_runs(mlflow: MlflowClient, outputs: Outputs) -> str:
    """Bring every run of the line into the store, under one parent; returns the parent's id."""
    children = []
    for record in outputs.records:
        run_id, again = restore.ensure_run(mlflow, record, outputs.workspace)
        if again:
            runs.warn(f"the run of {record['stage']} is not in this MLflow store: logged again from its record")
        record["run_id"] = run_id
        children.append(run_id)
    parent = restore.line_run(mlflow, outputs.line, children, outputs.workspace)
    now = int(time.time() * 1000)
    numbers = {(runs.clean(f"{artefact}/{key}"), 0): (float(value), now) for artefact in outputs.evaluation["artefacts"]
               for key, value in outputs.numbers(artefact).items() if value is not None}
    runs.log_metrics(mlflow, parent, numbers)
    return parent


def _create(mlflow: MlflowClient, name: str, outputs: Outputs, report: GateReport, parent: str, pictures: int) -> Any:
    """A new version: the model is built, uploaded and only then registered."""
    from mlflow.entities import LoggedModelStatus

    tags = version_tags(outputs, report.artefact, parent)
    model = mlflow.create_logged_model(store.experiment(mlflow, outputs.workspace), name=name, source_run_id=parent,
                                       tags=tags, model_type="detector")
    try:
        with tempfile.TemporaryDirectory() as folder:
            package.build_model(outputs, report, Path(folder) / "model", model.model_id, parent,
                                smoke_pictures=pictures)
            mlflow.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    except BaseException:
        mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    _ensure_name(mlflow, name)
    return mlflow.create_model_version(name, f"models:/{model.model_id}", parent, tags=tags, model_id=model.model_id)


def _ensure_name(mlflow: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.get_registered_model(name)
    except MlflowException:
        mlflow.create_registered_model(name, description="Made by visionmill; `champion` is the one to deploy.")


def _verdict(report: GateReport) -> str:
    return "passed" if report.passed else f"refused: {', '.join(report.failed())}"[:1000]


def _annotate(mlflow: MlflowClient, version: Any, outputs: Outputs, report: GateReport, parent: str) -> str | None:
    """Put the verdict, the numbers and the description on the version, and the files beside the line's run; returns
    the verdict that was there before."""
    tags = {"visionmill.gate": _verdict(report), "visionmill.gate_preset": report.gate,
            "visionmill.gate_hash": report.to_dict()["config_hash"], **number_tags(outputs, report.artefact),
            "visionmill.gate_champion": report.champion or "none",
            **{f"visionmill.{key}_slide": f"{lost:.12g}" for key, lost in report.slides().items()}}
    for key, value in tags.items():
        mlflow.set_model_version_tag(version.name, version.version, key, value)
    mlflow.update_model_version(version.name, version.version, describe(outputs, report, version))
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "gate.json", report.to_dict())
        write_atomic(Path(folder) / "gate.md", report.to_markdown())
        package.add_lineage(outputs, Path(folder))
        mlflow.log_artifacts(parent, folder, f"version-{version.version}")
    return version.tags.get("visionmill.gate")


def _move_aliases(mlflow: MlflowClient, version: Any, report: GateReport, policy: str, workspace: Path) -> str:
    """Move the aliases; returns what happened, in one sentence."""
    from tasks.registry.promotion.aliases import promote, set_alias

    name, number = version.name, str(version.version)
    held, candidate = (versions.by_alias(mlflow, name, alias) for alias in ("champion", "candidate"))
    if candidate is None or str(candidate.version) != number:
        set_alias(mlflow, name, "candidate", number, reason="registered", workspace=workspace)
    if held and str(held.version) == number:
        return "it is the champion already" + ("" if report.passed else ", though the gate would refuse it now")
    if not report.passed:
        return "the gate refuses it, so it stays a candidate"
    if policy == "manual":
        return "the gate passes it; policy `manual`: move the alias `champion` in the MLflow UI to promote it"
    moved = promote(mlflow, name, number, reason=f"the gate `{report.gate}` passes it, policy auto",
                    workspace=workspace)
    return f"the gate passes it: {moved}"


def _registration(mlflow: MlflowClient, version: Any, report: GateReport, parent: str, new: bool,
                  moved: str) -> Registration:
    aliases = sorted(mlflow.get_model_version(version.name, version.version).aliases)
    number = str(version.version)
    was = "" if new else "these outputs are registered already, judged again; "
    return Registration(version.name, number, aliases, report, parent, f"models:/{version.name}/{number}", new,
                        f"version {number}: {was}{moved}")


def _tell(made: Registration, outputs: Outputs, workspace: Path) -> None:
    """Notify whom the site names; failures of that are warnings."""
    from tasks.notify import tell

    passed = made.gate.passed
    facts = {"name": made.name, "version": made.version, "uri": made.uri, "gate": made.gate.gate,
             "passed": passed, "failed": made.gate.failed(), "artefact": made.gate.artefact,
             "champion": made.gate.champion, "aliases": made.aliases, **outputs.numbers(made.gate.artefact)}
    subject = f"{made.name} version {made.version} {'passes' if passed else 'is refused by'} the gate {made.gate.gate}"
    tell("registered" if passed else "refused", subject, told(made.gate, made.note), facts=facts, workspace=workspace)
