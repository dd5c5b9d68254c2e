"""The light training: what it learns from, that it is the same again, that it goes on, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.store.layout import Store, Version
from tasks.data.store.shards import pack
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.improving.light import Judged, Light, Often, class_counts, to_learn, train_and_judge
from tasks.metrics.detections import SCHEMA
from tasks.runtime.detector import open_detector

Drawn = tuple[Store, Version]


def few(dataset: Dataset, count: int, split: str = "train") -> Dataset:
    """The first pictures of a split with their labels."""
    images = dataset.subset(split).images.slice(0, count)
    inside = np.isin(dataset.annotations["image_id"].to_numpy(), images["image_id"].to_numpy())
    return replace(dataset, images=images, annotations=dataset.annotations.filter(pa.array(inside)))


@pytest.fixture
def learn(drawn: Drawn, light: Callable[..., Light], tmp_path: Path,
          monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judged]:
    """Trains on the drawn set."""
    monkeypatch.setenv("VISIONMILL_THREADS", "1")
    store, version = drawn

    def run(name: str = "out", folder: Path | None = None, raw: Path | None = None, seed: int = 0,
            init: Path | None = None, **changes: object) -> Judged:
        judge = read_dataset(version.folder).subset("test")
        return train_and_judge(folder or version.folder, raw or store.pictures, light(**changes), judge=judge,
                               out=tmp_path / name, seed=seed, init=init, judge_raw=store.pictures)

    return run


def test_a_model_that_opens_its_detections_and_intervals(learn: Callable[..., Judged], drawn: Drawn) -> None:
    made = learn()
    detector = open_detector(made.model)
    assert detector.classes == ["bar", "square"]
    assert made.detections.schema.equals(SCHEMA)
    assert set(made.detections["image_id"].to_pylist()) <= set(
        read_dataset(drawn[1].folder).subset("test").images["image_id"].to_pylist())
    told = made.metrics
    assert {"AP", "AP_low", "AP_high", "AP50", "AP50_low", "AP50_high", "per_class"} <= set(told)
    assert told["AP_low"] <= told["AP"] <= told["AP_high"]
    assert told["train_images"] == 24 and told["train_boxes"] == 48 and told["images"] == 6
    assert set(told["per_class"]) == {"bar", "square"}
    assert {"AP50_low", "AP50_high", "ground_truth"} <= set(told["per_class"]["bar"])


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(learn: Callable[..., Judged]) -> None:
    first, again, other = learn("a"), learn("b"), learn("c", seed=1)
    assert digest_tree(first.model) == digest_tree(again.model) != digest_tree(other.model)
    assert first.detections.equals(again.detections)


def test_what_is_there_is_not_made_again_and_other_settings_are(learn: Callable[..., Judged]) -> None:
    before = learn().model.stat().st_mtime_ns
    assert learn().model.stat().st_mtime_ns == before
    assert learn(steps=3).model.stat().st_mtime_ns != before


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(
        learn: Callable[..., Judged], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = learn("whole", steps=4, laps=2)
    from tasks.training import loop

    epochs: list[int] = []
    real = loop._epoch

    def killed(*given: object) -> object:
        epochs.append(int(given[5]))  # type: ignore[call-overload]
        if epochs == [0, 1]:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        learn("cut", steps=4, laps=2)
    assert not (tmp_path / "cut").exists()
    assert digest_tree(learn("cut", steps=4, laps=2).model) == digest_tree(whole.model)
    assert epochs == [0, 1, 1]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".cut")] == []


@pytest.mark.parametrize("count", [1, 3])
def test_tiny_sets_train_as_many_steps_as_large_ones(learn: Callable[..., Judged], drawn: Drawn, tmp_path: Path,
                                                     count: int) -> None:
    write_dataset(tmp_path / "few", few(read_dataset(drawn[1].folder), count))
    assert learn(folder=tmp_path / "few").metrics["train_images"] == count


@pytest.mark.parametrize(("shown", "wanted"), [(2, [0, 1]), (7, [0, 1, 2, 0, 1, 2, 0])])
def test_each_picture_is_shown_as_often_as_the_others(shown: int, wanted: list[int]) -> None:
    class Three:
        shape = (8, 8)

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> int:
            return index

    often = Often(Three(), shown)  # type: ignore[arg-type]
    assert [often[at] for at in range(len(often))] == wanted


def test_pictures_in_archives_are_read(learn: Callable[..., Judged], drawn: Drawn, tmp_path: Path) -> None:
    store, version = drawn
    write_dataset(tmp_path / "packed", few(read_dataset(version.folder), 4))
    loose = learn("loose", folder=tmp_path / "packed")
    (tmp_path / "pictures/shapes-1").mkdir(parents=True)
    pack(tmp_path / "packed/images.parquet", store.pictures / "shapes-1", tmp_path / "pictures/shapes-1", "shapes-1")
    packed = learn("out", folder=tmp_path / "packed", raw=tmp_path / "pictures")
    assert packed.detections.equals(loose.detections)


def test_it_starts_from_an_earlier_model_of_another_shape(learn: Callable[..., Judged]) -> None:
    first = learn("first", steps=3)
    from tasks.models.preset import DetectorPreset

    later = learn("later", init=first.model, model=DetectorPreset(image_size=96))
    assert open_detector(later.model).height != open_detector(first.model).height
    assert digest_tree(later.model) != digest_tree(first.model)


def test_what_is_judged_on_is_never_learnt_from(drawn: Drawn) -> None:
    whole = read_dataset(drawn[1].folder)
    free = replace(whole, images=whole.images.set_column(
        whole.images.schema.get_field_index("split"), "split", pa.nulls(whole.images.num_rows, pa.string())))
    judge = whole.subset("test")
    learned, left_out = to_learn(free, judge, drawn[1].folder)
    assert left_out == 6 and learned.images.num_rows == 24
    assert not set(learned.images["digest"].to_pylist()) & set(judge.images["digest"].to_pylist())


def test_nothing_to_learn_from_and_other_classes_are_refused(drawn: Drawn) -> None:
    whole = read_dataset(drawn[1].folder)
    judge = whole.subset("test")
    with pytest.raises(DataError, match="no picture to train on"):
        to_learn(judge, judge, Path("set"))
    with pytest.raises(DataError, match="no box to train on"):
        to_learn(replace(whole, annotations=whole.annotations.slice(0, 0)), judge, Path("set"))
    other = replace(judge, meta=judge.meta.model_copy(update={"classes": ["square", "bar"]}))
    with pytest.raises(DataError, match="classes differ"):
        to_learn(whole, other, Path("set"))
    with pytest.raises(DataError, match="'classify'"):
        to_learn(replace(whole, meta=whole.meta.model_copy(update={"problem": "classify"})), judge, Path("set"))


def test_boxes_of_each_class_are_counted(drawn: Drawn) -> None:
    assert class_counts(read_dataset(drawn[1].folder)) == {"bar": 30, "square": 30}
