"""The files of one target: written, brought within their budget, and compared with torch."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import GateRefused
from tasks.base.files import digest_tree, digest_value
from tasks.compress.calibration import Calibration, drawn, inputs, record
from tasks.compress.int8 import Int8
from tasks.compress.mixed import Search, hurt_of, matching, search
from tasks.compress.onnx_file import layers_of, save
from tasks.compress.parity import Limits, broken, compare
from tasks.compress.target import Target, exported_for, write_for, write_int8
from tasks.data.pictures import locate, read_picture
from tasks.data.table import Dataset
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.models.store import load_model, load_structure
from tasks.runtime.detector import Detector, open_detector
from tasks.runtime.runtimes import missing
from tasks.training.session import Reporter, forget, work_folder


@dataclass(frozen=True)
class Export:
    """What the files of one target have in common.

    Attributes:
        name: of the target.
        raw: the folder that the table's file names start from.
        reporter: is told how a fine-tuning goes.
    """

    name: str
    target: Target
    calibration: Calibration
    int8: Int8
    limits: Limits
    dataset: Dataset
    raw: Path
    reporter: Reporter

    @cached_property
    def files(self) -> list[Any]:
        """Place and digest of the pictures that calibrate."""
        return drawn(self.dataset, self.raw, self.calibration)

    @cached_property
    def val(self) -> Dataset:
        return self.dataset.subset("val")

    def record(self) -> dict[str, Any]:
        """What export.json says beside the models: how an INT8 file was calibrated."""
        if self.target.precision != "int8":
            return {}
        return {"calibration": record(self.calibration, self.files), "int8": self.int8.model_dump()}

    def write(self, model: Path, file: Path) -> dict[str, Any]:
        """Write one file, and say how far it is from torch.

        Raises:
            GateRefused: it is further than the limits allow; nothing is left of it.
        """
        found: dict[str, Any] = {}
        if self.target.precision == "int8":
            found = self._within_budget(model, file)
        else:
            write_for(self.target, model, file)
        reference, own = open_detector(model), self.open(file)
        said = compare(reference, own, self.val, self.raw, self.limits.pictures)
        said |= {**found, "size_bytes": file.stat().st_size}
        said |= verdict(said, self.target.precision, self.int8.max_ap_loss)
        self._tell(file.name, said)
        wrong = broken(said, self.limits, self.target.precision, max(reference.height, reference.width))
        if wrong:
            mend = self._advice() if self.target.precision == "int8" else "looser export.parity"
            raise GateRefused(f"{file.name} is not the model that was trained: {'; '.join(wrong)}", where=model,
                              mend=mend)
        return said

    def open(self, file: Path, here: bool = False) -> Detector:
        """The file in its own runtime, or in ONNX Runtime on the CPU where that is not on this machine, or not asked.

        Args:
            here: ONNX Runtime whenever another one would first build an engine.
        """
        own = missing(self.target.runtime, self.target.device) is None and not (here and self.target.tensorrt)
        return open_detector(file) if own else open_detector(file, runtime="onnxruntime", device="cpu")

    def _within_budget(self, model: Path, file: Path) -> dict[str, Any]:
        """Write an INT8 file, with layers in float or fine-tuned where its budget needs that; says what was done."""
        shape = load_structure(model)
        images = list(inputs(self.files, (shape.height, shape.width)))
        wanted = self._ap(open_detector(model))
        found, epochs = self._searched(model, file, images, wanted), 0
        if found.loss > self.int8.max_ap_loss and self.int8.qat_epochs:
            print(f"{self.name}/{file.name}: 8 bits lose {found.loss:.4f} of validation AP, {self.int8.max_ap_loss} "
                  f"are allowed: fine-tuning with rounded convolutions", flush=True)
            again = self._tuned(model, file, images, wanted, found.loss)
            if again.loss < found.loss:
                found, epochs = again, self.int8.qat_epochs
        return {"float_layers": found.layers, "qat_epochs": epochs, "tried": [list(pair) for pair in found.tried],
                "sensitivity": [[name, float(f"{noise:.4g}")] for name, noise in found.hurt.items()]}

    def _searched(self, model: Path, file: Path, images: list[np.ndarray], wanted: float | None,
                  known: float = math.inf) -> Search:
        """Write the file with as few layers in float as its budget needs, if it loses less than is `known`."""
        network, structure = load_model(model)
        with tempfile.TemporaryDirectory(dir=file.parent) as name:
            proto, folder = exported_for(self.target, network, structure), Path(name)
            save(proto, folder / "float.onnx")
            asked = self.int8.float_layers
            fixed = matching(asked, list(layers_of(proto))) if isinstance(asked, list) else []

            def loss_of(layers: list[str]) -> float:
                made = folder / f"{len(layers)}.onnx"
                write_int8(self.target, folder / "float.onnx", made, images, self.calibration.method, fixed + layers,
                           folder / "ranges.json")
                return (wanted or 0.0) - (self._ap(self.open(made, here=True)) or 0.0)

            found = search(loss_of, lambda: hurt_of(network, images, self.target.symmetric),
                           self.int8.max_ap_loss if asked == "auto" else math.inf)
            if found.loss < known:
                (folder / f"{len(found.layers)}.onnx").replace(file)
        found.layers = fixed + found.layers
        return found

    def _tuned(self, model: Path, file: Path, images: list[np.ndarray], wanted: float | None, known: float) -> Search:
        """The same from weights that were fine-tuned to live with 8 bits; the model folder stays as it is."""
        from tasks.compress.qat import tune

        key = digest_value([self.target.model_dump(), self.int8.model_dump(), self.calibration.model_dump(),
                            digest_tree(model), [digest for _, digest in self.files]])
        work = work_folder("export", key)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            tuned = Path(folder) / "tuned"
            tune(model, tuned, self.dataset, self.raw, images, self.int8, symmetric=self.target.symmetric, work=work,
                 reporter=_Named(self.reporter, f"qat/{file.stem}"))
            found = self._searched(tuned, file, images, wanted, known)
        forget(work)
        return found

    def _ap(self, detector: Detector) -> float | None:
        ids = self.val.images["image_id"].to_pylist()
        places = locate(self.raw, self.val.images)
        found = {i: detector.predict([read_picture(file)])[0] for i, file in zip(ids, places, strict=True)}
        return quick_ap(self.val, detections_table(found))[0]

    def _advice(self) -> str:
        if not self.int8.qat_epochs:
            return "fine-tune with rounded convolutions: visionmill configure export.int8.qat_epochs=4"
        return "more epochs (export.int8.qat_epochs), more calibration pictures, or another export.calibration.method"

    def _tell(self, name: str, said: dict[str, Any]) -> None:
        print(f"{self.name}/{name}: {said['size_bytes'] / 1e6:.2f} MB, validation AP {said['val_AP_torch'] or 0:.4f} "
              f"in torch, {said['val_AP'] or 0:.4f} in the file ({said['provider']}); scores differ by at most "
              f"{said['max_score_difference']:.2g}, boxes by {said['max_box_difference_px']:.2g} px")
        if said.get("float_layers"):
            print(f"  {len(said['float_layers'])} layers stay in float: {', '.join(said['float_layers'])}")
        if not said["admissible"]:
            print(f"  not admissible: {'; '.join(said['reasons'])}\n  mend:  {self._advice()}")


class _Named:
    """A reporter whose metrics begin with a name: two files of one stage may both be fine-tuned."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self.id, self._reporter, self._name = reporter.id, reporter, name

    def metrics(self, values: dict[str, Any], step: int = 0) -> None:
        self._reporter.metrics({f"{self._name}/{key}": value for key, value in values.items()}, step=step)


def verdict(said: dict[str, Any], precision: str, allowed: float) -> dict[str, Any]:
    """Whether a file is within its accuracy budget: `admissible`, and the `reasons` why not.

    Args:
        said: what `compare` found.
        allowed: validation AP that an INT8 file may lose, 0..1.
    """
    reasons = []
    if precision == "int8" and said["val_AP_torch"] is None:
        reasons.append("the validation split has no box, so what 8 bits lose is unknown")
    elif precision == "int8" and (loss := said["val_AP_torch"] - said["val_AP"]) > allowed:
        reasons.append(f"it loses {loss:.4f} of validation AP, {allowed} are allowed (export.int8.max_ap_loss)")
    return {"admissible": not reasons, "reasons": reasons}
