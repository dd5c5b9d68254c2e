"""Stage `benchmark`: latency, throughput, memory and size of every artefact at batch 1, in turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Base
from tasks.data.pictures import locate, read_picture
from tasks.data.table import read_dataset
from tasks.measure.comparing import slower_than_float
from tasks.measure.opening import why_not
from tasks.measure.timing import Candidate, machine, timings
from tasks.metrics.targets import chosen_targets
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.runtime.artefacts import artefacts
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


def run(params: Params, *, raw: Path, data: Path, trained: Path, pruned: Path, exports: Path, out: Path,
        run: Path) -> None:
    """Measure and write benchmark.json. The torch baseline runs in inference mode, channels_last, on the same cores.

    What is made for a runtime that is not on this machine is left out, with the reason.

    Raises:
        DataError: an artefact is missing or broken, or there is no picture.
    """
    use_threads()
    found = artefacts(trained, pruned, exports, chosen_targets())
    reasons = {name: why_not(path) for name, path in found.items()}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    here = {name: path for name, path in found.items() if name not in left_out}
    pictures = [read_picture(place) for place in locate(raw, read_dataset(data).images)[: params.pictures]]
    if not pictures:
        raise DataError("no picture to run on", where=data, mend="edit ingest or split")
    with stage_run("benchmark", line=load_structure(trained).line, params=params.model_dump(), record=run) as told:
        said = timings({name: Candidate(path) for name, path in here.items()}, pictures, params.rounds, params.threads)
        for name, faster in slower_than_float(said).items():
            said[name] |= {"slower_than_float": True, "faster_float": faster}
        with folder_atomic(out) as folder:
            write_json(folder / "benchmark.json",
                       {"machine": machine(params.threads), "artefacts": said, "left_out": left_out})
        told.metrics({name: {key: value for key, value in one.items() if not isinstance(value, str)}
                      for name, one in said.items()})
        told.artifact(out / "benchmark.json", "benchmark")
    _show(said, left_out)


def _show(said: dict[str, dict[str, Any]], left_out: dict[str, str]) -> None:
    base, width = said["trained/torch"]["median_ms"], max(20, *map(len, said))
    for name, one in said.items():
        print(f"{name:{width}} {one['median_ms']:7.2f} ms  p95 {one['p95_ms']:7.2f} ms  "
              f"{base / one['median_ms']:5.2f} ×  {one['bytes'] / 1e6:6.2f} MB  "
              f"peak {one['peak_memory_mb'] or 0:5.0f} MB  {one['provider']}")
    if any(one.get("busy") for one in said.values()):
        print("warning: other programs used the cores while this was timed: take it again on an idle machine")
    for name, one in said.items():
        if one.get("slower_than_float"):
            print(f"warning: {name} is slower than {one['faster_float']}: 8 bits gain nothing for this network on this "
                  "machine")
    for name, reason in left_out.items():
        print(f"{name}: not timed, {reason}")
