"""What cannot be imported says why, and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.foreign.bring import bring
from tasks.foreign.description import known, read_description, read_labels
from tasks.foreign.reading import read_onnx

from .graphs import speaking, write

BOXES = {"b": np.array([[[4, 8, 20, 24]]]), "s": np.array([[[0.9, 0.1]]])}
PLAIN = "title: x\ndecoding: {family: plain-boxes, boxes: b, scores: s}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "plain.yaml").write_text(PLAIN)
    return speaking(tmp_path / "x.onnx", BOXES)


def attempt(file: Path, text: str = PLAIN, **options: Any) -> Any:
    (file.parent / "own.yaml").write_text(text)
    return bring(str(file), file.parent / "out", **({"preset": str(file.parent / "own.yaml"),
                                                     "classes": ["dog", "cat"]} | options))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_file_that_is_cut_off(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="cut off|does not open"):
        attempt(file)
    assert not (file.parent / "out").exists()


def test_a_file_that_is_something_else(file: Path) -> None:
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="no ONNX file"):
        attempt(file)


@pytest.mark.parametrize(("opset", "word"), [(3, "old"), (99, "new")])
def test_an_opset_that_nobody_reads(tmp_path: Path, opset: int, word: str) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES, opset=17)
    proto = onnx.load(file)
    proto.opset_import[0].version = opset
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match=f"opset {opset} is too {word}: 7 to") as told:
        attempt(file)
    assert "opset_version=17" in str(told.value)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 20, 21])
def test_other_opsets_are_brought_to_ours(tmp_path: Path, opset: int) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["seen"])]
    proto = read_onnx(write(tmp_path / "x.onnx", nodes, ["seen"], opset=opset))
    assert proto.opset_import[0].version == max(opset, 20)


def test_weights_that_are_listed_as_inputs_too(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES, opset=11)
    proto = onnx.load(file)
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    file.write_bytes(proto.SerializeToString())
    assert attempt(file).facts["candidates"] == 1


def test_three_gigabytes(tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.touch()
    os.truncate(file, 3_000_000_000)
    with pytest.raises(UserError, match=r"3\.0 GB: an ONNX file of more than 2 GB"):
        attempt(file)


@pytest.mark.parametrize(("place", "words"), [
    ("x.data", "external data are missing: x.data"), ("../x.data", "outside its folder"),
    ("/etc/hostname", "outside its folder")])
def test_external_data_that_are_not_there(tmp_path: Path, place: str, words: str) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES)
    proto = onnx.load(file)
    tensor = next(t for t in proto.graph.initializer if t.name == "b_value")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match=words):
        attempt(file)


def test_external_data_become_part_of_the_file(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES)
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="x.data", size_threshold=0)
    made = attempt(file)
    assert not any(tensor.external_data for tensor in onnx.load(made.folder / "model.onnx").graph.initializer)
    (tmp_path / "x.data").write_bytes(b"")
    with pytest.raises(DataError, match="external data do not load"):
        attempt(file)


def test_operators_of_a_library_of_its_own(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES)
    proto = onnx.load(file)
    proto.opset_import.append(helper.make_opsetid("mmdeploy", 1))
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match="operators of mmdeploy"):
        attempt(file)


def test_outputs_that_no_description_knows(file: Path) -> None:
    with pytest.raises(UserError, match=r"outputs at 32 × 32: b \[1, 1, 4\], s \[1, 1, 2\]") as told:
        attempt(file, preset=None)
    assert all(name in str(told.value) for name in known())


def test_the_descriptions_that_would_fit_are_named(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", {"output": np.zeros((1, 21, 85))})
    with pytest.raises(UserError, match=r"output \[1, 21, 85\]") as told:
        attempt(file, preset=None)
    assert "--preset yolox" in str(told.value)
    with pytest.raises(UserError, match="no output is called") as told:
        attempt(file)
    assert "--preset yolox" in str(told.value) and "would fit" in str(told.value)


@pytest.mark.parametrize(("text", "words"), [
    (PLAIN + "input: {name: picture}", "no input 'picture'"),
    (PLAIN + "input: {dtype: uint8}", r"'image' is tensor\(float\), the description says uint8"),
    (PLAIN + "input: {layout: nhwc}", "no 3 channels where nhwc has them"),
    (PLAIN + "input: {height: 64}", "takes 32 × 32 pixels, the description says 64"),
])
def test_an_input_that_is_not_the_one_described(file: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        attempt(file, text)


def test_scores_that_are_no_scores(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES | {"s": np.array([[[14.2, -3.0]]])})
    with pytest.raises(UserError, match="scores reach from -3 to 14.2") as told:
        attempt(file)
    assert "activation: sigmoid" in str(told.value)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", BOXES | {"b": np.array([[[np.inf, 0, 1, 1]]])})
    with pytest.raises(UserError, match="not finite"):
        attempt(file)


@pytest.mark.parametrize(("text", "words"), [
    ("title: x\ndecoding: {family: yolo, boxes: b}", "decoding"),
    (PLAIN + "input: {std: [1, 0, 1]}", "above 0"),
    (PLAIN + "supression: 0.5", "did you mean 'suppression'"),
    (PLAIN + "classes: cocoa", "no list of classes is called 'cocoa'"),
    (PLAIN + "classes: [dog, dog]", "two classes have one name: 'dog'"),
])
def test_a_description_that_is_not_written_well(file: Path, text: str, words: str) -> None:
    with pytest.raises((ParamsError, UserError), match=words) as told:
        attempt(file, text, classes=None)
    assert told.value.exit_code == 2


@pytest.mark.parametrize(("classes", "words"), [
    (None, "nobody says what the 2 classes are called"),
    (["dog"], "tells 2 classes apart, the list has 1 names"),
    (["dog", "cat", "cow"], "tells 2 classes apart, the list has 3"),
    (["dog", "dog"], "two classes have one name"),
    (["dog", ""], "class 2 has no name"),
])
def test_classes_that_do_not_fit(file: Path, classes: list[str] | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        attempt(file, classes=classes)


@pytest.mark.parametrize(("content", "words"), [
    (b"dog\n\ncat\n", "class 2 has no name"), (b"", "empty"), (b"dog\ncat\ndog\n", "names 1 and 3"),
    (b"d\xff\n", "UTF-8"), (None, "no such list")])
def test_lists_of_classes(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_labels(tmp_path / "labels.txt")


def test_a_list_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffdog\r\nÄpfel \r\n\r\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ["dog", "Äpfel"]


def test_a_catalogue_entry_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match="weights of yolox-nano are not on this machine") as told:
        bring("yolox-nano", tmp_path / "out")
    assert "import-model FILE --preset yolox-nano" in str(told.value)
    weights = tmp_path / "weights" / str(read_description("yolox-nano").file)
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"something else")
    with pytest.raises(UserError, match="not those of the catalogue"):
        bring("yolox-nano", tmp_path / "out")
    with pytest.raises(UserError, match="no such model"):
        bring("yolo", tmp_path / "out")


def test_every_entry_of_the_catalogue_is_one() -> None:
    for name, entry in known().items():
        text = Path(__file__).parents[2].joinpath(f"conf/import/{name}.yaml").read_text()
        assert text.startswith("# visionmill import-model "), name
        assert (entry.file is None) == (entry.sha256 is None)
