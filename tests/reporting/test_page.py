"""The page as text: complete, escaped, self-contained, and honest about what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from tasks import report
from tasks.base.files import read_json, write_json
from tasks.data.table import write_dataset
from tasks.metrics.detections import SCHEMA, read_detections, write_detections

from .workspace import Workspace, make

SECTIONS = {
    "summary": "Summary",
    "artefacts": "Artefacts",
    "comparison": "Before and after compression",
    "robustness": "Robustness",
    "classes": "Classes",
    "precision-recall": "Precision and recall",
    "confusion": "Confusion between classes",
    "mistakes": "Worst mistakes",
    "training": "Training",
    "pruning": "Pruning",
    "data": "Data",
    "findings": "Validation findings",
    "samples": "Samples",
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "🩸 blóð",
    "a & b",
    "\u202eevil\u0000",
    "'+alert(3)+'",
    "x" * 300,
    "]]></svg>",
]


def build(workspace: Workspace, **params: object) -> str:
    report.run(
        report.Params.model_validate({"samples": 2, "mistakes": 6, "comparisons": 2, **params}), **workspace.paths
    )
    return workspace.page


def section(page: str, name: str) -> str:
    return page[page.index(f'<section id="{name}"') :].split("</section>")[0]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(make(tmp_path_factory.mktemp("cells"), ["Platelets", "RBC", "WBC"]))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_there_and_in_the_contents(cells: str, name: str) -> None:
    assert f'<h2 id="{name}-title">{SECTIONS[name]}</h2>' in cells
    assert f'<a href="#{name}">' in cells


def test_needs_nothing_from_outside(cells: str) -> None:
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.sub(r"base64,[A-Za-z0-9+/=]+", "", cells))
    assert all(source.startswith("data:image/jpeg") for source in re.findall(r'\bsrc="([^"]*)"', cells))
    assert set(re.findall(r'\bhref="([^#"]*)"', cells)) <= {"", "data:,"}


def test_has_no_broken_number(cells: str) -> None:
    shown = re.sub(r"base64,[A-Za-z0-9+/=]+|<script>.*?</script>|<style>.*?</style>", "", cells, flags=re.S)
    assert not re.findall(r"\bnan\b|NaN|\binf\b|\bNone\b|undefined", shown)


def test_table_has_all_artefacts_in_order(cells: str) -> None:
    rows = re.findall(r'<th scope="row" data-value="([^"]*)"', section(cells, "artefacts"))
    assert rows == [
        "trained/torch",
        "pruned/torch",
        "trained/cpu-fp32",
        "pruned/cpu-fp32",
        "trained/cpu-int8",
        "pruned/cpu-int8",
    ]
    assert "8.6×" in section(cells, "artefacts")
    assert "13.4 MB" in section(cells, "artefacts")


def test_intervals_and_robustness_stand_beside_the_accuracy(cells: str) -> None:
    rows = section(cells, "artefacts")
    assert rows.count(" \u2013 ") == 6 and rows.count('data-value="0.475"') == 6
    text = section(cells, "robustness")
    assert text.count('data-value="0.475"') == 6
    assert "59 %" in text  # 0.475 of 0.8
    assert "Noise\n0.08" in text and "Contrast" not in text
    assert ">0.650<" in text  # JPEG: the mean of what was measured


def test_stars_emulated_slow_and_left_out_ones_are_said(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a", "b"])
    metrics = read_json(workspace.paths["evaluation"] / "metrics.json")
    metrics["artefacts"]["pruned/torch"]["AP50_change"] = {"value": -0.1, "low": -0.2, "high": -0.05}
    metrics["artefacts"]["pruned/cpu-int8"] |= {"emulated": True, "emulated_because": "there is no GPU"}
    write_json(workspace.paths["evaluation"] / "metrics.json", metrics)
    timed = read_json(workspace.paths["benchmark"] / "benchmark.json")
    timed["artefacts"]["trained/cpu-int8"] |= {"slower_than_float": True, "faster_float": "trained/cpu-fp32"}
    timed["left_out"] = {f"{kind}/rtx": "TensorRT-RTX needs an NVIDIA GPU" for kind in ("trained", "pruned")}
    write_json(workspace.paths["benchmark"] / "benchmark.json", timed)
    text = section(build(workspace), "artefacts")
    assert text.count(" *<") == 1 and "not 0 at 95 %" in text
    assert "pruned/cpu-int8: emulated by ONNX Runtime on the CPU, since there is no GPU." in text
    assert "trained/cpu-int8 is slower than trained/cpu-fp32" in text
    assert "trained/rtx, pruned/rtx: not timed, since TensorRT-RTX needs an NVIDIA GPU." in text


def test_an_earlier_evaluation_has_no_robustness(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a"])
    metrics = read_json(workspace.paths["evaluation"] / "metrics.json")
    for one in metrics["artefacts"].values():
        for key in ("robustness", "AP50_low", "AP50_high", "AP50_change"):
            one.pop(key, None)
    write_json(workspace.paths["evaluation"] / "metrics.json", metrics)
    page = build(workspace)
    assert "Robustness was not measured" in section(page, "robustness")
    assert "\u2013" not in section(page, "artefacts").split("</table>")[0]


def test_findings_are_counted_by_kind(cells: str) -> None:
    text = section(cells, "findings")
    assert "overhang (2)" in text
    assert "degenerate (1)" in text
    assert "a.xml #3: the box is 0 px wide" in text


def test_pruning_shows_kept_share_and_layers(cells: str) -> None:
    text = section(cells, "pruning")
    assert "28 % kept" in text
    assert "backbone.block1.conv\nbefore: 96" in text
    assert "Pruning, step by step" in text and "0.500 of the parameters, AP 0.5520" in text


def test_names_from_the_data_are_text(tmp_path: Path) -> None:
    page = build(make(tmp_path, HOSTILE))
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "🩸 blóð" in page
    assert "\u202e" not in page
    assert "\u0000" not in page


def test_class_without_labels_is_na(tmp_path: Path) -> None:
    page = build(make(tmp_path, ["seen", "never"], unseen=(1,)))
    row = section(page, "classes").split('data-value="never"')[1].split("</tr>")[0]
    assert row.count('class="na"') == 5
    assert "so no curve: never." in section(page, "precision-recall")


def test_no_detection_is_said(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a", "b"])
    for file in (workspace.paths["evaluation"] / "detections").iterdir():
        assert read_detections(file).num_rows
        write_detections(file, pa.table({f.name: pa.array([], f.type) for f in SCHEMA}, schema=SCHEMA))
    page = build(workspace)
    assert "detects nothing that could be compared" in section(page, "precision-recall")
    assert "Missed" in section(page, "mistakes")


@pytest.mark.parametrize(
    ("gone", "name", "said"),
    [
        ("trained/history.json", "training", "Best of pruned"),
        ("valid/findings.json", "findings", "Validation left no list of findings."),
        ("evaluation/metrics.json", "precision-recall", "There are no detections to draw."),
        ("benchmark/benchmark.json", "artefacts", "Nothing was timed"),
        ("pruned/model.safetensors", "pruning", "The weights could not be read"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, gone: str, name: str, said: str) -> None:
    workspace = make(tmp_path, ["a", "b"])
    place, file = gone.split("/")
    (workspace.paths[place] / file).unlink()
    assert said in section(build(workspace), name)


def test_no_findings_is_good_news(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a"])
    write_json(workspace.paths["valid"] / "findings.json", {"findings": []})
    assert "Validation found nothing wrong." in section(build(workspace), "findings")


def test_unreadable_picture_is_said(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a"])
    for file in workspace.paths["raw"].iterdir():
        file.write_bytes(b"no picture")
    assert "could not be read" in section(build(workspace), "samples")


def test_nothing_asked_for_is_said(tmp_path: Path) -> None:
    page = build(make(tmp_path, ["a"]), samples=0, mistakes=0, comparisons=0)
    assert "<img" not in page
    assert "No samples were asked for." in section(page, "samples")
    assert "No mistakes were asked for." in section(page, "mistakes")


def test_many_classes_stay_readable(tmp_path: Path) -> None:
    page = build(make(tmp_path, [f"class {i}" for i in range(80)], pictures=9))
    assert len(page.encode()) < 8_000_000
    assert "In colour: the four classes of the lowest AP" in section(page, "precision-recall")


def test_data_alone_makes_a_page(tmp_path: Path) -> None:
    workspace = make(tmp_path / "full", ["a"])
    alone = Workspace(tmp_path / "alone", workspace.dataset)
    write_dataset(alone.paths["data"], workspace.dataset)
    alone.paths["raw"] = workspace.paths["raw"]
    page = build(alone)
    assert page.count('class="none"') >= 8
    assert "No artefact was evaluated or timed." in page
