"""Budgets: where pruning stops, what it costs to ask again, and what is said when it cannot be met."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks import prune
from tasks.base.errors import GateRefused
from tasks.base.files import read_json
from tasks.base.params import check
from tasks.compress import climb
from tasks.compress.budget import Budget, Cost
from tasks.compress.frontier import Limits, Point, load_point, next_key, pursue
from tasks.data.table import Dataset, write_dataset
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, load_model, save_model
from tests.training.conftest import tiny  # noqa: F401

SHORT = {"epochs": 1, "batch_size": 3, "validate_every": 1, "warmup": 0}


class Made:
    """Networks as numbers: AP falls by the square of what is missing."""

    def __init__(self, least: int = 100) -> None:
        self.limits: list[Limits] = []
        self.least = least

    def __call__(self, parent: Point, limits: Limits) -> Point:
        self.limits.append(limits)
        left = round(min(limits.get("parameters", 1000), limits.get("macs", 5000) / 5))
        if left < self.least:
            raise GateRefused("the network cannot be pruned so far", mend="the smallest share is 0.1")
        return Point(next_key(parent, limits), Path("p"), Cost(left, left * 5), 0.6 - 0.1 * (1 - left / 1000) ** 2, 0.9)


WHOLE = Point("whole", Path("w"), Cost(1000, 5000), 0.6, 0.9)


def budget(**limits: float) -> Budget:
    return check(Budget, limits, "params.yaml: prune.budget")


@pytest.mark.parametrize(("limits", "iterations", "left"), [
    ({"kept_parameters": 0.3}, 1, [300]), ({"kept_parameters": 0.25}, 2, [500, 250]), ({"macs": 0.5}, 1, [500]),
    ({"macs": 0.5, "kept_parameters": 0.4}, 1, [400]), ({"kept_parameters": 1.0}, 3, [])])
def test_limits_of_size_are_reached_in_equal_factors(limits: dict[str, float], iterations: int,
                                                     left: list[int]) -> None:
    taken, points = pursue(budget(**limits), WHOLE, Made(), iterations, 0.7)
    assert [p.cost.parameters for p in points[1:]] == left and taken is points[-1]


def test_a_loss_alone_says_how_far() -> None:
    """Shares .7, .49, .343: losses .009, .026, .043; the last within 0.03 is taken, the one after it was tried."""
    taken, points = pursue(budget(max_ap_loss=0.03), WHOLE, Made(), 1, 0.7)
    assert taken.cost.parameters == 490 and [p.cost.parameters for p in points] == [1000, 700, 490, 343]


def test_it_ends_where_every_layer_is_narrow() -> None:
    taken, points = pursue(budget(max_ap_loss=0.5), WHOLE, Made(least=400), 1, 0.7)
    assert taken is points[-1] and taken.cost.parameters == 490


@pytest.mark.parametrize(("limits", "least", "words"), [
    ({"max_ap_loss": 0.001}, 1, r"loses 0\.0090 of validation AP, 0\.001 are allowed"),
    ({"kept_parameters": 0.3, "max_ap_loss": 0.01}, 1, r"loses 0\.0490"),
    ({"kept_parameters": 0.01}, 100, r"cannot be pruned so far(?s:.*)smallest share is 0\.1"),
])
def test_a_budget_that_cannot_be_met_shows_the_points_and_the_nearest(limits: dict[str, float], least: int,
                                                                      words: str) -> None:
    with pytest.raises(GateRefused, match=words) as caught:
        pursue(budget(**limits), WHOLE, Made(least), 1, 0.7)
    assert caught.value.exit_code == 3
    assert "kept 1.000 of the parameters" in str(caught.value) and "nearest: kept" in str(caught.value)


@pytest.fixture
def line(tiny: tuple[Path, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A workspace with a table and an untrained model, its tracking switched to a file of its own."""
    monkeypatch.chdir(tmp_path)
    raw, dataset = tiny
    (tmp_path / "raw").symlink_to(raw)
    write_dataset(tmp_path / "data", dataset)
    structure = Structure(DetectorPreset(image_size=128, levels=3), ["square", "bar"], 96, 128, line="0")
    save_model(tmp_path / "whole", structure, structure.build().state_dict())
    YAML().dump({"register": {"name": "tiny"}}, tmp_path / "params.yaml")
    return tmp_path


def run(line: Path, out: str, **values: object) -> Path:
    params = check(prune.Params, {"retrain": SHORT, **values}, "prune")
    prune.run(params, raw=line / "raw", data=line / "data", model=line / "whole", out=line / out,
              run=line / f"{out}.json")
    return line / out


def test_another_budget_trains_only_what_is_new(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage as it is: two steps, then a looser and a tighter budget over the points that are there."""
    trained = []
    learn = climb.learn
    monkeypatch.setattr(climb, "learn", lambda *a, **k: trained.append(1) or learn(*a, **k))
    first = run(line, "first", budget={"kept_parameters": 0.5}, iterations=2, exclude=["head.*.conv.0"],
                sensitivity={"pictures": 1, "protect": 0.9})
    assert len(trained) == 2
    frontier = read_json(first / "frontier.json")
    assert [one["taken"] for one in frontier] == [False, False, True] and frontier[2]["kept_parameters"] <= 0.5
    model, told = load_model(first)
    assert told.plan and sum(w.numel() for w in model.parameters()) == frontier[2]["parameters"]
    layers = {one["layer"]: one["channels"] for one in read_json(first / "layers.json")}
    assert layers["head.classification.conv.0"][0] == layers["head.classification.conv.0"][1]
    assert any(before > after for before, after in layers.values())
    assert read_json(first / "sensitivity.json")[0].keys() >= {"layer", "channels", "off", "val_AP", "loss"}
    again = run(line, "again", budget={"kept_parameters": 0.5}, iterations=2, exclude=["head.*.conv.0"],
                sensitivity={"pictures": 1, "protect": 0.9})
    assert len(trained) == 2
    for name in ("model.json", "model.safetensors", "prune.json", "frontier.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_a_killed_write_leaves_no_point(tmp_path: Path) -> None:
    (tmp_path / "point").mkdir()
    (tmp_path / "point/model.json").write_text("{}")
    assert load_point(tmp_path / "point") is None
