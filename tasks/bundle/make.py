"""Making a bundle and checking one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from tasks.base import presets
from tasks.base.errors import DataError, UserError, nearest
from tasks.base.files import digest_file, folder_atomic, read_json
from tasks.bundle import content
from tasks.bundle.deepstream import write_deepstream
from tasks.bundle.exported import Exported, Named, read_classifier, read_exported
from tasks.bundle.source import Source, find_source
from tasks.bundle.triton import write_triton
from tasks.runtime.cascade import Cascading
from tasks.runtime.slicing import Slicing

Kind = Literal["alone", "triton", "deepstream"]


def make_bundle(model: str | None, out: Path, *, target: str | None = None, artefact: str | None = None,
                kind: Kind = "alone", slicing: Slicing | None = None, cascade: Cascading | None = None,
                workspace: Path = Path()) -> Path:
    """Write a folder that runs a model alone. No dataset is needed, and no GPU.

    Args:
        model: NAME@ALIAS, NAME/VERSION, models:/…, or an .onnx file; None for an artefact of the workspace.
        out: the folder; it must not exist, or be empty.
        target: what the file must be made for, a name in conf/target/.
        artefact: `pruned/TARGET` or `trained/TARGET` of the workspace.
        kind: for `predict.py` alone, or for Triton or DeepStream too.
        slicing: tiles over large pictures; `predict.py` alone makes them.
        cascade: a classifier that names the boxes; `predict.py` alone asks it.
        workspace: whose store and exports are asked.

    Returns:
        The folder.

    Raises:
        UserError: no such model or target, or `out` is in use.
        DataError: the file cannot be bundled.
        OSError: the disk is full; then there is no folder.
    """
    out = _free(out)
    source = find_source(model, target, artefact, workspace)
    found = read_exported(source.file)
    content.check_names(found.classes, found.file)
    if target is not None:
        _check_target(found, target, workspace)
    classifier = _classifier(cascade, found) if cascade else None
    if kind != "alone" and (slicing or cascade):
        raise UserError(f"tiles and classifiers are predict.py's: a bundle for {kind} has no place for them",
                        mend="leave --tile and --classify out, or --for")
    with folder_atomic(out) as folder:
        more: dict[str, Any] = {"tiles": slicing.model_dump()} if slicing else {}
        if cascade and classifier:
            shutil.copyfile(classifier.file, folder / content.CLASSIFIER)
            more["cascade"] = content.cascade_told(classifier, cascade)
        content.finish(folder, {**_write(folder, found, source, kind), **more}, found, source)
    return out


def _write(folder: Path, found: Exported, source: Source, kind: Kind) -> dict[str, Any]:
    """The files that are of one kind of bundle alone; returns what `bundle.json` says."""
    if kind == "triton":
        return write_triton(folder, found, source)
    if kind == "deepstream":
        return write_deepstream(folder, found, source)
    shutil.copyfile(found.file, folder / "model.onnx")
    return content.describe(found, source, kind, "model.onnx")


def _classifier(asked: Cascading, found: Exported) -> Named:
    for name in asked.only:
        if name not in found.classes:
            guess = nearest(name, found.classes)
            raise UserError(f"the detector knows no class {name!r}", where=f"--classify-only {name}",
                            mend=f"did you mean {guess!r}?" if guess else f"classes: {', '.join(found.classes)}")
    return read_classifier(asked.file)


def _free(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("the place is in use", where=out, mend="--out another folder, or remove that one")
    return out.resolve()


def _check_target(found: Exported, target: str, workspace: Path) -> None:
    wanted = presets.load("target", target, workspace)
    asked = (wanted.get("runtime", "onnxruntime"), wanted.get("precision", "fp32"), wanted.get("device", "cpu"))
    # TensorRT has one device, whatever the target says
    own = (found.runtime, found.precision, found.device if found.runtime == "onnxruntime" else asked[2])
    if asked != own:
        raise UserError(f"the file is not made for {target!r}: it is {own[1]} for {own[0]} on {own[2]}",
                        where=found.file, mend=f"{target} is {asked[1]} for {asked[0]} on {asked[2]}: name a file of "
                                               "that target, or leave --target out")


def check_bundle(folder: Path) -> dict[str, int]:
    """Compare a bundle's files with its list of checksums.

    Returns:
        Bytes of each file.

    Raises:
        DataError: no bundle, or files that are missing or changed; they are named.
    """
    listed = folder / content.CHECKSUMS
    if not listed.is_file():
        raise DataError(f"no bundle: {content.CHECKSUMS} is missing", where=folder,
                        mend="a folder that `visionmill bundle` made")
    wanted = _listed(listed)
    there = set(content.names_in(folder))
    wrong = [f"{name} is missing" for name in wanted if name not in there]
    wrong += [f"{name} was changed" for name in wanted if name in there and digest_file(folder / name) != wanted[name]]
    if content.TOLD in wanted and not wrong:
        files = read_json(folder / content.TOLD)["files"]
        wrong += [f"{name} is not on the list" for name in sorted(set(files) - set(wanted))]
    if wrong or content.TOLD not in wanted:
        raise DataError("the bundle is not what was made: " + ("; ".join(wrong) or f"{content.TOLD} is not listed"),
                        where=folder, mend="copy it again from where it was made, or make it again")
    return {name: (folder / name).stat().st_size for name in wanted}


def _listed(file: Path) -> dict[str, str]:
    try:
        rows = [line.split("  ", 1) for line in file.read_text(encoding="utf-8").splitlines()]
        wanted = {name: digest for digest, name in rows}
    except ValueError:
        raise DataError("the list of checksums was changed", where=file, mend="make the bundle again") from None
    outside = [name for name in wanted if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise DataError(f"the list of checksums names a file outside the bundle: {outside[0]!r}", where=file,
                        mend="it was not made by visionmill: do not use it")
    return wanted
