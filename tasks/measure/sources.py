"""What `visionmill benchmark` measures: the artefacts behind a name, a workspace, a model folder or files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file
from tasks.metrics.targets import chosen_targets
from tasks.runtime.artefacts import artefacts

if TYPE_CHECKING:
    from tasks.data.table import Dataset

SHORT = re.compile(r"[\w\-. ]+(@[\w-]+|/(\d+|latest))")  # NAME@ALIAS, NAME/3


@dataclass(frozen=True)
class Source:
    """Artefacts by name, and the workspace that they are of, None where they are of none."""

    paths: dict[str, Path] = field(default_factory=dict)
    workspace: Path | None = None


def find(words: Sequence[str], workspace: Path = Path()) -> Source:
    """The artefacts that the words name; those of the workspace itself when there are none.

    Args:
        words: `NAME@ALIAS`, `NAME/VERSION`, `models:/…`, a workspace, a model folder, or .onnx and .engine files.
        workspace: whose registry is asked.

    Raises:
        UserError: a word names nothing, or nothing has been made yet.
    """
    here = workspace if (workspace / "params.yaml").is_file() else None
    paths: dict[str, Path] = {}
    for word in words or [str(workspace)]:
        place = Path(word)
        if (place / "params.yaml").is_file():
            here = place
        for name, path in _named(word, workspace):
            paths[_free(name, paths)] = path
    return Source(paths, here)


def _named(word: str, workspace: Path) -> Iterator[tuple[str, Path]]:
    place = Path(word)
    if word.startswith("models:/") or (SHORT.fullmatch(word) and not place.exists()):
        yield from _version(word if word.startswith("models:/") else f"models:/{word}", workspace)
    elif (place / "params.yaml").is_file():
        yield from _workspace(place)
    elif (place / "model.json").is_file():
        yield f"{place.resolve().name}/torch", place
    elif place.is_file():
        exported = place.resolve().parent
        target = exported.name if exported.parent.name == "exports" else place.suffix[1:] or "file"
        yield f"{place.stem}/{target}", place
    else:
        raise UserError("there is no model here", where=word,
                        mend="name a version (cells@champion), a workspace, a model folder, or .onnx files")


def _workspace(folder: Path) -> Iterator[tuple[str, Path]]:
    made = artefacts(folder / "models/trained", folder / "models/pruned", folder / "exports",
                     chosen_targets(folder / "params.yaml"))
    there = {name: path for name, path in made.items() if path.exists()}
    if not there:
        raise UserError("nothing has been made in this workspace yet", where=folder.resolve(), mend="visionmill run")
    yield from there.items()


def _version(address: str, workspace: Path) -> Iterator[tuple[str, Path]]:
    """The version's own models and file; and the other files of its line, where this workspace still has them."""
    from tasks.registry.versions import resolve_model

    deployed = resolve_model(address, "deployed", workspace)
    for part in ("trained", "pruned"):
        try:
            yield f"{part}/torch", resolve_model(address, "trained" if part == "trained" else "pruned", workspace)
        except UserError:  # an imported model has no folder of ours
            continue
    siblings = _siblings(deployed, workspace)
    if digest_file(deployed) not in {digest_file(path) for path in siblings.values()}:
        yield f"{deployed.stem}/deployed", deployed
    yield from siblings.items()


def _siblings(deployed: Path, workspace: Path) -> dict[str, Path]:
    from tasks.runtime.backends.description import describe

    line, found = describe(deployed).line, {}
    for path in sorted(workspace.glob("exports/*/*.onnx")):
        try:
            same = bool(line) and describe(path).line == line
        except DataError:
            continue  # whatever it is, it is none of this line
        if same:
            found[f"{path.stem}/{path.parent.name}"] = path
    return found


def _free(name: str, taken: dict[str, Path]) -> str:
    numbered = (f"{name} ({n})" for n in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def pictures(data: Path | None, workspace: Path | None) -> tuple[Dataset, Path] | None:
    """The test pictures with their boxes and the folder that they lie in; None where there are none to be had.

    Args:
        data: a dataset folder with `raw` beside it, or a workspace; the workspace's own when None.
        workspace: of the artefacts.

    Raises:
        DataError: `data` is no dataset, or has no picture.
    """
    from tasks.data.table import read_dataset

    place = data or workspace
    if place is None:
        return None
    folder = place / "data/split" if (place / "data/split").is_dir() else place
    if data is None and folder == place:
        return None
    dataset = read_dataset(folder)
    test = dataset.subset("test")
    chosen = test if test.images.num_rows else dataset
    if not chosen.images.num_rows:
        raise DataError("no picture to measure accuracy on", where=folder, mend="--data another dataset folder")
    raw = folder.parent / "raw"
    if not raw.is_dir():
        raise DataError("the pictures of this dataset are missing", where=raw, mend="keep them in `raw` beside it")
    return chosen, raw
