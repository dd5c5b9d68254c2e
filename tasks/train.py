"""Stage `train`: a detector from the training split, the epoch chosen on the validation split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks.base.files import digest_tree, digest_value, folder_atomic, write_json
from tasks.data.table import Dataset, read_dataset
from tasks.models.preset import DetectorPreset, input_shape
from tasks.models.store import Structure, save_model
from tasks.registry.runs import stage_run
from tasks.registry.versions import resolve_model
from tasks.training.session import forget, known_run, learn, parts, use_threads, work_folder
from tasks.training.settings import Training
from tasks.training.start import shaped_like, start


class Params(Training):
    """Section `train`.

    Attributes:
        model: the network; `visionmill configure model=NAME` fills it from a preset of conf/model/.
        init: `imagenet`, `scratch`, or an earlier version such as `models:/cells@champion`.
    """

    model: DetectorPreset = DetectorPreset()
    init: str = "imagenet"


def structure_of(params: Params, dataset: Dataset, line: str) -> Structure:
    """The network that these parameters and this data ask for."""
    sizes = dataset.subset("train").images.select(["height", "width"]).to_pydict()
    aspects = [h / w for h, w in zip(sizes["height"], sizes["width"], strict=True)]
    height, width = input_shape(params.model, aspects)
    return Structure(params.model, list(dataset.meta.classes), height, width, line)


def run(params: Params, *, raw: Path, data: Path, out: Path, run: Path) -> None:
    """Train and write model.json, model.safetensors and history.json to `out`, and the run's record to `run`."""
    use_threads()
    dataset = read_dataset(data)
    parts(dataset)
    data_hash = digest_tree(data)
    line = digest_value([params.model_dump(), data_hash])[:32]
    earlier = None if params.init in ("imagenet", "scratch") else resolve_model(params.init, "trained")
    structure, work = shaped_like(structure_of(params, dataset, line), earlier), work_folder("train", line)
    settings = params if earlier or params.init == "imagenet" else params.model_copy(update={"freeze": 0})
    with stage_run("train", line=line, params=params.model_dump(), record=run, resume=known_run(work)) as told:
        told.dataset(dataset.meta.name, data_hash)
        model = start(structure, params.init, params.seed, earlier)
        state, best = learn(model, dataset, raw, (structure.height, structure.width), settings, work, told)
        told.metrics({"best_epoch": state.best_epoch, "best_val_AP": state.best_ap})
        with folder_atomic(out) as folder:
            save_model(folder, replace(structure, thresholds=best), state.best)
            write_json(folder / "history.json", state.history)
        told.artifact(out / "history.json", "train")
    forget(work)
    print(f"trained {params.model.backbone} at {structure.height} × {structure.width}: validation AP "
          f"{state.best_ap:.3f} in epoch {state.best_epoch} of {state.epoch}")
