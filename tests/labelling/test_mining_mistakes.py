"""What the strategy `failures` goes by: mistakes on val, never those on test."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.base.errors import DataError, UserError
from tasks.base.files import write_json
from tasks.data.pictures import measure
from tasks.data.store.layout import Store
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, conform, write_dataset
from tasks.labelling.mining import Evaluation, last_evaluation, pick
from tasks.labelling.picking.mistakes import failures, quality
from tasks.metrics.detections import write_detections
from tests.labelling.ponds import CLASSES, looked_at, picture, pond, save

WRONG = 3  # the picture of val whose object is not found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Six pictures with a cell each, 0 to 2 in train, 3 to 5 in val; the cell of picture 3 is not found."""
    folder = tmp_path / "work"
    write_dataset(folder / "data/split", labelled(folder))
    found = pa.table({"image_id": pa.array([4, 5], pa.int64()), "class_id": pa.array([0, 0], pa.int32()),
                      **{name: pa.array([value] * 2, pa.float32()) for name, value in
                         (("x", 5), ("y", 5), ("w", 20), ("h", 20), ("score", 0.9))}})
    (folder / "results/evaluate/detections").mkdir(parents=True)
    write_detections(folder / "results/evaluate/detections/trained__torch.parquet", found)
    say(folder, "val")
    return folder


def say(folder: Path, split: str) -> None:
    write_json(folder / "results/evaluate/metrics.json", {"split": split, "artefacts": {"trained/torch": {}}})


def labelled(folder: Path) -> Dataset:
    rows = []
    for number in range(6):
        known = measure(save(folder / f"data/raw/{number}.png", 50 + number))
        rows.append({"image_id": number, "file": f"{number}.png", "split": "val" if number > 2 else "train"}
                    | known._asdict())
    boxes = [{"annotation_id": n, "image_id": n, "class_id": 0, "x": 5.0, "y": 5.0, "w": 20.0, "h": 20.0, "area": 400.0,
              "iscrowd": False, "difficult": False, "source": "human", "row": str(n)} for n in range(6)]
    images, annotations = pa.Table.from_pylist(rows), pa.Table.from_pylist(boxes)
    return Dataset(conform(images, IMAGES), conform(annotations, ANNOTATIONS), Meta(name="w", classes=CLASSES))


def test_mistakes_by_picture_with_what_it_looks_like(workspace: Path) -> None:
    found = failures(last_evaluation(workspace), workspace)
    assert found.words == [f"picture {WRONG} (missed: cell)"] and found.vectors.shape == (1, 256)
    assert found.severity[0] == pytest.approx(1.0)
    # a third of the cells is missed: precision 1 up to recall 2/3
    assert quality(last_evaluation(workspace)) == {"cell": pytest.approx(0.67, abs=0.01)}


def test_the_nearest_neighbour_of_a_failure_comes_first(workspace: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    raw = tmp_path / "raw"
    # like the failed one, and yet no copy of it: half of the other's pixels
    mixed = picture(50 + WRONG).copy()
    mixed[:, 26:] = picture(90)[:, 26:]
    pond(store, raw, range(8), "pool")
    Image.fromarray(mixed).save(raw / "alike.png")
    pool = pond(store, raw, [], "pool")
    version, mined = pick(pool, store, workspace, strategy="failures", budget=1, known=[], out="o", owner="ann")
    files = pq.read_table(version.folder / "images.parquet")["file"].to_pylist()
    assert [Path(name).name for name in files] == ["alike.png"]
    assert f"like picture {WRONG} (missed: cell) of the last evaluation" in mined.table["reason"][0].as_py()


def test_mistakes_on_test_are_refused(workspace: Path, tmp_path: Path) -> None:
    evaluation = last_evaluation(workspace)
    images = evaluation.dataset.images
    told = images.set_column(images.schema.get_field_index("split"), "split", pa.array(["test"] * images.num_rows))
    on_test = replace(evaluation, dataset=replace(evaluation.dataset, images=told))
    with pytest.raises(UserError, match="mistakes on test are not mined for"):
        failures(on_test, workspace)
    # an evaluation on test is not taken, and without a trained model there is none on val
    say(workspace, "test")
    with pytest.raises(UserError, match="no evaluation on val, and no trained model to make one"):
        last_evaluation(workspace)


def test_the_trained_model_looks_at_val_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.models.preset import DetectorPreset
    from tasks.models.store import Structure, save_model

    say(workspace, "test")
    structure = Structure(DetectorPreset(image_size=64, levels=3), CLASSES, 64, 64, "line", thresholds={"cell": 0.2})
    save_model(workspace / "models/trained", structure, structure.build().state_dict())
    with pytest.raises(UserError, match="no evaluation on val"):
        last_evaluation(workspace, make=False)
    first = last_evaluation(workspace)
    assert first.told == "models/trained on val" and first.thresholds == {"cell": 0.2}
    assert first.dataset.images["image_id"].to_pylist() == [3, 4, 5]
    monkeypatch.setattr("tasks.training.judge.Judge.__init__", None)
    assert last_evaluation(workspace).detections.equals(first.detections)


def test_results_that_do_not_fit(workspace: Path) -> None:
    write_detections(workspace / "results/evaluate/detections/trained__torch.parquet", pa.table({
        "image_id": pa.array([0], pa.int64()), "class_id": pa.array([0], pa.int32()),
        **{name: pa.array([1.0], pa.float32()) for name in ("x", "y", "w", "h", "score")}}))
    with pytest.raises(DataError, match="another split than data/split has"):
        last_evaluation(workspace)
    (workspace / "results/evaluate/metrics.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        last_evaluation(workspace)
    say(workspace, "val")
    shutil.rmtree(workspace / "data/split")
    with pytest.raises(UserError, match="no split yet"):
        last_evaluation(workspace)


def test_mixed_weighs_classes_by_what_val_says(workspace: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    pool = pond(store, tmp_path / "raw", range(8), "pool")
    seen = looked_at(pool, store, workspace)

    def weights(**more: object) -> object:
        return pick(pool, store, workspace, strategy="mixed", budget=2, known=[], prelabels=seen, out="o", owner="ann",
                    **more)[1].params["quality"]  # type: ignore[arg-type]

    assert weights() == quality(last_evaluation(workspace)) != {}
    assert weights(values={"quality": {"cell": 0.5}}) == {"cell": 0.5}
    given = last_evaluation(workspace)
    nothing = Evaluation(given.dataset, given.detections.slice(0, 0), given.raw, {}, "of this test")
    assert weights(evaluation=nothing) == {"cell": 0.0}
    say(workspace, "test")
    assert weights() == {} and np.isfinite(seen.image_id).all()
