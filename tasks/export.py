"""Stage `export`: the trained and the pruned model as files for one target, proven equal to torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.compress.calibration import Calibration
from tasks.compress.exported import Export
from tasks.compress.int8 import Int8
from tasks.compress.parity import Limits
from tasks.compress.target import load_target
from tasks.data.table import read_dataset
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.training.session import use_threads


class Params(Base):
    """Section `export`.

    Attributes:
        targets: names of files in conf/target/; each is a stage `export@NAME`.
        calibration: which training pictures fix the ranges of INT8 files.
        int8: what an INT8 file may lose, and what is done when it loses more.
        parity: how far a file may be from torch before the stage fails.
    """

    targets: list[str] = ["cpu-fp32", "cpu-int8"]
    calibration: Calibration = Calibration()
    int8: Int8 = Int8()
    parity: Limits = Limits()


def run(params: Params, *, target: str, raw: Path, data: Path, trained: Path, pruned: Path, out: Path,
        run: Path) -> None:
    """Write trained.onnx, pruned.onnx and export.json to `out`.

    A target whose runtime is not on this machine is written all the same, and compared in ONNX Runtime on the CPU.

    Raises:
        GateRefused: a file is further from torch than the parameters allow; the numbers are in the message.
        DataError: no training picture to calibrate with.
    """
    use_threads()
    chosen, dataset = load_target(target), read_dataset(data)
    line = load_structure(trained).line
    with stage_run(f"export@{target}", line=line, params=params.model_dump(), record=run) as told:
        export = Export(target, chosen, params.calibration, params.int8, params.parity, dataset, raw, told)
        with folder_atomic(out) as folder:
            said: dict[str, Any] = {name: export.write(model, folder / f"{name}.onnx")
                                    for name, model in (("trained", trained), ("pruned", pruned))}
            write_json(folder / "export.json", said | export.record())
        told.metrics({name: numbers(said[name]) for name in said})
        told.artifact(out / "export.json", "export")


def numbers(said: dict[str, Any]) -> dict[str, Any]:
    """A file's record without its lists; how many layers stay in float is a number."""
    plain = {key: value for key, value in said.items() if not isinstance(value, list)}
    return {**plain, "float_layers": len(said.get("float_layers", []))}
