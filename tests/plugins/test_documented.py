"""The page for those who write a plug-in: its program does what it says."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.base.params import read_yaml
from tasks.plugins.checking import check
from tasks.plugins.monitor import CODES
from tasks.plugins.preset import Plugin

PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def test_the_program_of_the_page_fulfils_the_contract(tmp_path: Path) -> None:
    folder = tmp_path / "conf/plugin"
    folder.mkdir(parents=True)
    (folder / "dark.yaml").write_text(blocks("yaml")[1])
    (folder / "dark.py").write_text(blocks("python")[0])
    verdict = check("dark", tmp_path)
    assert verdict.sound, [point for point in verdict.points if not point.fulfilled]
    assert {point.kind for point in verdict.points} == {"train", "infer", "mine", "damaged"}


def test_the_description_and_the_codes_of_the_page_are_right(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(blocks("yaml")[0])
    assert Plugin.model_validate(read_yaml(tmp_path / "a.yaml")).kinds == ["train", "mine", "infer"]
    named = {int(code) for code in re.findall(r"\b[13]\d{5}\b", PAGE)}
    assert {300001, 300002, 300003, 300004} < named <= set(CODES)
