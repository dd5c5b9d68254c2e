"""Typed parameters: what is wrong is named with its place and the nearest known name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base import presets
from tasks.base.errors import ParamsError
from tasks.base.params import check, load, read_yaml
from tasks.train import Params as Train


@pytest.mark.parametrize(("values", "words"), [
    ({"epoch": 3}, ["unknown parameter 'epoch'", "train.epoch", "did you mean 'epochs'"]),
    ({"augment": {"mosiac": 1}}, ["unknown parameter 'mosiac'", "train.augment.mosiac", "did you mean 'mosaic'"]),
    ({"model": {"zzzz": 1}}, ["unknown parameter 'zzzz'", "known names:", "backbone"]),
    ({"epochs": 0}, ["epochs", "greater than or equal to 1", "got 0"]),
    ({"lr": "fast"}, ["lr", "valid number", "got 'fast'"]),
    ({"augment": {"zoom": [0, 1.5]}}, ["zoom", "above 0"]),
    ({"augment": {"zoom": [2, 1]}}, ["zoom", "smaller one first"]),
    ({"model": {"aspect": -1}}, ["aspect"]),
    ({"augment": {"flip": "up"}}, ["flip", "'none', 'horizontal' or 'both'"]),
])
def test_what_is_wrong_is_named(values: dict, words: list[str]) -> None:
    with pytest.raises(ParamsError) as caught:
        check(Train, values, "params.yaml: train")
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_an_empty_section_takes_the_defaults() -> None:
    assert check(Train, None, "x") == Train()


def test_a_missing_file_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="visionmill new"):
        load(Train, "train", tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\x00"])
def test_broken_yaml_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match="is not YAML"):
        read_yaml(tmp_path / "params.yaml")


def test_yaml_builds_no_objects(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: !!python/object/apply:os.system ['echo x']")
    with pytest.raises(ParamsError, match="is not YAML"):
        read_yaml(tmp_path / "params.yaml")


def test_a_workspace_preset_goes_before_the_packaged_one(tmp_path: Path) -> None:
    own = tmp_path / "conf/target"
    own.mkdir(parents=True)
    (own / "cpu-int8.yaml").write_text("precision: fp32\n")
    (own / "mine.yaml").write_text("precision: int8\n")
    assert presets.load("target", "cpu-int8", tmp_path) == {"precision": "fp32"}
    assert {"cpu-fp32", "cpu-int8", "mine"} <= set(presets.names("target", tmp_path))


def test_no_name_leads_out_of_the_folder() -> None:
    with pytest.raises(ParamsError, match="no target preset"):
        presets.find("target", "../gate/default")


def test_the_template_says_the_defaults_of_every_section() -> None:
    """A workspace whose params.yaml lost a line must not train another way than one that kept it."""
    template = read_yaml(presets.PACKAGE / "workspace/params.yaml")
    assert check(Train, template["train"], "template") == Train()
    import importlib

    for name in ("ingest", "validate", "split", "prune", "export", "evaluate", "benchmark", "report"):
        params = importlib.import_module(f"tasks.{name}").Params
        assert check(params, template[name], name) == params(), name
        assert set(template[name]) == set(params.model_fields), name
