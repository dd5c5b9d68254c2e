"""What `visionmill compare` compares: a registered version or a file, and what is recorded of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.registry import store, versions
from tasks.registry.gates.answers import digest_artefact
from tasks.runtime.artefacts import size_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHORT = re.compile(r"[\w\-. ]+(@[\w-]+|/(\d+|latest))")  # NAME@ALIAS, NAME/3
OWN = re.compile(r"(\d+|latest)|[A-Za-z][\w-]*")  # 3, champion: of the workspace's own model


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        title: what a reader calls it.
        path: its deployed file, or a model folder.
        digest: SHA-256 of it.
        tags: of the version, without `visionmill.`; empty for a file.
        facts: bytes, artefact, median_ms, machine, parameters, macs, AP, AP50, gate as far as they are recorded.
        evaluation: folder of what the version carries, None when it carries none.
    """

    title: str
    path: Path
    digest: str
    uri: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    evaluation: Path | None = None


def side(word: str, workspace: Path = Path()) -> Side:
    """What a word names: `models:/cells/3`, `cells@champion`, `cells/3`, `3`, `champion`, a file or a model folder.

    Raises:
        UserError: it names nothing, or a version without a file; what there is, is listed.
    """
    place = Path(word)
    if place.is_file() or (place / "model.json").is_file():
        title = place.name if place.is_file() else f"{place.resolve().name}/"
        facts = {"bytes": size_of(place), **_cost(place, place.resolve().name)}
        return Side(title, place, digest_artefact(place), facts=facts)
    with store.told_in_words("a version was looked up", workspace):
        return _version(address(word, workspace), workspace)


def address(word: str, workspace: Path = Path()) -> str:
    """The `models:/` address that a word stands for.

    Raises:
        UserError: it can be none.
    """
    if versions.is_address(word):
        return word
    if SHORT.fullmatch(word):
        return f"models:/{word}"
    if OWN.fullmatch(word):
        return f"models:/{store.workspace_name(workspace)}{'/' if word.isdigit() or word == 'latest' else '@'}{word}"
    raise UserError(f"{word!r} names no version and no model file", where=word,
                    mend="cells@champion, cells/3, champion, 3, models:/…, an .onnx file or a model folder")


def _version(uri: str, workspace: Path) -> Side:
    path = versions.resolve_model(uri, workspace=workspace)
    mlflow = store.client(workspace)
    found = _found(mlflow, uri)
    tags = {name.removeprefix("visionmill."): value for name, value in found.tags.items()
            if name.startswith("visionmill.")}
    aliases = f" ({', '.join(sorted(found.aliases))})" if found.aliases else ""
    exact = f"models:/{found.name}/{found.version}"
    folder = carried(exact, "evaluation", workspace)
    return Side(f"{found.name} version {found.version}{aliases}", path, digest_artefact(path), exact, tags,
                _facts(tags, path, folder, exact, workspace), folder)


def _found(mlflow: MlflowClient, uri: str) -> Any:
    match = versions.ADDRESS.fullmatch(uri)
    if match is None:
        raise UserError(f"{uri!r} is no address", mend="models:/NAME@ALIAS or models:/NAME/3")
    if match["alias"]:
        return mlflow.get_model_version_by_alias(match["name"], match["alias"])
    number = match["version"]
    if number == "latest":
        number = str(versions.versions(mlflow, match["name"])[0].version)
    return mlflow.get_model_version(match["name"], number)


def carried(uri: str, part: Any, workspace: Path) -> Path | None:
    """The folder `evaluation`, `smoke`, `trained`, … of a version, None where it carries none."""
    try:
        return versions.resolve_model(uri, part, workspace)
    except UserError:
        return None


def _facts(tags: dict[str, str], path: Path, folder: Path | None, uri: str, workspace: Path) -> dict[str, Any]:
    artefact = tags.get("artefact", "")
    kind = artefact.partition("/")[0]
    facts: dict[str, Any] = {"artefact": artefact or None, "bytes": path.stat().st_size, "gate": tags.get("gate"),
                             "machine": tags.get("machine"), "git_commit": tags.get("git_commit")}
    facts |= {name: float(tags[name]) for name in ("AP", "AP50", "median_ms") if tags.get(name)}
    timed = folder / "benchmark.json" if folder else None
    if timed and timed.is_file():
        told = read_json(timed)
        facts["provider"] = told.get("artefacts", {}).get(artefact, {}).get("provider")
        facts["machine_details"] = ", ".join(f"{k} {v}" for k, v in sorted((told.get("machine") or {}).items()))
    pruned = carried(uri, "pruned", workspace)
    return facts | (_cost(pruned, kind) if pruned else {})


def _cost(folder: Path, kind: str) -> dict[str, Any]:
    """Parameters, and multiplications and additions of one picture, as the stage `prune` counted them."""
    if not (folder / "prune.json").is_file():
        return {}
    told, when = read_json(folder / "prune.json"), "before" if kind == "trained" else "after"
    return {name: told.get(f"{name}_{when}") for name in ("parameters", "macs")}
