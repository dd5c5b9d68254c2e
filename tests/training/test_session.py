"""A training inside a stage: where it keeps what outlives a kill, and what stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.table import Dataset
from tasks.training.session import WORK, forget, parts, use_threads, work_folder


def test_other_code_is_another_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of two versions of a stage would make a model that neither makes."""
    monkeypatch.chdir(tmp_path)
    names = {work_folder("train", "key").name}
    for digest in ("a", "b"):
        (tmp_path / "code.yaml").write_text(f"train: {digest}\nprune: c\n")
        names.add(work_folder("train", "key").name)
    assert len(names) == 3
    (tmp_path / "code.yaml").write_text("train: b\nprune: d\n")
    assert work_folder("train", "key").name in names


def test_a_finished_stage_forgets_its_own_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train-1", "train-2", "prune-1"):
        (tmp_path / WORK / name).mkdir(parents=True)
    forget(WORK / "train-2")
    assert [p.name for p in (tmp_path / WORK).iterdir()] == ["prune-1"]


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_wrong_number_of_threads_is_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_THREADS", value)
    with pytest.raises(UserError, match="VISIONMILL_THREADS"):
        use_threads()


def test_a_split_without_pictures_or_boxes_is_told(tiny: tuple[Path, Dataset]) -> None:
    dataset = tiny[1]
    with pytest.raises(DataError, match="the val split has no picture"):
        parts(dataset.subset("train"))
    with pytest.raises(DataError, match="no box"):
        parts(Dataset(dataset.images, dataset.annotations.slice(0, 0), dataset.meta))
