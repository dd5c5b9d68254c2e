"""The artefacts of a line, in the order of every table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MODELS = ("trained", "pruned")


def artefacts(trained: Path, pruned: Path, exports: Path, targets: list[str]) -> dict[str, Path]:
    """Name → model folder or file: `trained/torch`, `pruned/torch`, then `trained/T`, `pruned/T` of each target T."""
    found = {"trained/torch": trained, "pruned/torch": pruned}
    return found | {f"{model}/{target}": exports / target / f"{model}.onnx" for target in targets for model in MODELS}


def in_order(names: Iterable[str]) -> list[str]:
    """Names of artefacts in the order of every table: torch first, then target by target, trained before pruned."""
    return sorted(names, key=lambda name: (not name.endswith("/torch"), name.partition("/")[2], name[0] != "t"))


def size_of(path: Path) -> int:
    """Bytes on disk of an artefact: the file, or structure and weights of a model folder."""
    if path.is_file():
        return path.stat().st_size
    return sum((path / name).stat().st_size for name in ("model.json", "model.safetensors"))
