"""Folders of weights: what is refused before anything is opened, with and without `transformers`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.labelling.teachers.prompted import fetch_weights, open_masker, open_prompted
from tasks.labelling.teachers.prompting.loading import find_weights


def folder_of(path: Path, kind: str = "sam", *files: str) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": kind}))
    for name in files:
        (path / name).write_bytes(b"0")
    return path


def test_without_the_library_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder_of(tmp_path / "here", "sam", "model.safetensors")
    folder_of(tmp_path / "there", "grounding-dino", "model.safetensors")
    with pytest.raises(UserError, match=r"sam needs the library transformers.*\n.*visionmill\[prompted\]"):
        open_masker("sam:here", tmp_path)
    with pytest.raises(UserError, match=r"grounding-dino needs the library"):
        open_prompted("grounding-dino:there", ["cell"], workspace=tmp_path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    folder_of(tmp_path / "old", "sam", "pytorch_model.bin")
    with pytest.raises(DataError, match="as a pickle are never opened: pytorch_model.bin"):
        open_masker("sam:old", tmp_path)


@pytest.mark.parametrize(("text", "told"), [
    ("sam", "without its folder"), ("sam:", "without its folder"), ("sma:x", "not asked for masks"),
    ("sam:empty", "holds no model"), ("sam:nothing", "no weights"), ("sam:other", "type 'bert'"),
    ("sam:list", "no JSON object"), ("sam:../../nowhere", "no folder of weights"),
])
def test_what_is_no_folder_of_weights(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "nothing")
    folder_of(tmp_path / "other", "bert", "model.safetensors")
    folder_of(tmp_path / "list").joinpath("config.json").write_text("[]")
    with pytest.raises(UserError, match=told) as raised:
        open_masker(text, tmp_path)
    assert raised.value.mend


def test_masks_are_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="finds none") as raised:
        open_prompted("sam:x", ["cell"], workspace=tmp_path)
    assert "--masks sam:x" in str(raised.value.mend)


@pytest.mark.parametrize("names", [["../secret.safetensors"], ["a.bin"], ["gone.safetensors"], []])
def test_an_index_names_weight_files_beside_it_alone(tmp_path: Path, names: list[str]) -> None:
    folder = folder_of(tmp_path / "cut", "sam", "a.bin")
    (tmp_path / "secret.safetensors").write_bytes(b"0")
    table = {f"weight{number}": name for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    with pytest.raises(DataError, match="the index names"):
        find_weights("sam:cut", tmp_path)


def test_an_index_of_files_that_are_there(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "cut", "sam", "a.safetensors", "b.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}))
    found = find_weights("sam:cut", tmp_path)
    assert found.files == ("a.safetensors", "b.safetensors") and found.name == "sam-cut"
    before = found.digest
    (folder / "b.safetensors").write_bytes(b"1")
    assert find_weights("sam:cut", tmp_path).digest != before


class Hub:
    """In place of the hub: what was asked of it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.asked = folder, []

    def __call__(self, place: str, **options: object) -> str:
        self.asked.append((place, options))
        if self.folder is None or options["local_files_only"]:
            raise OSError("not here")
        return str(self.folder)


def test_the_hub_is_asked_only_where_the_user_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = Hub(folder_of(tmp_path / "snapshot", "sam", "model.safetensors"))
    monkeypatch.setattr(hub, "snapshot_download", asked)
    with pytest.raises(UserError, match="only where you say so") as raised:
        find_weights("sam:someone/sam-tiny", tmp_path)
    assert "sam:someone/sam-tiny --allow-download" in str(raised.value.mend)
    assert asked.asked[0][1]["local_files_only"] is True
    found = find_weights("sam:someone/sam-tiny", tmp_path, allow_download=True)
    assert found.files == ("model.safetensors",)
    fetch_weights("picodet-s-416", None, "sam:someone/sam-tiny", "sam:snapshot", workspace=tmp_path)
    assert len(asked.asked) == 3
    place, options = asked.asked[-1]
    assert place == "someone/sam-tiny" and not options["local_files_only"]
    assert not any("bin" in pattern or "py" in pattern for pattern in options["allow_patterns"])  # type: ignore


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", Hub(None))
    with pytest.raises(UserError, match="did not come from the hub: OSError: not here"):
        find_weights("sam:someone/sam-tiny", tmp_path, allow_download=True)
