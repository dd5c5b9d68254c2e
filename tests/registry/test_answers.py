"""Answers of a file on a dataset: kept by what they depend on, classes by name, safe when two ask at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.table import Dataset
from tasks.registry import store
from tasks.registry.gates import answers as answering
from tasks.registry.gates.answers import FOLDER, answers, by_name

from .cases import CLASSES, PICTURES, found_by, scene, tiny_onnx, write_pictures


@pytest.fixture
def data(tmp_path: Path) -> tuple[Dataset, Path]:
    write_pictures(tmp_path / "raw")
    return scene(tmp_path / "raw"), tmp_path / "raw"


def kept(workspace: Path) -> list[Path]:
    return sorted((workspace / FOLDER).glob("*.parquet"))


def test_the_answers_are_those_of_the_file(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    tiny_onnx(tmp_path / "a.onnx", finds=0.5)
    found, expected = answers(tmp_path / "a.onnx", *data, tmp_path), found_by(0.5)
    assert found.drop_columns("score") == expected.drop_columns("score")
    np.testing.assert_allclose(found["score"].to_numpy(), expected["score"].to_numpy(), atol=1e-6)


def test_what_they_depend_on_asks_again_and_nothing_else_does(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    dataset, raw = data
    tiny_onnx(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes())
    first = answers(tmp_path / "a.onnx", dataset, raw, tmp_path)
    assert answers(tmp_path / "b.onnx", dataset, raw, tmp_path) == first and len(kept(tmp_path)) == 1
    moved = dataset.annotations.slice(3)
    answers(tmp_path / "a.onnx", Dataset(dataset.images, moved, dataset.meta), raw, tmp_path)
    assert len(kept(tmp_path)) == 1  # other ground truth, the same pictures
    fewer = Dataset(dataset.images.slice(5), dataset.annotations, dataset.meta)
    assert answers(tmp_path / "a.onnx", fewer, raw, tmp_path)["image_id"].to_numpy().min() == 5
    answers(tmp_path / "a.onnx", dataset, raw, tmp_path, score_threshold=0.5)
    tiny_onnx(tmp_path / "a.onnx", finds=0.5)
    answers(tmp_path / "a.onnx", dataset, raw, tmp_path)
    assert len(kept(tmp_path)) == 4


def test_a_torn_file_is_made_again(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    tiny_onnx(tmp_path / "a.onnx")
    first = answers(tmp_path / "a.onnx", *data, tmp_path)
    kept(tmp_path)[0].write_bytes(b"PAR1 torn")
    assert answers(tmp_path / "a.onnx", *data, tmp_path) == first


def test_classes_go_by_name(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    tiny_onnx(tmp_path / "a.onnx", classes=[CLASSES[1], "triangle"])
    found = answers(tmp_path / "a.onnx", *data, tmp_path)
    assert set(found["class_id"].to_pylist()) == {1}  # its first class is the dataset's second


def test_names_and_ids() -> None:
    table = pa.table({"class_id": pa.array([0, 1, 2, 1], pa.int32()), "n": [1, 2, 3, 4]})
    assert by_name(table, ["a", "b", "c"], ["c", "x", "b"]).to_pydict() == {"class_id": [2, 0, 2], "n": [2, 3, 4]}
    assert by_name(table, ["a", "b", "c"], ["z"]).num_rows == 0
    assert by_name(table.slice(0, 0), [], ["z"]).num_rows == 0


def test_two_processes_ask_once(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    tiny_onnx(tmp_path / "a.onnx")
    ask = ("import sys; from pathlib import Path; from tasks.registry.gates import answers; "
           "from tests.registry.cases import scene; f = Path(sys.argv[1]); was = answers._ask; "
           "answers._ask = lambda *w: (print('asked'), was(*w))[1]; "
           "print(answers.answers(f / 'a.onnx', scene(f / 'raw'), f / 'raw', f).num_rows)")
    running = [subprocess.Popen([sys.executable, "-c", ask, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.DEVNULL) for _ in range(2)]
    told = [process.communicate(timeout=300)[0].split() for process in running]
    assert sum(words.count("asked") for words in told) == 1 and len(kept(tmp_path)) == 1
    assert {words[-1] for words in told} == {str(PICTURES - 1)}  # the darkest lies below the least score


@pytest.mark.parametrize(("name", "content", "kind"), [
    ("gone.onnx", None, UserError), ("torn.onnx", b"\x08\x09torn", DataError), ("empty.onnx", b"", DataError)])
def test_files_that_do_not_open(tmp_path: Path, data: tuple[Dataset, Path], name: str, content: bytes | None,
                                kind: type[Exception]) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind):
        answers(tmp_path / name, *data, tmp_path)
    assert not kept(tmp_path)


def test_a_folder_that_is_no_model(tmp_path: Path, data: tuple[Dataset, Path]) -> None:
    with pytest.raises(UserError, match="this is no model"):
        answers(tmp_path / "raw", *data, tmp_path)
    with pytest.raises(UserError, match="no such model"):
        answering.answers("nothing", *data, tmp_path)


def test_what_nobody_asked_for_longest_goes(tmp_path: Path, data: tuple[Dataset, Path],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_onnx(tmp_path / "a.onnx")
    files = []
    for threshold in (0.1, 0.2, 0.3):
        answers(tmp_path / "a.onnx", *data, tmp_path, score_threshold=threshold)
        files += [file for file in kept(tmp_path) if file not in files]
        os.utime(files[-1], ns=(len(files), len(files)))
    answers(tmp_path / "a.onnx", *data, tmp_path, score_threshold=0.1)  # the first is the last that was asked for
    assert len(kept(tmp_path)) == 3
    monkeypatch.setattr(answering, "MOST_BYTES", files[0].stat().st_size + files[2].stat().st_size)
    answers(tmp_path / "a.onnx", *data, tmp_path, score_threshold=0.1)
    assert kept(tmp_path) == sorted([files[0], files[2]])
    assert not files[1].with_suffix(".lock").exists() and files[2].with_suffix(".lock").exists()
    monkeypatch.setattr(answering, "MOST_BYTES", 1)
    with store.file_lock(files[2].with_suffix(".lock")):  # another asks for it
        answers(tmp_path / "a.onnx", *data, tmp_path, score_threshold=0.1)
    assert kept(tmp_path) == sorted([files[0], files[2]])
    answers(tmp_path / "a.onnx", *data, tmp_path, score_threshold=0.1)
    assert kept(tmp_path) == [files[0]]
