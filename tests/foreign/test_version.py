"""An import becomes a version: looked up, used, served, trained on; a candidate and nothing more."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from PIL import Image

from flows.commands.import_model import main
from tasks.base.errors import UserError
from tasks.base.files import digest_file, read_json
from tasks.models.fcos import Target
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, load_model
from tasks.registry.versions import global_uri, last_version, resolve_model
from tasks.runtime.classifier import open_classifier
from tasks.runtime.detector import open_detector
from tasks.training.start import start

from .graphs import speaking

YAML = "title: by hand\nlicence: MIT\ndecoding: {family: plain-boxes, boxes: b, scores: s}\n"
TINY = "train:\n  model: {backbone: resnet18, levels: 3, image_size: 64}\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model from elsewhere, registered twice, and weights, registered once."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "x.yaml").write_text(YAML)
    (folder / "conf/model").mkdir(parents=True)
    (folder / "conf/model/tiny.yaml").write_text(TINY)
    speaking(folder / "x.onnx", {"b": np.array([[[4, 8, 20, 24], [0, 0, 8, 8]]]),
                                 "s": np.array([[[0.9, 0.1], [0.2, 0.8]]])})
    torch.manual_seed(0)
    network = Structure(DetectorPreset(backbone="resnet18", levels=3, image_size=64), ["a", "b"], 64, 64, "").build()
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.delenv(name, raising=False)
        patch.chdir(folder)
        for _ in range(2):
            assert main(["x.onnx", "--preset", "x.yaml", "--classes", "dog,cat"]) == 0
        assert main(["weights.safetensors", "--preset", "tiny", "--classes", "a, b", "--name", "ours",
                     "--out", "made"]) == 0
        yield folder


def test_the_same_again_is_the_same_version(workspace: Path) -> None:
    found = last_version("x", workspace)
    assert found is not None and found["version"] == "1" and found["aliases"] == ["candidate"]
    tags = found["tags"]
    assert tags["visionmill.sha256"] == digest_file(workspace / "x.onnx") and tags["visionmill.licence"] == "MIT"
    assert (tags["visionmill.imported"], tags["visionmill.trainable"]) == ("yes", "no")


def test_a_version_that_was_imported_is_used_like_any(workspace: Path) -> None:
    detector = open_detector(resolve_model("models:/x@candidate", workspace=workspace), threads=1)
    found = detector.predict([np.zeros((32, 64, 3), np.uint8)], score_threshold=0.5)[0]
    np.testing.assert_allclose(found.boxes, [[8, 16, 40, 32], [0, 0, 16, 16]], atol=1e-3)


def test_mlflow_serves_it(workspace: Path) -> None:
    import mlflow

    content = io.BytesIO()
    Image.new("RGB", (64, 32)).save(content, "PNG")
    frame = pd.DataFrame({"image": [base64.b64encode(content.getvalue()).decode()]})
    with global_uri(workspace):
        answer = mlflow.pyfunc.load_model("models:/x/1").predict(frame)
    assert answer.classes[0] == ["dog", "cat"]
    np.testing.assert_allclose(answer.boxes[0], [[8, 16, 40, 32], [0, 0, 16, 16]], atol=1e-3)


def test_a_file_alone_cannot_be_trained(workspace: Path) -> None:
    with pytest.raises(UserError, match="no trained model|no weights to train"):
        resolve_model("models:/x/1", "trained", workspace)


def test_weights_can(workspace: Path) -> None:
    folder = resolve_model("models:/ours/1", "trained", workspace)
    network, structure = load_model(folder)
    wanted = Structure(structure.preset, ["a", "b", "c"], 64, 64, "line")
    started = start(wanted, "models:/ours/1", 1, folder)
    theirs = safetensors.torch.load_file(workspace / "weights.safetensors")
    for key, value in network.state_dict().items():
        assert torch.equal(value, theirs[key])
        assert key.startswith("head.classification.cls_logits") or torch.equal(started.state_dict()[key], value)
    target = Target(torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([2]))
    losses = started.train().loss(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [target])
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in started.head.parameters())


def test_its_onnx_file_answers_as_torch_does(workspace: Path) -> None:
    file = resolve_model("models:/ours/1", workspace=workspace)
    detector, torchy = open_detector(file, 1), open_detector(workspace / "made/trained", 1)
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    for one, other in zip(detector.raw(image), torchy.raw(image), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-2)
    assert read_json(workspace / "made/imported.json")["loaded"] == "detector"


def test_a_folder_only(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x.onnx", "--preset", "x.yaml", "--classes", "dog,cat", "--out", "alone"]) == 0
    assert "models:/" not in capsys.readouterr().out
    assert sorted(path.name for path in (workspace / "alone").iterdir()) == ["imported.json", "model.onnx"]


@pytest.mark.parametrize(("words", "message"), [
    (["x.onnx", "--classes", "a", "--labels", "b"], "same thing"),
    (["x.onnx", "--preset", "x.yaml", "--classes", "dog,cat", "--name", "a/b"], "cannot be the name"),
    (["x.onnx", "--preset", "x.yaml", "--classes", "dog,cat", "--out", "conf"], "something else in that folder"),
    (["nothing.onnx"], "no such model"),
])
def test_what_is_asked_wrongly(workspace: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(words)


def test_without_a_model_the_catalogue_is_shown(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "picodet-s-416" in capsys.readouterr().out


def test_a_classifier_for_a_cascade(workspace: Path) -> None:
    speaking(workspace / "kinds.onnx", {"out": np.array([[0.0, np.log(3)]])})
    (workspace / "kinds.yaml").write_text("title: kinds\ndecoding: {family: classify, output: out}\n")
    assert main(["kinds.onnx", "--preset", "kinds.yaml", "--classes", "left,right"]) == 0
    classifier = open_classifier(resolve_model("models:/kinds/1", workspace=workspace), threads=1)
    np.testing.assert_allclose(classifier.scores(np.zeros((9, 9, 3), np.uint8)), [0.25, 0.75], atol=1e-6)


def test_a_model_folder_of_ours_from_elsewhere(workspace: Path) -> None:
    assert main(["made/trained", "--out", "again"]) == 0
    before, after = (load_model(workspace / name / "trained") for name in ("made", "again"))
    assert before[1] == after[1]
    assert all(torch.equal(value, after[0].state_dict()[key]) for key, value in before[0].state_dict().items())
