"""A plug-in as a trainer: a dataset version goes in, models come out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError, UserError
from tasks.base.files import folder_atomic, write_json
from tasks.data.table import Dataset, boxes_of, read_dataset
from tasks.plugins.folders import Sample, of_rows
from tasks.plugins.plain import open_plain
from tasks.plugins.preset import digest_of, named, read_plugin, refuse_kind, weights_of
from tasks.plugins.results import Flaws, Trained, read_models
from tasks.plugins.running import Asked, Outcome, asked, progress

TRAINED = "trained.json"
EACH = 5  # where nobody has split: of so many pictures, by their content, one judges


def train(name: str, data: Path, raw: Path, out: Path, workspace: Path = Path(), *,
          models: Sequence[Path] = (), more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Let a plug-in train on the splits `train` and `val` of a dataset; its models are written to `out/STAGE/`.

    Args:
        name: `NAME` or `plugin:NAME`.
        data: a dataset folder; raw: what its files are relative to.
        models: weights to start from, instead of those that its file names.
        more: parameters over those of its file.

    Returns:
        What stands in `out/trained.json`: plugin, digest, best, stages with their files and mAP.

    Raises:
        ParamsError: there is no such plug-in. UserError: it trains nothing, fails, or does not end; weights are not
            there, or `out` is a folder of something else.
        DataError: a split is empty, or its answer cannot be used.
    """
    name = named(name)
    plugin = read_plugin(name, workspace)
    refuse_kind(plugin, name, "train")
    _refuse_paths(out, models)
    dataset = read_dataset(data)
    learn, judge = _split(dataset, raw)
    wanted = Asked({"train"}, dataset.meta.classes, train=learn, val=judge, more=dict(more or {}),
                   models=models or weights_of(plugin, name, workspace))
    with asked(plugin, name, wanted, workspace, progress(name)) as outcome:
        path = outcome.room.made / "models/result.yaml"
        flaws = Flaws()
        made = read_models(path, path.parent, flaws)
        flaws.refuse(path)
        if made is None:
            raise DataError("the plug-in left no models", where=path, mend="see its log")
        return _keep(made, out, {"plugin": name, "digest": digest_of(plugin, name, workspace)}, outcome)


def _refuse_paths(out: Path, models: Sequence[Path]) -> None:
    """Before hours of training, and not after them."""
    for path in models:
        if not path.exists():
            raise UserError("there are no such weights", where=path, mend="name a file or a folder that is there")
    if out.exists() and not (out / TRAINED).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("something else is there, which the models would replace", where=out,
                        mend="choose a path that is free")


def _keep(made: Trained, out: Path, told: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    facts = told | {"best": made.best, "seconds": round(outcome.ended.seconds, 1), "stages": {
        stage.name: {"files": [file.name for file in stage.files], "mAP": stage.score} for stage in made.stages}}
    with folder_atomic(out) as folder:
        for stage in made.stages:
            (folder / stage.name).mkdir()
            for file in stage.files:
                shutil.copyfile(file, folder / stage.name / file.name)
        with open_plain(outcome.room.log) as log:
            (folder / "log.txt").write_bytes(log.read())
        write_json(folder / TRAINED, facts)
    return facts


def _split(dataset: Dataset, raw: Path) -> tuple[list[Sample], list[Sample]]:
    samples = of_rows(dataset.images, raw, boxes_of(dataset))
    splits = dataset.images["split"].to_pylist()
    if not any(splits):
        parts = [bool(re.fullmatch("[0-9a-f]+", one.key)) and int(one.key, 16) % EACH == 0 for one in samples]
        splits = ["val" if part else "train" for part in parts]
    learn, judge = ([one for one, split in zip(samples, splits, strict=True) if split == name]
                    for name in ("train", "val"))
    for what, some in (("train", learn), ("val", judge)):
        if not some:
            raise DataError(f"the {what} split has no picture", where=dataset.meta.name,
                            mend="give a version whose pictures are split, or none of them")
    return learn, judge
