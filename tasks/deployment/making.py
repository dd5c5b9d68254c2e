"""The bundle of a version for a target: of the file that was judged, or of one exported from the weights beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, cast

from tasks.base import presets
from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import folder_atomic
from tasks.bundle import content
from tasks.bundle.exported import read_exported
from tasks.bundle.make import make_bundle
from tasks.bundle.source import find_source
from tasks.registry import versions

EXPORT_S = 900.0
REFUSED = 2  # exit code of an export that the input does not allow


def build(version: Any, target: str, out: Path, workspace: Path = Path()) -> str:
    """Write the bundle to `out`, which must not exist.

    A version carries one ONNX file, that which the gate judged. It is bundled for the target that it is made for. For
    other targets the weights beside it are exported, which 8 bits do not allow: they need pictures to calibrate with.

    Returns:
        `judged`, or `pruned` or `trained` for the weights that were exported.

    Raises:
        UserError: the version does not hold what the target needs; what is missing is said.
    """
    carried = version.tags.get("visionmill.artefact", "")
    address = f"models:/{version.name}/{version.version}"
    if not carried or carried.partition("/")[2] == target:
        make_bundle(address, out, target=target, workspace=workspace)
        return "judged"
    if presets.load("target", target, workspace).get("precision") == "int8":
        raise UserError(f"version {version.version} carries {carried} and no file for {target}: 8 bits want pictures "
                        "to calibrate with, which a version does not hold", where=address,
                        mend=f"deploy.targets: [{carried.partition('/')[2]}] in conf/site/, or register a version "
                             f"whose judged file is {target}")
    kind = cast(Literal["pruned", "trained"], "trained" if carried.startswith("trained/") else "pruned")
    weights = versions.resolve_model(address, kind, workspace)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{kind}.onnx"
        _export(weights, target, file, workspace)
        _bundle(address, file, f"{kind}/{target}", out, workspace)
    return kind


def _bundle(address: str, file: Path, artefact: str, out: Path, workspace: Path) -> None:
    """The bundle of another file than the judged one: what was measured of that one is not said of this one."""
    known = find_source(address, None, None, workspace)
    provenance = {**known.provenance, "artefact": artefact, "gate": f"not asked: exported for {artefact} at deployment"}
    source = dataclasses.replace(known, file=file, provenance=provenance, measured={})
    found = read_exported(file)
    content.check_names(found.classes, file)
    with folder_atomic(out) as folder:
        shutil.copyfile(file, folder / "model.onnx")
        content.finish(folder, content.describe(found, source, "alone", "model.onnx"), found, source)


def _export(weights: Path, target: str, file: Path, workspace: Path) -> None:
    """Export in a process of its own: a watch that runs for months must not hold torch."""
    options = json.dumps({"weights": str(weights), "target": target, "file": str(file), "workspace": str(workspace)})
    command = [sys.executable, "-P", "-m", "tasks.deployment.making", options]
    try:
        done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=EXPORT_S,
                              stdin=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    except subprocess.TimeoutExpired:
        raise UserError(f"the export for {target} took longer than {EXPORT_S:.0f} s", where=weights,
                        mend="try again on a quieter machine") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])
        raise UserError(f"the weights cannot be exported for {target}: {said[-1][:300]}", where=weights,
                        mend=f"leave {target} out of deploy.targets")


def main(options: dict[str, str]) -> int:
    """Export one model folder; the last line of the errors is the reason."""
    from tasks.base.params import check
    from tasks.compress.target import Target, write_for

    workspace = Path(options["workspace"])
    try:
        target = check(Target, presets.load("target", options["target"], workspace), options["target"])
        write_for(target, Path(options["weights"]), Path(options["file"]))
    except VisionmillError as error:
        print(error.what, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
