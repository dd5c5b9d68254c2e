"""The training of visionmill as an executor: the line's own loop on what the input folder has."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.files import digest_value
from tasks.models.preset import DetectorPreset, input_shape
from tasks.models.store import Structure, save_model
from tasks.plugins.contract import write_yaml
from tasks.plugins.receiving import Given, labelled
from tasks.training.judge import Judge
from tasks.training.loop import Entry, fit
from tasks.training.pictures import Pictures
from tasks.training.session import parts, use_threads
from tasks.training.settings import Training
from tasks.training.start import shaped_like, start

if TYPE_CHECKING:
    from tasks.plugins.executor import Settings

BEST = "best"


def learn(given: Given, settings: Settings, report: Callable[[float], None]) -> None:
    """Train, and leave the best epoch as the stage `best` beside `result.yaml`.

    Raises:
        DataError: what was given cannot be learnt from. FloatingPointError: the loss is not finite.
    """
    use_threads()
    dataset = labelled(given)
    train, val = parts(dataset)
    earlier = next((path.parent if path.name == "model.json" else path for path in
                    given.models("pretrained_model_params") if path.name == "model.json" or path.is_dir()), None)
    preset = DetectorPreset(backbone=settings.backbone, image_size=settings.image_size)
    sizes = train.images.select(["height", "width"]).to_pydict()
    shape = input_shape(preset, [h / w for h, w in zip(sizes["height"], sizes["width"], strict=True)])
    key = digest_value([settings.model_dump(), train.images["digest"].to_pylist()])[:32]
    structure = shaped_like(Structure(preset, list(given.classes), *shape, key), earlier)
    freeze = {} if earlier or settings.init == "imagenet" else {"freeze": 0}
    training = Training.model_validate({"epochs": settings.epochs, "batch_size": settings.batch_size,
                                        "lr": settings.lr, "seed": settings.seed, **freeze})
    model = start(structure, settings.init, settings.seed, earlier)
    shape = structure.height, structure.width
    judge = Judge(given.folder, val, shape)

    def told(entry: Entry) -> None:
        report(0.99 * entry["epoch"] / training.epochs)
        print(f"epoch {entry['epoch']}/{training.epochs} loss {entry['loss']:.3f} "
              f"AP {entry.get('val_AP', float('nan')):.3f}", flush=True)

    with tempfile.TemporaryDirectory(prefix="visionmill-") as work:
        pictures = Pictures(given.folder, train, shape, training.cache_mb)
        state = fit(model, pictures, judge, training, Path(work) / "checkpoint.pt", told)
    folder = given.out(given.env.output.models_dir)
    save_model(folder / BEST, replace(structure, thresholds=judge.thresholds(model)), state.best)
    best = next(entry for entry in state.history if entry["epoch"] == state.best_epoch)
    score = {"mAP": round(float(best["val_AP"]), 6), "AP50": round(float(best["val_AP50"]), 6)}
    write_yaml(given.out(given.env.output.training_result_file), {
        "best_stage_name": BEST, "mAP": score["mAP"], "model_stages": {BEST: {
            "stage_name": BEST, "files": ["model.json", "model.safetensors"], "timestamp": int(time.time()), **score}},
        "evaluate_config": {"iou_thr": 0.5, "conf_thr": settings.confidence}})
