"""The detector's contract: raw candidates of fixed shape, losses that fall, every preset trains."""

from __future__ import annotations

import pytest
import torch

from tasks.base import presets
from tasks.base.params import check
from tasks.models.fcos import FCOS, Target
from tasks.models.preset import DetectorPreset, input_shape

EMPTY = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
ONE = Target(torch.tensor([[16.0, 16.0, 56.0, 48.0]]), torch.tensor([1]))


def picture(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", presets.names("model"))
def test_every_preset_trains_for_two_steps(name: str) -> None:
    preset = check(DetectorPreset, presets.load("model", name)["train"]["model"], name)
    torch.manual_seed(0)
    model = FCOS(preset, 3, 64, 96).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        total = torch.stack(list(model.loss(picture(), [ONE, EMPTY]).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[1] < losses[0]
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", presets.names("model"))
def test_a_preset_begins_with_the_command_that_runs_it(name: str) -> None:
    assert presets.find("model", name).read_text().startswith(f"# visionmill configure model={name}\n")


def test_candidates_have_the_promised_shape_and_range() -> None:
    torch.manual_seed(0)
    boxes, scores = FCOS(DetectorPreset(), 5, 64, 96).eval()(picture(1))
    cells = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert boxes.shape == (1, cells, 4)
    assert scores.shape == (1, cells, 5)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_a_batch_without_any_box_has_finite_losses() -> None:
    torch.manual_seed(0)
    losses = FCOS(DetectorPreset(), 3, 64, 96).train().loss(picture(), [EMPTY, EMPTY])
    assert all(torch.isfinite(x) for x in losses.values())
    assert losses["box"] == 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_level_is_judged_alike_alone_and_among_others(norm: str) -> None:
    """Batch statistics are taken over all levels: in evaluation they are constants, so levels do not mix."""
    torch.manual_seed(0)
    model = FCOS(DetectorPreset(head_norm=norm), 2, 64, 96)
    model.train().loss(picture(), [ONE, EMPTY])
    model.eval()
    levels = model._levels(picture(1))
    together = model.head(levels)[0]
    alone = model.head([levels[0], *[torch.zeros_like(x) for x in levels[1:]]])[0]
    first = levels[0].shape[2] * levels[0].shape[3]
    assert torch.equal(together[:, :first], alone[:, :first])


def test_imitation_pulls_towards_the_teacher() -> None:
    def network(seed: int) -> FCOS:
        torch.manual_seed(seed)
        model = FCOS(DetectorPreset(backbone="resnet18"), 3, 64, 96).eval()
        torch.nn.init.constant_(model.head.classification.cls_logits.bias, 1.0)  # a teacher that sees something
        return model

    teacher, other = network(0), network(1)
    own = teacher.loss(picture(), [ONE, EMPTY], teacher)["imitation"]
    foreign = other.loss(picture(), [ONE, EMPTY], teacher)["imitation"]
    assert own < foreign
    foreign.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert other.head.regression.bbox_reg.weight.grad.abs().sum() > 0
    assert "imitation" not in other.loss(picture(), [ONE, EMPTY])


@pytest.mark.parametrize(("aspects", "expected"), [
    ([0.75], (240, 320)), ([1.0, 1.0], (320, 320)), ([4 / 3] * 3, (320, 240)), ([], (320, 320)), ([0.01], (32, 320))])
def test_input_shape_follows_the_pictures(aspects: list[float], expected: tuple[int, int]) -> None:
    assert input_shape(DetectorPreset(), aspects) == expected
