"""Stage `report`: one HTML page of the data, the training, and how accurate and fast everything is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tasks.base.files import folder_atomic, write_atomic
from tasks.base.params import Params as Section
from tasks.data.table import full_disk_is_told
from tasks.reporting import words
from tasks.reporting.inputs import read_material
from tasks.reporting.page import build_page


class Params(Section):
    """Section `report` of params.yaml; nothing in it changes a model."""

    samples: int = Field(default=6, ge=0, le=48)
    mistakes: int = Field(default=24, ge=0, le=200)
    comparisons: int = Field(default=6, ge=0, le=40)
    score_threshold: float = Field(default=0.4, ge=0, le=1)


def run(
    params: Params,
    *,
    raw: Path,
    data: Path,
    valid: Path,
    trained: Path,
    pruned: Path,
    evaluation: Path,
    benchmark: Path,
    out: Path,
) -> None:
    """Write `index.html` to `out`: self-contained, below 8 MB. What a stage left out is said in its section.

    Raises:
        DataError: `data` is no dataset folder, detections do not belong to it, or the disk is full.
    """
    material = read_material(raw, data, valid, trained, pruned, evaluation, benchmark)
    page = build_page(material, workspace=Path.cwd().name, **params.model_dump())
    with full_disk_is_told(out), folder_atomic(out) as new:
        write_atomic(new / "index.html", page)
    size, made = words.size(len(page.encode())), words.plural(len(material.artefacts), "artefact")
    print(f"{out / 'index.html'}: {size}, {made}")
