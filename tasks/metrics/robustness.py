"""How much accuracy is left when pictures get worse: noise, blur, JPEG, brightness and contrast at three strengths.

The corruptions and their strengths are those of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations (arXiv:1903.12261), severities 1, 3 and 5, whose pictures have 224 px. Ours are
therefore shrunk to the network's input first: a blur of one pixel says nothing on a picture of twelve million.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import Field

from tasks.base.errors import ParamsError, nearest
from tasks.base.params import Params
from tasks.base.progress import Progress
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.runtime.detections import Detections
from tasks.runtime.letterbox import resize, scale_of

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.table import Dataset
    from tasks.runtime.detector import Detector

Kind = Literal["noise", "blur", "jpeg", "brightness", "contrast"]
Case = tuple[str, Kind | None, int]  # artefact, what is done to the pictures, and how strongly
# noise: standard deviation, of 0..1; blur: of the Gaussian, pixels of a picture of 224; jpeg: quality, 1..95;
# brightness: what is added to the value in HSV, 0..1; contrast: what is left of it, 0..1
STRENGTHS: dict[Kind, tuple[float, float, float]] = {
    "noise": (0.08, 0.18, 0.38), "blur": (1, 3, 6), "jpeg": (25, 15, 7), "brightness": (0.1, 0.3, 0.5),
    "contrast": (0.4, 0.2, 0.05)}
SIDE = 224  # longer side of the pictures that the strengths are for


class Robustness(Params):
    """Section `evaluate.robustness`.

    Attributes:
        pictures: how many of the split are corrupted, always the same ones; 0 switches it off.
        kinds: of corruption.
        artefacts: names such as `trained/torch`, or `all`.
        seed: of the noise.
    """

    pictures: int = Field(24, ge=0)
    kinds: list[Kind] = list(get_args(Kind))
    artefacts: Literal["all"] | list[str] = "all"
    seed: int = Field(0, ge=0)

    def chosen(self, names: list[str]) -> list[str]:
        """Those of the artefacts that are measured.

        Raises:
            ParamsError: one is asked for that is not there.
        """
        if self.artefacts == "all":
            return names
        for name in self.artefacts:
            if name not in names:
                guess = nearest(name, names)
                raise ParamsError(f"no artefact is called {name!r}", where="params.yaml: evaluate.robustness.artefacts",
                                  mend=f"did you mean {guess!r}?" if guess else f"artefacts: {', '.join(names)}")
        return [name for name in names if name in self.artefacts]


def under_corruption(settings: Robustness, dataset: Dataset, raw: Path, detectors: Mapping[str, Detector], *,
                     score_threshold: float = 0.05, max_detections: int = 100) -> dict[str, dict[str, Any]]:
    """AP under each corruption, for each artefact.

    Args:
        settings: what is measured; nothing when it asks for no picture.
        dataset: pictures and ground truth of one split.
        raw: folder of the pictures.
        detectors: artefact → detector.
        score_threshold, max_detections: as in the evaluation.

    Returns:
        artefact → clean (AP of the same pictures as they are), each kind → [AP, AP, AP] by rising strength, mean of all
        of them; 0..1, None where the pictures have no ground truth.
    """
    from tasks.data.pictures import locate, read_picture

    asked = {name: detectors[name] for name in settings.chosen(list(detectors))}
    if not settings.pictures or not asked:
        return {}
    some = few(dataset, settings.pictures)
    found: dict[Case, dict[int, Detections]] = defaultdict(dict)
    columns = some.images.select(["image_id", "digest"]).to_pydict()
    progress = Progress(some.images.num_rows, "evaluate: corrupted pictures")
    for image, digest, place in zip(*columns.values(), locate(raw, some.images), strict=True):
        key = f"{settings.seed} {digest}"
        for name, kind, level, worse, back in _cases(read_picture(place), settings.kinds, key, asked):
            seen = asked[name].predict([worse], score_threshold=score_threshold, max_detections=max_detections)[0]
            found[name, kind, level][image] = Detections(seen.boxes * back, seen.scores, seen.class_ids)
        progress.step()
    return {name: _summary(some, settings.kinds, name, found) for name in asked}


def _cases(picture: np.ndarray, kinds: list[Kind], key: str, asked: Mapping[str, Detector]
           ) -> Iterator[tuple[str, Kind | None, int, np.ndarray, np.ndarray]]:
    """Artefact, kind, level, the corrupted picture in its input's size, and the factors back to the original's."""
    steps: list[tuple[Kind | None, int]] = [(None, 0), *((kind, level) for kind in kinds for level in range(3))]
    for shape in {(detector.height, detector.width) for detector in asked.values()}:
        names = [name for name, detector in asked.items() if (detector.height, detector.width) == shape]
        small = _shrunk(picture, shape)
        back = np.tile(np.array(picture.shape[1::-1]) / small.shape[1::-1], 2).astype(np.float32)
        for kind, level in steps:
            worse = small if kind is None else corrupt(small, kind, level, key)
            for name in names:
                yield name, kind, level, worse, back


def few(dataset: Dataset, count: int) -> Dataset:
    """So many pictures of a dataset, chosen by their digests: the same ones in whatever order they are listed."""
    from dataclasses import replace

    import pyarrow as pa
    import pyarrow.compute as pc

    digests = dataset.images["digest"].to_pylist()
    rows = sorted(sorted(range(len(digests)), key=lambda row: digests[row])[:count])
    images = dataset.images.take(pa.array(rows, pa.int64()))
    kept = dataset.annotations.filter(pc.is_in(dataset.annotations["image_id"], images["image_id"].combine_chunks()))
    return replace(dataset, images=images, annotations=kept)


def corrupt(picture: np.ndarray, kind: Kind, level: int, key: str) -> np.ndarray:
    """A picture made worse.

    Args:
        picture: uint8 [H, W, 3], RGB.
        kind: what is done to it.
        level: 0, 1 or 2: the place in `STRENGTHS`.
        key: fixes the noise, together with kind and level.

    Returns:
        uint8 of the same shape; the picture is left as it is.
    """
    strength = STRENGTHS[kind][level]
    if kind == "noise":
        seed = int.from_bytes(hashlib.sha256(f"{key} {kind} {level}".encode()).digest()[:8], "big")
        normal = np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
        return _bytes(picture / np.float32(255) + normal * np.float32(strength))
    if kind == "brightness":
        return _brighter(picture, strength)
    if kind == "contrast":
        unit = picture / np.float32(255)
        mean = unit.mean(axis=(0, 1), keepdims=True)
        return _bytes((unit - mean) * np.float32(strength) + mean)
    return _by_pillow(picture, kind, strength)


def _by_pillow(picture: np.ndarray, kind: Kind, strength: float) -> np.ndarray:
    from PIL import Image, ImageFilter

    image = Image.fromarray(picture)
    if kind == "blur":
        return np.asarray(image.filter(ImageFilter.GaussianBlur(strength * max(picture.shape[:2]) / SIDE)))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=int(strength))
    return np.asarray(Image.open(packed).convert("RGB"))


def _brighter(picture: np.ndarray, strength: float) -> np.ndarray:
    """More value in HSV, whose value is the largest of the three channels; hue and saturation stay."""
    unit = picture / np.float32(255)
    value = unit.max(axis=2, keepdims=True)
    wanted = np.minimum(value + np.float32(strength), 1)
    return _bytes(np.where(value > 0, unit * (wanted / np.maximum(value, 1e-6)), wanted))


def _bytes(unit: np.ndarray) -> np.ndarray:
    return (unit.clip(0, 1) * 255).round().astype(np.uint8)


def _shrunk(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, scale_of(height, width, shape))
    return resize(picture, (max(1, round(height * scale)), max(1, round(width * scale))))


def _summary(dataset: Dataset, kinds: list[Kind], name: str,
             found: Mapping[Case, dict[int, Detections]]) -> dict[str, Any]:
    def ap(kind: Kind | None, level: int) -> float | None:
        return quick_ap(dataset, detections_table(found.get((name, kind, level), {})))[0]

    said: dict[str, Any] = {kind: [ap(kind, level) for level in range(3)] for kind in kinds}
    values = [value for row in said.values() for value in row if value is not None]
    return {**said, "clean": ap(None, 0), "mean": float(np.mean(values)) if values else None}
