"""A saved model is structure and weights; it comes back equal to the bit, pruned or not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from tasks.base.errors import DataError, GateRefused
from tasks.compress.pruning import ROUND, _rounded, macs, parameters, prune_to
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, load_model, save_model

PICTURE = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def build(backbone: str = "resnet18", norm: str = "batch") -> tuple[FCOS, Structure]:
    preset = DetectorPreset(backbone=backbone, image_size=96, head_norm=norm)
    torch.manual_seed(3)
    structure = Structure(preset, ["a", "<b>", "ç"], 64, 96, line="0123")
    return structure.build().eval(), structure


@cache
def thin() -> FCOS:
    """What is left of the default network at 0.3 of its parameters; to look at, not to change."""
    return prune_to(build()[0], 0.3, 64, 96)


@pytest.mark.parametrize(("backbone", "keep"), [("resnet18", 0.13), ("efficientnet_lite0", 0.3)])
def test_pruned_saved_and_loaded_is_equal_to_the_bit(backbone: str, keep: float, tmp_path: Path) -> None:
    model, structure = build(backbone)
    smaller = prune_to(model, keep, 64, 96)
    assert parameters(smaller) <= keep * parameters(model)
    assert macs(smaller, 64, 96) < macs(model, 64, 96)
    save_model(tmp_path, replace(structure, plan=read_plan(smaller)), smaller.state_dict())
    again, told = load_model(tmp_path)
    assert told.classes == structure.classes
    for one, other in zip(smaller.eval()(PICTURE), again(PICTURE), strict=True):
        assert torch.equal(one, other)
    assert prune_to(again, 0.9, 64, 96) is not again  # a loaded one prunes again
    assert not list(tmp_path.glob("*.p*t*"))


def test_pruned_widths_are_multiples_of_16() -> None:
    before, after = read_plan(build()[0]), read_plan(thin())
    changed = [p["out_channels"] for name, p in after.items()
               if "out_channels" in p and p["out_channels"] != before[name]["out_channels"]]
    assert changed
    assert all(width % ROUND == 0 for width in changed)


@pytest.mark.parametrize(("channels", "ratio", "left"), [
    (40, 0.33, 32), (32, 0.3, 32), (64, 0.5, 32), (64, 0.51, 32), (64, 0.49, 48), (24, 0.5, 16), (24, 0.1, 24),
    (16, 0.8, 16)])
def test_widths_round_up(channels: int, ratio: float, left: int) -> None:
    assert round(channels * (1 - _rounded(channels, ratio))) == left


def test_early_layers_lose_a_smaller_share() -> None:
    before, after = read_plan(build()[0]), read_plan(thin())
    kept = {n: after[n]["out_channels"] / before[n]["out_channels"] for n in before if "out_channels" in before[n]}
    assert kept["backbone.body.layer1.0.conv1"] > kept["backbone.body.layer4.0.conv1"]


def test_the_last_layers_keep_their_outputs() -> None:
    plan = read_plan(thin())
    assert plan["head.classification.cls_logits"]["out_channels"] == 3
    assert plan["head.regression.bbox_reg"]["out_channels"] == 4


def test_pruning_leaves_the_model_it_was_given_alone() -> None:
    model, _ = build()
    before = model(PICTURE)[1].clone()
    prune_to(model, 0.5, 64, 96)
    assert torch.equal(model(PICTURE)[1], before)


def test_a_share_that_cannot_be_reached_names_the_smallest_that_can() -> None:
    words = r"cannot be pruned so far\n.*prune\.budget\n.*smallest share .* 0\.\d+"
    with pytest.raises(GateRefused, match=words):
        prune_to(build()[0], 0.001, 64, 96)


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model here"):
        load_model(tmp_path)


def test_cut_off_weights_say_so(tmp_path: Path) -> None:
    model, structure = build()
    save_model(tmp_path, structure, model.state_dict())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="weights do not load"):
        load_model(tmp_path)
