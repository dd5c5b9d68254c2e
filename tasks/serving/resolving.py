"""From an address to a file. Run as a process of its own, since MLflow in the front would cost it 300 MB for ever."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError, VisionmillError
from tasks.serving.target import Target

SHORT = re.compile(r"[\w\-. ]+(@[\w-]+|/(\d+|latest))")  # NAME@ALIAS, NAME/3
NAMED = re.compile(r"(?P<name>[\w\-. ]+)=(?P<address>.+)")
NAME = re.compile(r"[\w\-. ]+")


def address_of(word: str) -> tuple[str | None, str]:
    """The name and the address in a word of the command: `NAME=ADDRESS`, or an address alone."""
    named = NAMED.fullmatch(word)
    name, address = (named["name"], named["address"]) if named else (None, word)
    if SHORT.fullmatch(address) and not Path(address).exists():
        address = f"models:/{address}"
    return name, address


def resolve(words: Sequence[str], workspace: Path, patience_s: float = 180.0) -> list[Target]:
    """What words of the command stand for now, looked up in a process of its own.

    Raises:
        UserError: one of them stands for nothing, or two have one name.
    """
    asked = json.dumps({"words": list(words), "workspace": str(workspace.resolve())})
    command = [sys.executable, "-P", "-m", "tasks.serving.resolving", asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise UserError(f"the registry did not answer within {patience_s:g} s", where=", ".join(words)) from None
    except (ValueError, IndexError):
        raise VisionmillError("looking up a model failed: " + (done.stderr.strip().splitlines() or ["no reason"])[-1],
                              where=", ".join(words)) from None
    if "error" in told:
        raise UserError(told["error"], where=told["where"], mend=told["mend"])
    return [Target.of(one) for one in told["targets"]]


def main(words: list[str]) -> None:
    """One JSON object in, one out."""
    asked = json.loads(words[0])
    try:
        found = [_target(word, Path(asked["workspace"])) for word in asked["words"]]
        said: dict[str, Any] = {"targets": [target.plain() for target in found]}
    except VisionmillError as error:
        said = {"error": error.what, "where": None if error.where is None else str(error.where), "mend": error.mend}
    print(json.dumps(said))


def _target(word: str, workspace: Path) -> Target:
    from tasks.base.files import digest_file, digest_value
    from tasks.registry.versions import is_address
    from tasks.seeing.opening import find_model

    name, address = address_of(word)
    version, artefact = None, None
    if is_address(address):
        path, version, artefact = _registered(address, workspace)
    else:
        path = find_model(address or None, workspace)
    path = path.resolve()
    problem, classes, runtime = _described(path)
    if problem != "detect":
        raise UserError(f"its problem is {problem!r}: a server answers with boxes", where=path, mend="name a detector")
    files = [path] if path.is_file() else [path / "model.json", path / "model.safetensors"]
    digests = [digest_file(file) for file in files]
    return Target(name or _name(address, workspace), address or str(path), str(path),
                  digests[0] if len(digests) == 1 else digest_value(digests), version, artefact,
                  tuple(classes), runtime)


def _described(path: Path) -> tuple[str, list[str], str]:
    """Problem, classes and runtime. A model folder is read as the JSON that it is: asking it properly imports torch."""
    from tasks.base.files import read_json
    from tasks.runtime.backends.description import describe

    if path.is_dir():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = read_json(path / "model.json")
            return told["problem"], list(told["classes"]), "torch"
    told = describe(path)
    return told.problem, told.classes, told.runtime


def _registered(address: str, workspace: Path) -> tuple[Path, str, str | None]:
    """The file, the number and the artefact of a version; MLflow is imported only for what is not on this disk."""
    from tasks.registry.tracing.reading import find, reading
    from tasks.registry.versions import ADDRESS, local_files, resolve_model

    if not ADDRESS.fullmatch(address):
        resolve_model(address, "deployed", workspace)  # says what is wrong with it
    with reading(workspace, "a version was looked up") as registry:
        known = find(address, registry, workspace)
        folder = local_files(registry.files(known), workspace)
    file = next(iter(sorted((folder / "artifacts").glob("*.onnx"))), None) if folder is not None else None
    # by its number: the alias may have moved since
    return (file or resolve_model(f"models:/{known.name}/{known.version}", "deployed", workspace), known.version,
            known.tag("artefact"))


def _name(address: str, workspace: Path) -> str:
    """A name for what was given none: the registered model's, the file's, the folder's, the workspace's."""
    from tasks.base.files import read_json
    from tasks.registry import store, versions

    if match := versions.ADDRESS.fullmatch(address):
        return match["name"]
    path = Path(address).resolve()
    bundle = path / "bundle.json"
    found = store.workspace_name(workspace) if not address else \
        str(read_json(bundle)["name"]) if bundle.is_file() else path.stem if path.is_file() else path.name
    return re.sub(r"[^\w\-. ]", "_", found)


if __name__ == "__main__":
    main(sys.argv[1:])
