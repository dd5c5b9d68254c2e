"""Which layers stay in float: the fewest that the budget needs, worst first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tasks.base.errors import ParamsError
from tasks.compress.fake import FakeConv, convolutions, fake_copy, switch, watch
from tasks.compress.mixed import hurt_of, matching, search

from .labelled import inputs, network, one_thread, with_a_layer_that_hurts

LAYERS = [f"l{i}" for i in range(10)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.mark.parametrize(("losses", "kept", "tried"), [
    ([0.005], 0, [0]),
    ([0.1, 0.005], 1, [0, 1]),
    ([0.1, 0.1, 0.005], 2, [0, 1, 2]),
    ([0.1, 0.1, 0.1, 0.005], 3, [0, 1, 2, 4, 3]),
    ([0.1, 0.1, 0.1, 0.1, 0.005], 4, [0, 1, 2, 4, 3]),
    ([0.1, 0.1, 0.1, 0.1, 0.1, 0.005], 5, [0, 1, 2, 4, 5]),
    ([0.1, 0.2, 0.05, 0.3, 0.06, 0.08], 2, [0, 1, 2, 4, 5]),  # half of them do not suffice: the best that was seen
    ([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], 0, [0, 1, 2, 4, 5]),  # nothing helps: all in 8 bits
])
def test_the_search_keeps_as_few_as_it_can(losses: list[float], kept: int, tried: list[int]) -> None:
    found = search(lambda names: losses[min(len(names), len(losses) - 1)], lambda: dict.fromkeys(LAYERS, 1.0), 0.01)
    assert found.layers == LAYERS[:kept]
    assert found.loss == losses[min(kept, len(losses) - 1)]
    assert [count for count, _ in found.tried] == tried


def test_layers_are_ordered_only_when_one_is_needed() -> None:
    def order() -> dict[str, float]:
        raise AssertionError("asked for")

    assert search(lambda names: 0.0, order, 0.01).hurt == {}


def test_what_hurts_is_found(images: int = 2) -> None:
    model, _ = network()
    before = hurt_of(model, inputs(images), symmetric=True)
    name = with_a_layer_that_hurts(model)
    after = hurt_of(model, inputs(images), symmetric=True)
    assert next(iter(after)) == name
    assert after[name] > 10 * before[name]
    assert set(after) == {n for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert not any(isinstance(module, FakeConv) for module in model.modules())


@pytest.mark.parametrize(("patterns", "expected"), [
    ([], []), (["a.b"], ["a.b"]), (["a.*"], ["a.b", "a.c"]), (["h*", "a.c"], ["a.c", "head"])])
def test_patterns_name_layers(patterns: list[str], expected: list[str]) -> None:
    assert matching(patterns, ["a.b", "a.c", "head"]) == expected


def test_a_pattern_that_names_nothing_offers_the_nearest() -> None:
    with pytest.raises(ParamsError, match="did you mean 'backbone.conv1'"):
        matching(["backbone.conv2"], ["backbone.conv1", "head.x"])


def test_a_copy_that_rounds_nothing_is_the_network() -> None:
    model, _ = network()
    fake = fake_copy(model, symmetric=False)
    batch = torch.from_numpy(inputs(1)[0])
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(model(batch), fake(batch), strict=True))
    assert list(fake.state_dict()) == list(model.state_dict())
    watch(fake, inputs(2))
    assert all(len(module.reads) == 2 for module in convolutions(fake).values())
    switch(fake, {"backbone.body.conv1"})
    with torch.no_grad():
        assert not torch.equal(model(batch)[1], fake(batch)[1])
    assert list(fake.state_dict()) == list(model.state_dict())
