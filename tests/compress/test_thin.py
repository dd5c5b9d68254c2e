"""`visionmill prune`: a model folder in, a thinner one out, which loads elsewhere and trains on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flows import cli
from tasks.base.errors import DataError
from tasks.base.files import read_json
from tasks.compress.pruning import parameters
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, load_model, load_structure, save_model
from tasks.training.start import shaped_like, start

PRESET = DetectorPreset(backbone="resnet18", image_size=96)
PICTURE = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
ASK = """
import sys, torch
from pathlib import Path
from tasks.models.store import load_model
picture = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
print(float(load_model(Path(sys.argv[1]))[0](picture)[1].double().sum()))
"""


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weak filters, and beside it what the command leaves of it."""
    folder = tmp_path_factory.mktemp("thin")
    torch.manual_seed(0)
    structure = Structure(PRESET, ["a", "b"], 64, 96, line="0")
    model = structure.build()
    with torch.no_grad():
        for stage in (model.backbone.body.layer3, model.backbone.body.layer4):
            stage[0].conv1.weight[48:] *= 0.001
    save_model(folder / "whole", structure, model.state_dict())
    words = ["prune", str(folder / "whole"), "--pth", "0.1", "--eq", "union", "--pg", "8", "--nf", "16", "--norm",
             "max", "--el", "backbone.body.layer4.0.conv1", "--out", str(folder / "thin")]
    assert cli.main(words) == 0
    return folder


def test_weak_filters_go_and_the_line_is_tlts(thin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prune", str(thin / "whole"), "-pth", "0.1", "--out", str(thin / "again")]) == 0
    said = capsys.readouterr().out
    assert "backbone.body.layer3.0.conv1: 256 → 48" in said and "backbone.body.layer4.0.conv1: 512 → 48" in said
    ratio = read_json(thin / "again/prune.json")["kept_parameters"]
    assert f"Pruning ratio (pruned model / original model): {ratio:.3f}" in said
    assert ratio == parameters(load_model(thin / "again")[0]) / parameters(load_model(thin / "whole")[0])


def test_excluded_layers_stay_and_the_rest_is_listed(thin: Path) -> None:
    layers = {one["layer"]: one["channels"] for one in read_json(thin / "thin/layers.json")}
    assert layers["backbone.body.layer4.0.conv1"] == [512, 512]
    assert layers["backbone.body.layer3.0.conv1"] == [256, 48]


def test_a_fresh_process_answers_the_same(thin: Path) -> None:
    with torch.inference_mode():
        here = float(load_model(thin / "thin")[0](PICTURE)[1].double().sum())
    done = subprocess.run([sys.executable, "-c", ASK, str(thin / "thin")], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    assert float(done.stdout) == pytest.approx(here, rel=1e-6)


def test_what_is_left_trains_on_with_other_classes_too(thin: Path) -> None:
    for classes in (["a", "b"], ["x", "y", "z"]):
        structure = shaped_like(Structure(PRESET, classes, 64, 96, line="1"), thin / "thin")
        model = start(structure, str(thin / "thin"), 0, thin / "thin").eval()
        assert model(PICTURE)[1].shape[-1] == len(classes)
        assert model.backbone.body.layer3[0].conv1.out_channels == 48
        loss = torch.stack(list(model.loss(PICTURE, [_target()]).values())).sum()
        loss.backward()
        assert torch.isfinite(loss)
    assert load_structure(thin / "thin").plan


def _target() -> object:
    from tasks.models.fcos import Target

    return Target(torch.tensor([[8.0, 8.0, 48.0, 56.0]]), torch.tensor([1]))


def test_a_pruned_model_of_another_kind_is_told(thin: Path) -> None:
    other = Structure(DetectorPreset(image_size=96), ["a"], 64, 96, line="1")
    with pytest.raises(DataError, match="pruned one of another kind"):
        shaped_like(other, thin / "thin")


@pytest.mark.parametrize(("more", "words"), [
    (["--pth", "2", "--nf", "0"], "removes the whole layer"), (["--el", "backbon"], "no layer is called"),
    (["--eq", "unions"], "equalization"), (["--norm", "L1"], "norm"), (["--pg", "0"], "granularity"),
])
def test_wrong_words_are_told(thin: Path, more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prune", str(thin / "whole"), "--out", str(thin / "no"), *more]) == 2
    assert words in capsys.readouterr().err and not (thin / "no").exists()


def test_a_folder_in_use_and_a_file_are_told(thin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prune", str(thin / "whole"), "--out", str(thin / "thin")]) == 2
    file = tmp_path / "a.onnx"
    file.write_bytes(b"x")
    assert cli.main(["prune", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "there already" in (said := capsys.readouterr().err) and "an exported file cannot be pruned" in said
