"""The loop: it learns, it is deterministic, and a killed training ends bit-equal to an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.data.table import Dataset
from tasks.models.fcos import FCOS
from tasks.models.preset import DetectorPreset
from tasks.training.judge import Judge
from tasks.training.loop import Entry, fit, rate
from tasks.training.pictures import Pictures
from tasks.training.settings import Augment, Training
from tasks.training.state import State

SHAPE = (96, 128)
GOLDEN = [2.4122, 1.8204]  # of the first two epochs; other processors round the last digits another way
SHORT = Training(epochs=4, validate_every=1, batch_size=3, warmup=2, freeze=1, lr=2e-3, augment=Augment(mosaic=0.5))


class Killed(Exception):
    """Stands for SIGKILL between two epochs."""


def train(tiny: tuple[Path, Dataset], checkpoint: Path, settings: Training = SHORT, kill_after: int = 0) -> State:
    raw, dataset = tiny
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    model = FCOS(DetectorPreset(backbone="resnet18", image_size=128), 2, *SHAPE)

    def after(entry: Entry) -> None:
        if entry["epoch"] == kill_after:
            raise Killed

    return fit(model, Pictures(raw, dataset.subset("train"), SHAPE), Judge(raw, dataset.subset("val"), SHAPE), settings,
               checkpoint, after)


@pytest.fixture(scope="module")
def undisturbed(tiny: tuple[Path, Dataset], tmp_path_factory: pytest.TempPathFactory) -> State:
    return train(tiny, tmp_path_factory.mktemp("whole") / "checkpoint.pt")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_killed_training_ends_bit_equal(tiny: tuple[Path, Dataset], undisturbed: State, tmp_path: Path,
                                          epoch: int) -> None:
    with pytest.raises(Killed):
        train(tiny, tmp_path / "checkpoint.pt", kill_after=epoch)
    resumed = train(tiny, tmp_path / "checkpoint.pt")
    assert equal(resumed.best, undisturbed.best)
    assert equal(resumed.model, undisturbed.model)
    assert resumed.history == undisturbed.history


def test_another_seed_gives_another_model(tiny: tuple[Path, Dataset], undisturbed: State, tmp_path: Path) -> None:
    other = train(tiny, tmp_path / "checkpoint.pt", SHORT.model_copy(update={"seed": 1, "epochs": 1}))
    assert not equal(other.model, undisturbed.model)


def test_the_loss_falls(undisturbed: State) -> None:
    assert undisturbed.history[-1]["loss"] < undisturbed.history[0]["loss"]


def test_frozen_stages_stay_to_the_bit(undisturbed: State) -> None:
    torch.manual_seed(SHORT.seed)
    fresh = FCOS(DetectorPreset(backbone="resnet18", image_size=128), 2, *SHAPE).state_dict()
    stem = [k for k in fresh if k.startswith(("backbone.body.conv1", "backbone.body.bn1"))]
    assert stem
    assert all(torch.equal(fresh[k], undisturbed.model[k]) for k in stem)


def test_golden_losses(undisturbed: State) -> None:
    """A change of these numbers is a change of training: wanted or not, it must be seen."""
    assert [e["loss"] for e in undisturbed.history[:2]] == pytest.approx(GOLDEN, rel=2e-3)


def test_training_stops_when_patience_ends(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    state = train(tiny, tmp_path / "checkpoint.pt", SHORT.model_copy(update={"lr": 1e-9, "patience": 1}))
    assert state.epoch < SHORT.epochs


def test_a_loss_that_is_not_finite_is_told(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"epoch \d+, step \d+: lower train.lr"):
        train(tiny, tmp_path / "checkpoint.pt", SHORT.model_copy(update={"lr": 1e30, "warmup": 0, "clip": 1e30}))


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (9, 1.0), (10, 1.0), (100, 0.01)])
def test_the_rate_warms_up_and_falls_to_a_hundredth(step: int, expected: float) -> None:
    assert rate(step, 100, Training(lr=1.0, warmup=10)) == pytest.approx(expected)
