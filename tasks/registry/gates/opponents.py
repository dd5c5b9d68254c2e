"""The version to beat, measured again on the test set of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError, VisionmillError
from tasks.registry import store, versions
from tasks.registry.gates.contest import Contest
from tasks.registry.gates.evidence import Champion
from tasks.registry.gates.gate import Gate
from tasks.registry.outputs import Outputs

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tasks.data.table import Dataset

MEASURES = ("AP", "AP50")


def opponent(mlflow: MlflowClient, name: str, alias: str) -> Champion | None:
    """What the registry knows of the version that holds an alias, None when none does."""
    held = versions.by_alias(mlflow, name, alias)
    if held is None:
        return None
    numbers = {key: _number(held.tags, key) for key in (*MEASURES, *(f"{key}_slide" for key in MEASURES))}
    # whoever promotes what the gate refused accepts the new level
    accepted = held.tags.get("visionmill.gate") != "passed"
    slide = {key: numbers[f"{key}_slide"] or 0.0 for key in MEASURES} if not accepted else {}
    return Champion(str(held.version), held.tags.get("visionmill.test_hash", "unknown"), numbers["AP"],
                    numbers["AP50"], int(held.tags.get("visionmill.bytes", 0)) or None, slide)


def contest(outputs: Outputs, held: Champion | None, gate: Gate, name: str) -> tuple[Contest | None, str]:
    """Both on today's test set; and, where one of them is not there, why.

    Raises:
        UserError: the store is away.
        DataError: the detections of the line are damaged.
    """
    dataset, why = test_set(outputs)
    if dataset is None:
        return None, why
    made = Contest(dataset, outputs.detections, draws=gate.champion.draws)
    if held is not None:
        try:
            made.champion = _answers(outputs, dataset, f"models:/{name}/{held.version}")
        except VisionmillError as error:
            store.client(outputs.workspace)  # raises when it is the store that is away
            why = f"{error.what}".splitlines()[0][:300]
    return made, why


def test_set(outputs: Outputs) -> tuple[Dataset | None, str]:
    """The split that was evaluated, as it lies in the workspace; None, and why, where it is not that one."""
    from tasks.data.table import read_dataset
    from tasks.metrics.testset import digest_testset

    folder = outputs.workspace / "data/split"
    if not (folder / "dataset.json").is_file():
        return None, "data/split is not in this workspace (dvc pull)"
    if not (outputs.workspace / "results/evaluate/detections").is_dir():
        return None, "results/evaluate/detections is missing (dvc repro evaluate)"
    try:
        dataset = read_dataset(folder).subset(outputs.evaluation.get("split", "test"))
    except DataError as error:
        return None, error.what
    if digest_testset(dataset) != outputs.evaluation["test_hash"]:
        return None, "data/split is not the one that was evaluated (dvc repro)"
    return dataset, ""


def _answers(outputs: Outputs, dataset: Dataset, version: str) -> Any:
    from tasks.registry.gates.answers import answers

    return answers(version, dataset, outputs.workspace / "data/raw", outputs.workspace, **outputs.thresholds())


def _number(tags: dict[str, str], key: str) -> float | None:
    text = tags.get(f"visionmill.{key}")
    try:
        return float(text) if text else None
    except ValueError:
        return None
