"""A small network on disk and pictures labelled with its own answers: what a file loses is then the file's doing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.base.files import digest_value
from tasks.compress import onnx_file
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.models.fcos import FCOS
from tasks.models.plan import Plan, read_plan
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model
from tasks.runtime.detector import Detector, open_detector

SHAPE = (64, 96)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Two threads collapse where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(seed: int = 0) -> tuple[FCOS, Structure]:
    """A quarter of ResNet-18, with statistics of real pictures and answers that differ from place to place."""
    preset = DetectorPreset(backbone="resnet18", image_size=96, levels=3, fpn_channels=32, head_convs=1)
    structure = Structure(preset, ["a", "b"], *SHAPE, line="0123", plan=narrow(preset),
                          thresholds={"a": 0.3, "b": 0.4})
    model = structure.build().train()
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    batch = torch.from_numpy(np.concatenate(inputs(8)))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(1.0)  # timm starts with residual branches that say nothing
        for _ in range(3):
            model(batch)
        model.head.classification.cls_logits.weight.mul_(0.4)
        model.head.classification.cls_logits.bias.fill_(-2.0)
        model.head.regression.bbox_reg.weight.mul_(0.04)
    return model.eval(), structure


def narrow(preset: DetectorPreset) -> Plan:
    """The channels of a backbone a quarter as wide: tests then wait for nothing but themselves."""
    plan = read_plan(FCOS(preset, 2, *SHAPE))
    for name, sizes in plan.items():
        for key in sizes:
            features = name.startswith("fpn.inner_blocks") and key == "in_channels"
            if (features or name.startswith("backbone.")) and key != "groups" and sizes[key] > 3:
                sizes[key] //= 4
    return plan


def with_a_layer_that_hurts(model: FCOS, times: float = 500.0) -> str:
    """Make one channel far larger than the others, and what reads it as much smaller: the same network in float.

    Returns:
        The name of the layer whose input 8 bits cannot hold.
    """
    block = model.backbone.body.get_submodule("layer2.1")
    with torch.no_grad():
        block.bn1.weight[:4] *= times
        block.bn1.bias[:4] *= times
        block.conv2.weight[:, :4] /= times
    return "backbone.body.layer2.1.conv2"


@functools.cache
def photos() -> list[np.ndarray]:
    return list(load_sample_images().images)


def crop(at: int) -> np.ndarray:
    return photos()[at % 2][9 * at: 9 * at + SHAPE[0], 13 * at: 13 * at + SHAPE[1]]


def inputs(count: int, start: int = 0) -> list[np.ndarray]:
    """Network inputs uint8 [1, 3, 64, 96] cut from two photographs."""
    return [np.ascontiguousarray(crop(at).transpose(2, 0, 1)[None]) for at in range(start, start + count)]


def labelled(folder: Path, model: FCOS, structure: Structure, train: int = 6, val: int = 6,
             grey: bool = False) -> tuple[Path, Path, Path, Dataset]:
    """Folders of the model, the pictures and the tables, and the dataset; every picture has the model's own boxes."""
    saved, raw, data = folder / "model", folder / "raw", folder / "data"
    saved.mkdir(parents=True)
    raw.mkdir()
    save_model(saved, structure, model.state_dict())
    detector, rows, boxes = open_detector(saved, 1), [], []
    for at in range(train + val):
        picture = np.asarray(Image.fromarray(crop(at)).convert("L")) if grey else crop(at)
        Image.fromarray(picture).save(raw / f"{at}.png")
        rows.append({"image_id": at, "file": f"{at}.png", "width": SHAPE[1], "height": SHAPE[0], "digest": f"{at}",
                     "bytes": 1, "orientation": 1, "split": "train" if at < train else "val"})
        boxes += own_boxes(detector, at, crop(at), len(boxes))
    dataset = Dataset(pa.Table.from_pylist(rows, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS),
                      Meta(name="x", classes=["a", "b"]))
    write_dataset(data, dataset)
    return saved, raw, data, dataset


def own_boxes(detector: Detector, image: int, picture: np.ndarray, first: int) -> list[dict[str, Any]]:
    found = detector.predict([picture], max_detections=12)[0]
    return [{"annotation_id": first + place, "image_id": image, "class_id": int(label), "x": float(x), "y": float(y),
             "w": float(right - x), "h": float(bottom - y), "area": float((right - x) * (bottom - y)), "iscrowd": False,
             "difficult": False, "source": "model", "row": f"{first + place}"}
            for place, ((x, y, right, bottom), label) in enumerate(zip(found.boxes, found.class_ids, strict=True))]


_FLOATS: dict[str, bytes] = {}


_EXPORTED = onnx_file.exported


def exported_once(model: FCOS, structure: Structure, dynamic: bool = False) -> onnx.ModelProto:
    """What `onnx_file.exported` gives, which takes seconds: equal weights are exported once in all tests."""
    key = digest_value([structure.to_dict(), dynamic, [x.sum().item() for x in model.state_dict().values()]])
    if key not in _FLOATS:
        _FLOATS[key] = _EXPORTED(model, structure, dynamic).SerializeToString(deterministic=True)
    return onnx.load_from_string(_FLOATS[key])


def float_file(folder: Path, hurts: bool = False) -> Path:
    """A float file with its normalisation unfolded, as quantisation wants it."""
    model, structure = network()
    if hurts:
        with_a_layer_that_hurts(model)
    onnx_file.save(exported_once(model, structure), folder / "float.onnx")
    return folder / "float.onnx"


def ask(file: Path, images: np.ndarray) -> list[np.ndarray]:
    """Boxes and scores of an ONNX file by ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run(["boxes", "scores"],
                                                                                      {"images": images})


def score_noise(file: Path, other: Path, count: int = 3) -> float:
    """Largest difference of scores between two files."""
    return max(float(np.abs(ask(file, x)[1] - ask(other, x)[1]).max()) for x in inputs(count))
