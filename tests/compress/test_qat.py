"""Fine-tuning with rounded convolutions: it rounds as the files do, learns through the rounding, and ends better."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.compress import qat
from tasks.compress.fake import FakeConv, convolutions, fake_copy, switch, watch
from tasks.compress.int8 import Int8
from tasks.compress.qat import tune
from tasks.models.fcos import FCOS
from tasks.models.store import load_model, load_structure
from tasks.training.judge import Judge
from tasks.training.settings import Augment

from .labelled import inputs, labelled, network, one_thread, with_a_layer_that_hurts


class Reporter:
    id = None

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def metrics(self, values: dict[str, Any], step: int = 0) -> None:
        self.seen.append(values)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def single(symmetric: bool) -> FakeConv:
    """One convolution that rounds, on an input of known range."""
    torch.manual_seed(0)
    holder = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    fake = fake_copy(holder, symmetric)[0]  # type: ignore[arg-type, index]
    fake.on, fake.reads = True, torch.tensor([-1.0, 3.0])
    return fake


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_rounds_as_quantise_linear_does(symmetric: bool) -> None:
    fake = single(symmetric)
    values = torch.linspace(-2, 4, 48).reshape(1, 3, 4, 4)
    scale, zero, low, high = (3 / 127, 0, -128, 127) if symmetric else (4 / 255, 64, 0, 255)
    read = (np.clip(np.rint(values.numpy() / scale) + zero, low, high) - zero) * scale
    weight = fake.weight.detach().numpy()
    steps = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    expected = np.einsum("oc,bchw->bohw", (np.rint(weight / steps) * steps)[:, :, 0, 0], read)
    assert np.allclose(fake(values).detach().numpy(), expected, atol=1e-5)


def test_gradients_pass_inside_the_range_and_not_outside() -> None:
    values = torch.tensor([-5.0, 0.5, 9.0]).reshape(1, 3, 1, 1).requires_grad_(True)
    fake = single(False)
    fake(values).sum().backward()
    assert values.grad is not None
    assert (values.grad.flatten() != 0).tolist() == [False, True, False]
    assert fake.weight.grad is not None
    assert fake.weight.grad.abs().sum() > 0


def rounded_ap(model: FCOS, judge: Judge) -> float:
    """AP of the network with every convolution rounded."""
    fake = fake_copy(model, symmetric=True)
    watch(fake, inputs(6))
    switch(fake, set(convolutions(fake)))
    return judge(fake)[0]


@pytest.mark.timeout(300)
def test_tuning_makes_8_bits_cost_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qat, "AUGMENT", Augment(flip="none", mosaic=0, crop=0, brightness=0, contrast=0, saturation=0))
    model, structure = network()
    with_a_layer_that_hurts(model)
    folder, raw, _, dataset = labelled(tmp_path / "line", model, structure, train=6, val=2)
    reporter = Reporter()
    before = (folder / "model.safetensors").read_bytes()
    tune(folder, tmp_path / "tuned", dataset, raw, inputs(6), Int8(qat_epochs=30, qat_lr=1e-3, qat_batch_size=3),
         symmetric=True, work=tmp_path / "work", reporter=reporter)
    tuned, same = load_model(tmp_path / "tuned")
    assert (same.plan, same.classes, same.line) == (structure.plan, structure.classes, structure.line)
    assert same.thresholds is not None
    assert (folder / "model.safetensors").read_bytes() == before
    assert load_structure(folder).thresholds == structure.thresholds
    assert not any(isinstance(module, FakeConv) for module in tuned.modules())
    assert [entry["imitation"] > 0 for entry in reporter.seen] == [True] * 30
    assert reporter.seen[-1]["loss"] < reporter.seen[0]["loss"]
    judge = Judge(raw, dataset.subset("train"), (64, 96))
    assert rounded_ap(model, judge) < judge(model)[0] - 0.2
    assert rounded_ap(tuned, judge) > rounded_ap(model, judge) + 0.08


def test_layers_in_float_are_not_rounded_while_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, bool]] = []

    def learnt(model: FCOS, *rest: Any) -> Any:
        seen.append({name: module.on for name, module in convolutions(model).items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.compress.qat.learn", learnt)
    model, structure = network()
    folder, raw, _, dataset = labelled(tmp_path / "line", model, structure, train=1, val=1)
    with pytest.raises(KeyboardInterrupt):
        tune(folder, tmp_path / "tuned", dataset, raw, inputs(1), Int8(qat_epochs=1, float_layers=["head.*"]),
             symmetric=False, work=tmp_path / "work", reporter=Reporter())
    assert all(on != name.startswith("head.") for name, on in seen[0].items())
    assert not (tmp_path / "tuned").exists()
