"""What a finished line left in its workspace, read for registration and for the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_tree, digest_value, read_json
from tasks.base.params import read_yaml
from tasks.metrics.targets import chosen_targets
from tasks.registry import lineage
from tasks.registry.gates.evidence import BASELINE, Champion, Evidence

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.registry.gates.contest import Contest

FILES = ("dvc.lock", "dvc.yaml", "params.yaml")


@dataclass(frozen=True)
class Outputs:
    """The outputs of one line.

    Attributes:
        line: key that its runs share.
        evaluation, benchmark: the JSON of results/.
        exports: target → export.json, of the targets in params.yaml alone: DVC leaves the files of a dropped one.
        records: those of runs/*.json that belong to this line.
        code: `lineage.code_state`.
        findings: data/valid/findings.json, None where the stage `validate` left none.
    """

    workspace: Path
    line: str
    evaluation: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    exports: Mapping[str, Any]
    records: list[dict[str, Any]]
    code: Mapping[str, Any]
    findings: Mapping[str, Any] | None = None

    def evidence(self, champion: Champion | None, contest: Contest | None = None, unmeasured: str = "") -> Evidence:
        return Evidence(self.evaluation, self.benchmark, self.exports, self.code["uncommitted"], champion, contest,
                        unmeasured, self.findings)

    def key(self) -> str:
        """Digest of models, exported files and accuracy: equal outputs are one version. Times do not count."""
        folders = ("models", "results/evaluate", *(f"exports/{target}" for target in sorted(self.exports)))
        return digest_value({name: digest_tree(self.workspace / name) for name in folders})

    def numbers(self, artefact: str) -> dict[str, float | None]:
        """AP, AP50 (0..1), bytes, median_ms and speedup of one artefact; None where it was not measured."""
        accuracy = self.evaluation["artefacts"].get(artefact, {})
        times = self.benchmark.get("artefacts", {})
        own, base = times.get(artefact, {}).get("median_ms"), times.get(BASELINE, {}).get("median_ms")
        size = accuracy.get("bytes") or times.get(artefact, {}).get("bytes")
        return {"AP": accuracy.get("AP"), "AP50": accuracy.get("AP50"), "bytes": size, "median_ms": own,
                "speedup": base / own if own and base else None}

    def detections(self, artefact: str) -> pa.Table:
        """What the evaluation found with one artefact.

        Raises:
            DataError: the file is missing or damaged.
        """
        from tasks.metrics.detections import read_detections

        return read_detections(self.detections_file(artefact))

    def detections_file(self, artefact: str) -> Path:
        return self.workspace / "results/evaluate/detections" / f"{artefact.replace('/', '__')}.parquet"

    def thresholds(self) -> dict[str, Any]:
        """`score_threshold` and `max_detections` of the evaluation."""
        section = lineage.value_at(read_yaml(self.workspace / "params.yaml"), "evaluate") or {}
        return {key: section[key] for key in ("score_threshold", "max_detections") if key in section}

    def file(self, artefact: str) -> Path:
        """The ONNX file of an exported artefact.

        Raises:
            UserError: it is not there.
        """
        kind, _, target = artefact.partition("/")
        found = self.workspace / "exports" / target / f"{kind}.onnx"
        if not found.is_file():
            raise UserError(f"the file of {artefact} is missing", where=found, mend=f"dvc repro export@{target}")
        return found


def read_outputs(workspace: Path) -> Outputs:
    """Read a finished line.

    Raises:
        UserError: a result is missing or unreadable, or params.yaml was edited after the results were made.
    """
    edited = edited_params(workspace)
    if edited:
        raise UserError(f"params.yaml was edited after this line was made: {', '.join(edited)}",
                        where=workspace / "params.yaml", mend="dvc repro, then visionmill register")
    evaluation = _result(workspace / "results/evaluate/metrics.json")
    benchmark = _result(workspace / "results/benchmark/benchmark.json")
    targets = chosen_targets(workspace / "params.yaml")
    files = {target: workspace / "exports" / target / "export.json" for target in targets}
    exports = {target: _result(file) for target, file in files.items() if file.is_file()}
    line = _result(workspace / "models/pruned/model.json")["line"]
    return Outputs(workspace, line, evaluation, benchmark, exports, _records(workspace, line, targets),
                   lineage.code_state(workspace), _findings(workspace))


def _findings(workspace: Path) -> Mapping[str, Any] | None:
    file = workspace / "data/valid/findings.json"
    return _result(file) if file.is_file() else None


def edited_params(workspace: Path) -> list[str]:
    """Names of the values in params.yaml that differ from those that dvc.lock says the outputs were made with."""
    stages = lineage.locked_stages(workspace)
    now = read_yaml(workspace / "params.yaml") or {}
    used = {name: value for stage in stages.values() for name, value in stage.get("params", {}).get(
        "params.yaml", {}).items()}
    return sorted(name for name, value in used.items() if lineage.value_at(now, name) != value)


def version_tags(outputs: Outputs, artefact: str, parent: str) -> dict[str, str]:
    """Lineage and numbers of a version, as tags."""
    hashes = lineage.dvc_hashes(outputs.workspace)
    code = outputs.code
    dirty = code["uncommitted"]
    tags = {
        "line": outputs.line, "key": outputs.key(), "parent_run": parent, "artefact": artefact,
        "git_commit": code["commit"] or "none", "package_commit": code["package_commit"] or "none",
        "version": code["package_version"],
        "uncommitted": "no repository" if dirty is None else ", ".join(dirty)[:1000] or "no",
        "data_hash": hashes.get("data/split") or "unknown", "test_hash": str(outputs.evaluation["test_hash"]),
        "test_images": str(outputs.evaluation.get("images", "unknown")),
        "licence": _licence(outputs.workspace), "machine": _machine(outputs.benchmark.get("machine") or {}),
        **{name: digest_file(outputs.workspace / name) for name in FILES if (outputs.workspace / name).is_file()},
        **{f"run.{record['stage'].replace('@', '/')}": str(record["run_id"]) for record in outputs.records},
    }
    return {f"visionmill.{name}": value for name, value in tags.items() if value} | number_tags(outputs, artefact)


def _licence(workspace: Path) -> str:
    """Of the data, as its dataset states it."""
    table = workspace / "data/split/dataset.json"
    return str(read_json(table).get("licence") or "") if table.is_file() else ""


def _machine(told: Mapping[str, Any]) -> str:
    """What the times were taken on, in words."""
    return f"{told['cpu']}, {told['cores']} cores" if {"cpu", "cores"} <= told.keys() else ""


def number_tags(outputs: Outputs, artefact: str) -> dict[str, str]:
    """What was measured of the judged artefact, as tags."""
    # 12 digits: a rounded champion would refuse a candidate that equals it
    return {f"visionmill.{name}": f"{value:.12g}" if name != "bytes" else str(int(value))
            for name, value in outputs.numbers(artefact).items() if value is not None}


def _result(file: Path) -> Any:
    try:
        return read_json(file)
    except FileNotFoundError:
        raise UserError(f"nothing to register: {file.name} is missing", where=file, mend="dvc repro") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} is not JSON: {error}", where=file, mend="delete it, then dvc repro") from None


def _records(workspace: Path, line: str, targets: list[str]) -> list[dict[str, Any]]:
    """Records of the line in runs/, by name of file; those of a dropped target or of an earlier line stay out."""
    found = [_result(file) for file in sorted((workspace / "runs").glob("*.json"))]
    stages = {f"export@{target}" for target in targets}
    return [record for record in found if record.get("line") == line
            and (record["stage"] in stages or not record["stage"].startswith("export@"))]
