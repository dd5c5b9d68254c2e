"""The page of suspicious labels: worst first, what is drawn, hostile names, and in headless Chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.data.table import IMAGES
from tasks.labelling.checking.suspects import Settings, Suspects, find_suspects
from tasks.reporting.labels.page import LIMIT, Shown, build_page, write_page
from tests.metrics.conftest import dataset_of, table_of

from .browser import chromium, look

HOSTILE = ["<script>alert(1)</script>", 'a "quoted" & \u202eturned', "x" * 200]
PICTURES = 12


def shown(folder: Path, classes: list[str], *, errors: bool = True, **more: int) -> Shown:
    """Twelve grey pictures; of the labels one is lost, one moved, one swapped, two contradict each other."""
    truth = [(i, (i + k) % 3, 20 + 200 * k, 30, 100, 80) for i in range(PICTURES) for k in range(3)]
    rows = list(truth)
    if errors:
        rows[4] = (1, 2, 280, 30, 100, 80)
        rows[8] = (2, 0, 420, 30, 100, 80)
        rows = [*rows[1:], (5, 0, 20, 400, 50, 50), (5, 1, 20, 400, 50, 50)]
    dataset = dataset_of(classes, PICTURES, rows)
    names = [f"{i}{'&<i>' * (i % 2)}.png" for i in range(PICTURES)]
    at = dataset.images.schema.get_field_index("file")
    dataset = replace(dataset, images=dataset.images.set_column(at, IMAGES.field("file"), pa.array(names)))
    raw = folder / "raw"
    raw.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((640, 640, 3), 20 * number, np.uint8)).save(raw / name)
    found: Suspects = find_suspects(dataset, table_of([[*one, 0.97] for one in truth]), Settings(sure=0.5))
    return Shown("cells@1", dataset, raw, found.places, found.pictures, [("Predictions", "5 models")], **more)


def test_worst_first_and_each_kind_in_its_section(tmp_path: Path) -> None:
    made = shown(tmp_path, ["a", "b", "c"])
    page = build_page(made)
    sections = ("summary", "worst", "overlooked", "swapped", "badly-located", "how")
    order = [page.index(f'id="{name}"') for name in sections]
    assert order == sorted(order)
    assert "1. 1 overlooked" in page or "1. 2 swapped" in page
    assert "Overlooked <bdi>a</bdi>? the model is sure by" in page
    assert "<bdi>a</bdi> or <bdi>b</bdi>? the model is sure by" in page
    assert "<bdi>c</bdi> badly placed? it overlaps what the model sees by 0.25" in page
    assert "<bdi>a</bdi>, where another label stands" in page
    # a lost object has the model's box alone, a moved one both
    assert page.count('class="box s1') >= 3 and 'class="box s0 other"' in page
    assert page == build_page(made)


def test_nothing_suspicious_says_so(tmp_path: Path) -> None:
    page = build_page(shown(tmp_path, ["a", "b", "c"], errors=False))
    assert page.count("None was found.") == 3 and "No place is suspicious." in page


def test_few_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    page = build_page(shown(tmp_path, ["a", "b", "c"], worst=1, crops=1))
    assert "The 1 picture of the lowest quality" in page and "and 2 more, less suspicious than these" in page
    assert len(page.encode()) < LIMIT


def test_hostile_names_are_text_and_a_lost_picture_is_told(tmp_path: Path) -> None:
    made = shown(tmp_path, HOSTILE)
    (made.raw / "2.png").unlink()
    write_page(made, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "\u202e" not in page and "&<i>" not in page
    assert "The picture 2.png could not be read." in page


@pytest.mark.parametrize(("classes", "width"), [(["a", "b", "c"], 1400), (HOSTILE, 500)])
def test_page_opens_without_fault(tmp_path: Path, classes: list[str], width: int) -> None:
    chromium()
    seen = look(build_page(shown(tmp_path / "made", classes)), tmp_path, width=width)
    assert seen.faults == [] and seen.console == [] and seen.empty == []
    assert seen.wide <= seen.inner and seen.images >= 8 and seen.boxes > 30 and seen.tips > 10
