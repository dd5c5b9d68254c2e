"""Settings and space: every wrong word has its message, and values land where their names say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.base.errors import ParamsError, UserError
from tasks.base.presets import PACKAGE
from tasks.search import space
from tasks.search.plan import Plan, make_plan
from tasks.search.settings import load_settings, parse
from tasks.train import Params
from tests.search.conftest import BASE, SPACE


def test_the_default_preset_fits_the_default_parameters() -> None:
    settings = load_settings(PACKAGE / "workspace", None, {})
    space.check_space(settings.space, Params())
    assert space.widened(settings.space, Params())[1] == []
    assert settings.direction == "maximize" and settings.space["train.lr"].log
    assert (PACKAGE / "sweep/default.yaml").read_text().startswith("# visionmill sweep --preset default --trials 20\n")


def test_the_section_of_params_yaml_goes_before_the_default(workspace: Path) -> None:
    values = {"train": {}, "sweep": {"trials": 3, "space": SPACE}}
    with (workspace / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    assert load_settings(workspace, None, {}).trials == 3
    assert load_settings(workspace, None, {"trials": 5, "epochs": {"max_resource": 2}}).epochs.max_resource == 2
    assert load_settings(workspace, "default", {}).trials == 20
    with pytest.raises(ParamsError, match="did you mean 'default'"):
        load_settings(workspace, "defualt", {})


NUMBER = {"type": "float", "low": 0.1, "high": 0.5}


@pytest.mark.parametrize(("change", "message"), [
    ({"space": {}}, "no space"),
    ({"space": None}, "no space"),
    ({"trials": 0}, "greater than or equal to 1 (got 0)"),
    ({"sampler": "tqe"}, "'tpe' or 'random' (got 'tqe')"),
    ({"smapler": "tpe"}, "did you mean 'sampler'"),
    ({"direction": "minimize"}, "direction"),
    ({"space": {"train.lr": {**NUMBER, "logg": True}}}, "did you mean 'log'"),
    ({"space": {"train.lr": {"type": "flaot"}}}, "type"),
    ({"space": {"train.lr": {**NUMBER, "low": 0.9}}}, "low must be below high"),
    ({"space": {"train.lr": {**NUMBER, "low": 0.0, "log": True}}}, "starts above 0"),
    ({"space": {"train.lr": {"type": "float", "low": 0.1}}}, "has low and high"),
    ({"space": {"train.lr": {"type": "int", "low": 0.5, "high": 2}}}, "whole numbers"),
    ({"space": {"train.amp": {"type": "categorical", "choices": ["off"]}}}, "at least two"),
])
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse({"space": SPACE, **change}, "sweep")
    assert message in str(error.value) and error.value.exit_code == 2


@pytest.mark.parametrize(("key", "dimension", "message"), [
    ("train.lrr", NUMBER, "did you mean 'train.lr'"),
    ("lr", NUMBER, "did you mean 'train.lr'"),
    ("train.augment", NUMBER, "is no parameter of train"),
    ("train.augment.mosiac", NUMBER, "did you mean 'train.augment.mosaic'"),
    ("prune.keep", NUMBER, "is no parameter of train"),
    ("train.epochs", {"type": "int", "low": 1, "high": 5}, "it is the resource"),
    ("train.seed", {"type": "int", "low": 1, "high": 5}, "luck"),
    ("train.augment.crop", {"type": "float", "low": 0.5, "high": 1.5}, "less than or equal to 1"),
    ("train.freeze", {"type": "float", "low": 0, "high": 4}, "valid integer"),
    ("train.amp", {"type": "categorical", "choices": ["off", "fp8"]}, "(got 'fp8')"),
])
def test_a_space_that_training_does_not_take_is_refused(key: str, dimension: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        space.check_space(parse({"space": {key: dimension}}, "sweep").space, Params())
    assert message in str(error.value) and key in str(error.value)


def test_values_land_where_their_names_say() -> None:
    changed = space.lay_over(BASE, {"train.lr": 0.5, "train.augment.zoom": [0.9, 1.1], "train.model.image_size": 96})
    assert (changed.lr, changed.augment.zoom, changed.model.image_size) == (0.5, (0.9, 1.1), 96)
    assert changed.epochs == BASE.epochs and BASE.lr == 3e-4


def test_the_space_is_widened_to_the_current_values(plan_with: Callable[..., Plan]) -> None:
    plan = plan_with(BASE.model_copy(update={"lr": 0.05, "batch_size": 6}))
    assert plan.space["train.lr"].high == 0.05 and plan.space["train.batch_size"].choices == [4, 8, 16, 6]
    assert len(plan.notes) == 2 and "train.lr is 0.05" in plan.notes[0]
    decay = {"train.weight_decay": {"type": "float", "low": 0.001, "high": 0.1, "log": True}}
    with pytest.raises(ParamsError, match="visionmill configure train.weight_decay=0.001"):
        space.widened(parse({"space": decay}, "sweep").space, Params(weight_decay=0))


def test_the_name_of_a_search_follows_space_data_and_parameters(plan_with: Callable[..., Plan],
                                                                workspace: Path) -> None:
    name = plan_with().name
    assert plan_with(trials=30).name == name
    others = [plan_with(sampler="random"), plan_with(BASE.model_copy(update={"clip": 1.0})),
              plan_with(epochs={"max_resource": 4})]
    (workspace / "split/dataset.json").write_text("[]")
    assert len({name, plan_with().name, *(plan.name for plan in others)}) == 5


def test_epochs_are_those_of_a_plain_training_unless_said(plan_with: Callable[..., Plan]) -> None:
    assert (plan_with().base.epochs, plan_with().min_epochs) == (8, 2)
    assert plan_with(epochs={"max_resource": 4}).base.epochs == 4
    with pytest.raises(ParamsError, match="min_resource is 9"):
        plan_with(epochs={"min_resource": 9})


def test_without_data_there_is_nothing_to_search_on(workspace: Path) -> None:
    with pytest.raises(UserError, match="visionmill run"):
        make_plan(parse({"space": SPACE}, "sweep"), BASE, workspace / "nothing")
