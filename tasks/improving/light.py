"""A training outside the line: small, on a version's tables, judged on a fixed set. For the loop's rounds and arms."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file, digest_value, folder_atomic, read_json, write_json
from tasks.base.params import Params
from tasks.base.progress import Progress
from tasks.models.preset import DetectorPreset, input_shape
from tasks.training.settings import Augment, Training

if TYPE_CHECKING:
    from tasks.data.table import Dataset
    from tasks.training.pictures import Pictures
    from tasks.training.state import State

RECORD, FOUND = "light.json", "detections.parquet"
VERSION = 1  # of the code that makes a model of these settings
COUNTED = ["image_id", "class_id", "x", "y", "w", "h", "iscrowd"]


class Light(Params):
    """How to train for seconds.

    Attributes:
        model: the network, as in the section `train`; `image_size` is the longer side of its input in pixels.
        init: `imagenet` or `scratch`; an earlier model's folder is an argument.
        steps: of the optimiser, however few pictures there are: sets of 20 and of 500 pictures train as long.
        batch_size: pictures a step.
        lr, backbone_lr, warmup, ema, freeze, amp, augment: as in the section `train`.
        laps: parts of the training; after each a killed one goes on.
        draws: of pictures, for the 95 % intervals.
        threads: cores; null: all that this process may use. They change the time, hardly the result.
    """

    model: DetectorPreset = DetectorPreset(image_size=160, levels=3)
    init: Literal["imagenet", "scratch"] = "imagenet"
    steps: int = Field(240, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(4e-3, gt=0)
    backbone_lr: float = Field(0.5, gt=0, le=1)
    warmup: int = Field(20, ge=0)
    ema: float = Field(0.98, ge=0, lt=1)
    freeze: int = Field(2, ge=0, le=4)
    amp: Literal["off", "bf16"] = "off"
    augment: Augment = Augment(mosaic=0.0, zoom=(0.8, 1.25), crop=0.5)
    laps: int = Field(4, ge=1)
    draws: int = Field(1000, ge=100)
    threads: int | None = Field(None, ge=1)

    def training(self, pictures: int, seed: int, scratch: bool) -> tuple[Training, int]:
        """The line's settings, and how many pictures an epoch of theirs shows, each as often as the others."""
        laps = min(self.laps, self.steps)
        shown = max(1, round(self.steps / laps)) * self.batch_size
        names = ("batch_size", "lr", "backbone_lr", "warmup", "ema", "amp", "augment")
        given = {name: getattr(self, name) for name in names}
        return Training(**given, epochs=laps, freeze=0 if scratch else self.freeze, validate_every=laps,
                        seed=seed), shown


@dataclass(frozen=True)
class Judged:
    """A trained model and what it is worth on the set that it was judged on.

    Attributes:
        model: its folder, which `open_detector` opens.
        detections: in the form of `tasks.metrics.detections.SCHEMA`, on the pictures of the judging set.
        metrics: AP, AP50, each with _low and _high of its 95 % interval over pictures (0..1, or None without ground
            truth), `per_class`: name → the same with `ground_truth` and `detections`; images, train_images,
            train_boxes, `left_out`: pictures that were also in the judging set and so not trained on.
    """

    model: Path
    detections: pa.Table
    metrics: dict[str, Any]


def train_and_judge(version_folder: Path, raw: Path, settings: Light, *, judge: Dataset, out: Path, seed: int = 0,
                    init: Path | None = None, judge_raw: Path | None = None) -> Judged:
    """Train on a version's pictures and judge on a set that is given; no stage, no run, nothing but files in `out`.

    The pictures of the splits `val` and `test` are not trained on, nor those that are in `judge`. There is no choice
    of an epoch: the averaged weights at the end are the model, so that nothing is chosen on what it is judged by.
    What `out` has already, of the same data and settings, is read and not made again; a killed training goes on.

    Args:
        version_folder: a version of the store, or any dataset folder.
        raw: where its pictures' names start: `store.pictures`, or `data/raw`.
        judge: pictures and labels that the accuracy is measured on.
        out: the model's folder, with `light.json` and `detections.parquet` beside the model.
        seed: fixes the network's start, the order and the augmentation.
        init: folder of an earlier model to start from.
        judge_raw: as `raw`, of `judge`; the same when None.

    Raises:
        DataError: no picture, no box, labels without boxes, other classes in `judge`.
        UserError: the loss is not finite.
    """
    from tasks.data.table import read_dataset

    whole = read_dataset(version_folder)
    learned, left_out = to_learn(whole, judge, version_folder)
    key = _key(learned, judge, settings, seed, init)
    if (known := _known(out, key)) is not None:
        return known
    return _made(learned, raw, settings, judge, judge_raw or raw, out, seed, init, key, left_out)


def to_learn(whole: Dataset, judge: Dataset, where: Path) -> tuple[Dataset, int]:
    """The rows that are trained on, and how many pictures of `judge` are not among them.

    Raises:
        DataError: nothing to learn from, or the classes differ.
    """
    from tasks.training.session import TRAINED

    mend = "label some of its pictures, or take another version: visionmill data list"
    if whole.meta.problem not in TRAINED:
        raise DataError(f"these labels are for {whole.meta.problem!r}; what is trained here is detection of boxes",
                        where=where, mend=mend)
    if whole.meta.classes != judge.meta.classes:
        raise DataError(f"the classes differ: {', '.join(whole.meta.classes)}; judged on "
                        f"{', '.join(judge.meta.classes)}", where=where, mend="visionmill data relabel NAME --map …")
    split = whole.images["split"]
    free = pc.invert(pc.is_in(split, value_set=pa.array(["val", "test"])))
    judged = pc.is_in(whole.images["digest"], value_set=judge.images["digest"].combine_chunks())
    images = whole.images.filter(pc.and_(free, pc.invert(judged)))
    inside = pc.is_in(whole.annotations["image_id"], value_set=images["image_id"].combine_chunks())
    learned = replace(whole, images=images, annotations=whole.annotations.filter(inside))
    boxes = learned.annotations.num_rows - (pc.sum(learned.annotations["iscrowd"]).as_py() or 0)
    if not images.num_rows or not boxes:
        raise DataError("there is no picture to train on" if not images.num_rows else "there is no box to train on",
                        where=where, mend=mend)
    return learned, pc.sum(pc.and_(free, judged)).as_py() or 0


class Often:
    """Pictures again and again, each as often as the others, `shown` in all: few of them still make many steps."""

    def __init__(self, pictures: Pictures, shown: int) -> None:
        self.pictures, self.shown, self.shape = pictures, shown, pictures.shape

    def __len__(self) -> int:
        return self.shown

    def __getitem__(self, index: int) -> Any:
        return self.pictures[index % len(self.pictures)]


def _made(learned: Dataset, raw: Path, settings: Light, judge: Dataset, judge_raw: Path, out: Path, seed: int,
          init: Path | None, key: str, left_out: int) -> Judged:
    import torch

    from tasks.metrics.detections import write_detections
    from tasks.models.store import save_model
    from tasks.training.judge import Judge
    from tasks.training.session import use_threads
    from tasks.training.start import start

    use_threads()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    structure = _structure(learned, settings, init, key)
    model = start(structure, settings.init, seed, init)
    shape = (structure.height, structure.width)
    work = out.with_name(f".{out.name}-{key[:16]}")
    _learn(model, learned, raw, shape, settings, seed, work, init)
    chosen = Judge(raw, _some(learned), shape).thresholds(model)
    found = Judge(judge_raw, judge, shape).detections(model)
    facts = {"train_images": learned.images.num_rows, "train_boxes": learned.annotations.num_rows,
             "left_out": left_out}
    metrics = measure(judge, found, settings.draws) | facts
    with folder_atomic(out) as folder:
        save_model(folder, replace(structure, thresholds=chosen), model.state_dict())
        write_detections(folder / FOUND, found)
        write_json(folder / RECORD, {"key": key, "seed": seed, "settings": settings.model_dump(mode="json"),
                                     "metrics": metrics})
    shutil.rmtree(work, ignore_errors=True)
    return Judged(out, found, metrics)


def _learn(model: Any, learned: Dataset, raw: Path, shape: tuple[int, int], settings: Light, seed: int, work: Path,
           init: Path | None) -> None:
    from tasks.training.loop import fit
    from tasks.training.pictures import Pictures

    pictures = Pictures(raw, learned, shape)
    training, shown = settings.training(len(pictures), seed, init is None and settings.init == "scratch")

    def nothing_chosen(_: Any) -> tuple[float, float]:
        return 0.0, 0.0

    progress = Progress(training.epochs, f"trained on {len(pictures)} pictures,", every=0)

    def resumed(state: State) -> None:
        progress.total -= state.epoch

    repeated: Any = Often(pictures, shown)
    judging: Any = nothing_chosen
    try:
        fit(model, repeated, judging, training, work / "checkpoint.pt", lambda entry: progress.step(), resumed)
    except FloatingPointError as error:
        raise UserError(str(error).replace("train.lr", "lr"), where="the settings of the light training",
                        mend="a lower lr, or init: imagenet") from None


def measure(judge: Dataset, found: pa.Table, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """AP and AP50 of all classes together and of each, with their 95 % intervals; as `Judged.metrics` says."""
    from tasks.metrics.bootstrap import resample_all, spread
    from tasks.metrics.coco import evaluate_coco

    told, drawn = evaluate_coco(judge, found), resample_all(judge, found, draws=draws, seed=seed)

    def sure(samples: Mapping[Any, Any]) -> dict[str, float | None]:
        named = {name: spread(sample) for name, sample in samples.items()}
        return {f"{name}_{end}": getattr(one, end) for name, one in named.items() for end in ("low", "high")}

    per_class = {name: told["per_class"][name] | sure(samples)
                 for name, samples in zip(judge.meta.classes, drawn.classes, strict=True)}
    return {"AP": told["AP"], "AP50": told["AP50"], **sure(drawn.overall), "per_class": per_class,
            "images": told["images"]}


def _structure(learned: Dataset, settings: Light, init: Path | None, key: str) -> Any:
    from tasks.models.store import Structure, load_structure
    from tasks.training.start import shaped_like

    sizes = learned.images.select(["height", "width"]).to_pydict()
    aspects = [h / w for h, w in zip(sizes["height"], sizes["width"], strict=True) if h and w]
    preset = settings.model
    if init is not None:
        # an earlier model brings its parts; the input stays what was asked for
        told = load_structure(init).preset
        preset = told.model_copy(update={"image_size": preset.image_size, "aspect": preset.aspect})
    height, width = input_shape(preset, aspects)
    return shaped_like(Structure(preset, list(learned.meta.classes), height, width, key[:32]), init)


def _some(learned: Dataset, most: int = 64) -> Dataset:
    """The thresholds of use are chosen on these: the first pictures with a box."""
    having = pc.is_in(learned.images["image_id"], value_set=pc.unique(learned.annotations["image_id"]))
    images = learned.images.filter(having).slice(0, most)
    inside = pc.is_in(learned.annotations["image_id"], value_set=images["image_id"].combine_chunks())
    return replace(learned, images=images, annotations=learned.annotations.filter(inside))


def _key(learned: Dataset, judge: Dataset, settings: Light, seed: int, init: Path | None) -> str:
    from tasks.metrics.testset import digest_testset

    changing = settings.model_dump(mode="json", exclude={"threads"})
    earlier = digest_file(init / "model.safetensors") if init is not None else None
    return digest_value([VERSION, _digest(learned), digest_testset(judge), changing, seed, earlier])


def _digest(dataset: Dataset) -> str:
    """Of the pictures in their order, which the training follows, and of their boxes."""
    owners = {image: place for place, image in enumerate(dataset.images["image_id"].to_pylist())}
    columns = [dataset.annotations[name].to_pylist() for name in COUNTED]
    columns[0] = [owners[image] for image in columns[0]]
    return digest_value([dataset.images["digest"].to_pylist(), columns, dataset.meta.classes])


def _known(out: Path, key: str) -> Judged | None:
    from tasks.metrics.detections import read_detections

    try:
        told = read_json(out / RECORD)
        if told["key"] != key or not (out / "model.safetensors").is_file():
            return None
        return Judged(out, read_detections(out / FOUND), told["metrics"])
    except (OSError, ValueError, KeyError, DataError):
        return None


def class_counts(dataset: Dataset) -> dict[str, int]:
    """Boxes of each class, crowds not counted."""
    rows = dataset.annotations.filter(pc.invert(dataset.annotations["iscrowd"]))
    counts = np.bincount(rows["class_id"].to_numpy(), minlength=len(dataset.meta.classes))
    return dict(zip(dataset.meta.classes, counts.tolist(), strict=True))
