"""Which channels go, what a network costs, and what each layer costs."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tasks.base.errors import GateRefused, ParamsError
from tasks.compress import pruning
from tasks.compress.budget import Budget, absolute, cost_of
from tasks.compress.footprint import peak_activations, weight_bytes
from tasks.compress.importance import gradients
from tasks.compress.pruning import How, _pruned, layer_macs, macs, parameters, protected, prune_until
from tasks.compress.sensitivity import scan
from tasks.models.fcos import FCOS, Target
from tasks.models.plan import read_plan
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure

SHAPE = (64, 96)
PICTURE = torch.randint(0, 256, (1, 3, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def build(backbone: str = "resnet18", norm: str = "batch") -> tuple[FCOS, Structure]:
    preset = DetectorPreset(backbone=backbone, image_size=96, head_norm=norm)
    torch.manual_seed(3)
    structure = Structure(preset, ["a", "b"], *SHAPE, line="0")
    model = structure.build().eval()
    with torch.no_grad():  # scales as after a training: no two alike
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.copy_(torch.rand_like(part.weight) + 0.5)
    return model, structure


@pytest.fixture(scope="module")
def model() -> FCOS:
    return build()[0]


def widths(one: FCOS) -> dict[str, int]:
    return {name: shape["out_channels"] for name, shape in read_plan(one).items() if "out_channels" in shape}


def batch() -> list[tuple[torch.Tensor, list[Target]]]:
    return [(PICTURE, [Target(torch.tensor([[8.0, 8.0, 48.0, 56.0]]), torch.tensor([1]))])]


@pytest.mark.parametrize("importance", ["magnitude-l1", "magnitude-l2", "batchnorm", "taylor", "lamp"])
def test_every_importance_ranks_within_and_between_layers(model: FCOS, importance: str) -> None:
    known = gradients(model, batch()) if importance == "taylor" else None
    kept = protected(model, ())
    within, between = (_pruned(model, 0.5, SHAPE, How(importance, scope), kept, known) for scope in ("layer", "global"))
    for smaller in (within, between):
        changed = [w for name, w in widths(smaller).items() if w != widths(model)[name]]
        assert changed and all(w % 16 == 0 for w in changed)
        assert all(torch.isfinite(x).all() for x in smaller(PICTURE))
    assert widths(within) != widths(between)


def test_a_limit_is_met_and_not_overshot(model: FCOS) -> None:
    limit = 0.4 * parameters(model)
    assert 0.9 * limit < parameters(prune_until(model, lambda one: parameters(one) <= limit, SHAPE)) <= limit


def test_the_least_important_channels_go() -> None:
    model = build()[0]
    block = model.backbone.body.layer4[0]
    with torch.no_grad():
        for weight in (block.conv1.weight, block.bn1.weight, block.conv2.weight.transpose(0, 1)):
            weight[::2] *= 1e-4
    scales = block.bn1.weight.detach()
    left = _pruned(model, 0.5, SHAPE, How(), protected(model, ()), None).backbone.body.layer4[0].bn1.weight
    assert len(left) < 512 and torch.isin(scales[1::2], left).all()


def test_taylor_keeps_what_the_loss_needs(model: FCOS) -> None:
    """Channels without a gradient go first, whatever their size."""
    known = gradients(model, batch())
    block = "backbone.body.layer4.0"
    for part in (f"{block}.conv1.weight", f"{block}.bn1.weight", f"{block}.bn1.bias"):
        known[part][::2], known[part][1::2] = 0, 1
    known[f"{block}.conv2.weight"][:, ::2] = 0
    known[f"{block}.conv2.weight"][:, 1::2] = 1
    smaller = _pruned(model, 0.5, SHAPE, How("taylor"), protected(model, ()), known)
    scales, left = (one.get_submodule(f"{block}.bn1").weight.detach() for one in (model, smaller))
    assert len(left) < 512 and torch.isin(scales[1::2], left).all()


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_every_preset_prunes_to_eights_or_what_its_norms_need(backbone: str, norm: str) -> None:
    model, _ = build(backbone, norm)
    smaller = _pruned(model, 0.5, SHAPE, How(round_to=8), protected(model, ()), None)
    changed = {n: w for n, w in widths(smaller).items() if w != widths(model)[n]}
    unit = 32 if norm == "group" else 8
    assert changed and all(w % unit == 0 for w in changed.values()) and torch.isfinite(smaller(PICTURE)[1]).all()


def test_excluded_layers_keep_their_channels(model: FCOS) -> None:
    kept_whole = protected(model, ("backbone.body.layer4.*.conv1",))
    smaller = _pruned(model, 0.5, SHAPE, How(), kept_whole, None)
    kept = {n: w for n, w in widths(smaller).items() if "layer4" in n and n.endswith("conv1")}
    assert kept and all(w == 512 for w in kept.values())


def test_a_pattern_without_a_layer_is_told(model: FCOS) -> None:
    with pytest.raises(ParamsError, match=r"no layer is called 'backbone.layer4'\n.*prune.exclude"):
        prune_until(model, lambda one: False, SHAPE, How(exclude=("backbone.layer4",)))


def test_a_limit_below_the_last_channels_is_refused(model: FCOS) -> None:
    with pytest.raises(GateRefused, match="cannot be pruned so far"):
        prune_until(model, lambda one: parameters(one) < 1000, SHAPE)


def test_macs_of_layers_add_up_and_shared_ones_count_every_level(model: FCOS) -> None:
    found = layer_macs(model, *SHAPE)
    assert sum(found.values()) == macs(model, *SHAPE)
    assert found["backbone.body.conv1"] == 64 * 3 * 49 * 32 * 48
    cells = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert found["head.classification.cls_logits"] == 2 * 64 * 9 * cells


def test_a_budget_without_a_limit_is_told() -> None:
    with pytest.raises(ValueError, match="needs a limit"):
        Budget(max_ap_loss=None)


def test_limits_are_met_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cost is one export of seconds: a small network, and a search of five steps."""
    monkeypatch.setattr(pruning, "TRIALS", 5)
    preset = DetectorPreset(backbone="resnet18", image_size=96, levels=3, fpn_channels=32, head_convs=1)
    structure = Structure(preset, ["a", "b"], *SHAPE, line="0")
    cost, model = cost_of(structure, "int8", graph=True), structure.build().eval()
    whole = cost(model)
    limits = absolute({"file_mb": 6.0, "peak_ram_mb": 0.9 * (whole.peak_ram_mb or 0), "macs": 0.6}, whole)

    def fits(one: FCOS) -> bool:
        return macs(one, *SHAPE) <= limits["macs"] and cost(one).within(limits)  # most are told without an export

    found = cost(prune_until(model, fits, SHAPE))
    assert found.file_mb is not None and 1.5 < found.file_mb <= 6.0
    assert found.peak_ram_mb is not None and found.peak_ram_mb <= limits["peak_ram_mb"]
    assert found.macs <= 0.6 * whole.macs
    # one byte a weight; biases and small tables keep their own width
    assert found.parameters / 1e6 * 0.95 < found.file_mb < found.parameters / 1e6 * 1.3


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Float maps of 1 × 4 × 10 × 10 values all the way."""
    size = [1, 4, 10, 10]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4, 1, 1], [0.0] * 16)
    return helper.make_model(helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, size)], [weight]))


def test_memory_of_a_graph_by_hand() -> None:
    """A convolution holds its input and its output; an activation works in place; a skip keeps its input alive."""
    conv, relu = helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])
    assert peak_activations(graph(conv, relu), 4) == 2 * 1600
    second, add = helper.make_node("Conv", ["a", "w"], ["b"]), helper.make_node("Add", ["b", "x"], ["y"])
    assert peak_activations(graph(conv, second, add), 4) == 3 * 1600
    assert peak_activations(graph(conv, second, add), 1) == 3 * 400
    assert weight_bytes(graph(conv, relu), 1) == 16 * 4  # too small a table to be quantised


def test_the_scan_switches_off_and_puts_back() -> None:
    model = build()[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []

    def judge(one: FCOS) -> tuple[float, float]:
        off = sum(int((m.weight.flatten(1) == 0).all(dim=1).sum()) for m in one.modules()
                  if isinstance(m, nn.Conv2d))
        seen.append(off)
        return 1.0 - off / 1000, 0.0

    found = scan(model, judge, 0.5, SHAPE, How(exclude=("*.layer1.*",)))
    assert seen[0] == 0 and all(off > 0 for off in seen[1:]) and len(found) == len(seen) - 1
    assert found[0]["loss"] == max(one["loss"] for one in found) and found[0]["off"] == found[0]["channels"] // 2
    assert not any("layer1" in name for one in found for name in (one["layer"], *one["tied"]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
