"""Stage `benchmark`: latency, throughput, memory and size of every artefact at batch 1, in turns."""

from __future__ import annotations

import platform
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.data.pictures import locate, read_picture
from tasks.data.table import read_dataset
from tasks.metrics.latency import in_turns, summary
from tasks.metrics.memory import peak_mb
from tasks.metrics.targets import chosen_targets
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.runtime.apart import Apart, Here
from tasks.runtime.artefacts import artefacts, size_of
from tasks.training.session import use_threads


class Params(Base):
    """Section `benchmark`.

    Attributes:
        rounds: turns that are counted; each artefact runs five pictures a turn.
        pictures: real pictures that are used in rotation.
        threads: cores for every artefact; null for all that there are.
    """

    rounds: int = Field(10, ge=1)
    pictures: int = Field(8, ge=1)
    threads: int | None = Field(None, ge=1)


def machine(threads: int | None) -> dict[str, Any]:
    """What was measured on."""
    import os

    import onnxruntime
    import torch

    return {"cpu": _cpu_name(), "cores": len(os.sched_getaffinity(0)), "threads": threads or torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}", "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def run(params: Params, *, raw: Path, data: Path, trained: Path, pruned: Path, exports: Path, out: Path,
        run: Path) -> None:
    """Measure and write benchmark.json. The torch baseline runs in inference mode, channels_last, on the same cores."""
    use_threads()
    found = artefacts(trained, pruned, exports, chosen_targets())
    pictures = [read_picture(place) for place in locate(raw, read_dataset(data).images)[: params.pictures]]
    with stage_run("benchmark", line=load_structure(trained).line, params=params.model_dump(), record=run) as told:
        with ExitStack() as stack:
            # torch apart: in one process its waiting threads and ONNX Runtime's slow each other down
            runners = {name: stack.enter_context(Apart(path, params.threads, pictures)) if path.suffix != ".onnx"
                       else Here(path, params.threads, pictures) for name, path in found.items()}
            times = in_turns(runners, params.rounds)
        said = {name: {**summary(times[name]), "bytes": size_of(path), "provider": runners[name].provider,
                       "peak_memory_mb": peak_mb(path, params.threads)} for name, path in found.items()}
        with folder_atomic(out) as folder:
            write_json(folder / "benchmark.json", {"machine": machine(params.threads), "artefacts": said})
        told.metrics({name: {k: v for k, v in one.items() if k != "provider"} for name, one in said.items()})
        told.artifact(out / "benchmark.json", "benchmark")
    _show(said)


def _show(said: dict[str, dict[str, Any]]) -> None:
    base = said["trained/torch"]["median_ms"]
    for name, one in said.items():
        print(f"{name:20} {one['median_ms']:7.2f} ms  p95 {one['p95_ms']:7.2f} ms  {base / one['median_ms']:5.2f} ×  "
              f"{one['bytes'] / 1e6:6.2f} MB  peak {one['peak_memory_mb'] or 0:5.0f} MB  {one['provider']}")
