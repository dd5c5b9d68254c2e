from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.exporting import Export
from tasks.data.formats import groundtruth
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading, Source
from tests.data.folders import put, save_picture
from tests.data.fuzz import changed_json
from tests.data.roundtrip import export_of, exported, plain, read_all, round_trip
from tests.data.test_groundtruth import CLASS, CLASSES, detected, make, one, rect, verified


def everything() -> list[dict[str, Any]]:
    return [detected("A", rect(), rect(1.25, 2, 3.1, 4, 5, extra=[1]), confidence=0.8) | {"weather": "fog", "n": None},
            detected("A", rect(), rect(3), confidence=0.12345, **{"human-annotated": "no", "more": {"a": 1}}),
            detected("adjusted-A", rect(1), **{"adjustment-status": "unadjusted"}) | detected("A", rect(2)),
            detected("A", rect(7)) | verified("verify-A"), detected("A"), {}]


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    root = make(tmp_path / "in", *everything())
    before, after = round_trip(groundtruth, root, tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and len(after) == 6
    lines = [{json.dumps(json.loads(line), sort_keys=True) for line in file.read_text().splitlines()}
             for file in (tmp_path / "out/output.manifest", root / "manifests/output/output.manifest")]
    different = [json.loads(line) for line in lines[0] - lines[1]]
    # a single worker's confidence, 0, is written where none was
    assert [line["source-ref"][-5] for line in sorted(different, key=str)] == ["2", "3"]
    assert exported(groundtruth, root, tmp_path / "again").losses == {
        "fractions of pixels: Ground Truth's tools round them": 1}


def test_the_same_bytes_twice_and_whole_numbers_are_whole(tmp_path: Path) -> None:
    make(tmp_path / "in", *everything())
    outs = [exported(groundtruth, tmp_path / "in", tmp_path / name).out / "output.manifest" for name in "ab"]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert b'"left": 11,' in outs[0].read_bytes() and b'"left": 1.25,' in outs[0].read_bytes()


def written(tmp_path: Path, *pictures: Picture, problem: str = "detect", **attributes: Any) -> Export:
    """An export of pictures that did not come from Ground Truth."""
    for number, picture in enumerate(pictures):
        save_picture(tmp_path / "in" / picture.file, number)
    into = Reading(problem=problem, attributes=attributes)
    return export_of(groundtruth, list(pictures), into, tmp_path / "in", tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test", None])
def test_splits_are_written_as_manifests(tmp_path: Path, split: str | None) -> None:
    written(tmp_path, Picture("a.jpg", split, None, "r", [Box("cat", 1, 2, 3, 4, "r")]))
    assert (tmp_path / f"out/{split or 'output'}.manifest").is_file() and one(tmp_path / "out").split == split


def test_pictures_of_other_formats_are_written(tmp_path: Path) -> None:
    hostile = {"ground-truth": 5, "source-ref": "s3://b/other.jpg", "labels": "mine", "labels-metadata": 1, "k": [1]}
    boxes = [Box("cat", 1, 2, 3, 4, "r", source="human", score=0.5, reviewed_by="ann",
        attributes={"object": 3, "i": 1}),
             Box("dog", 1, 2, 3, 4.5, "r", source="model:m@1", score=0.1, reviewed_by="bob")]
    export = written(tmp_path, Picture("images/a.jpg", None, None, "r", boxes, attributes=hostile),
                      Picture("x.jpg", None, None, "r"), Picture("a.jpg", None, None, "r"),
                      groundtruth={"attribute": "x-metadata"}, ids="none")
    first, second, third = sorted(read_all(groundtruth, tmp_path / "out")[0], key=lambda one: -len(one.boxes))
    assert {second.file, third.file} == {"images/a.jpg", "images/x.jpg"} and first.file == "images/images/a.jpg"
    assert [(box.label, box.source, box.score, box.reviewed_by) for box in first.boxes] == [
        ("cat", "model:m@1", 0.5, "ann"), ("dog", "model:m@1", 0.1, "ann")]
    assert first.attributes is not None and first.attributes["k"] == [1]
    assert export.losses == {"sources of boxes: a picture has one": 2, "reviewers of boxes: a picture has one": 2,
                             "fractions of pixels: Ground Truth's tools round them": 1}


def test_masks_of_other_formats_are_written(tmp_path: Path) -> None:
    save_picture(tmp_path / "in/masks/a.png")
    picture = Picture("a.jpg", None, None, "r", labels=["sky", "sea"], mask="masks/a.png")
    written(tmp_path, picture, problem="semantic")
    pictures, into = read_all(groundtruth, tmp_path / "out")
    assert pictures[0].mask == "masks/a.png" and into.ids == {"sea": 0, "sky": 1}
    assert "labels-ref" in json.loads((tmp_path / "out/output.manifest").read_text())


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2 ** 32))
def test_changed_lines_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    lines = [*everything(), CLASS, CLASSES]
    make(root, {})
    told = {"source-ref": "s3://b/pictures/0.jpg"} | lines[seed % len(lines)]
    path = put(root / "manifests/output/output.manifest", changed_json(told, seed))
    into = Reading()
    try:
        read = groundtruth.read(FolderIndex(root), Source("groundtruth", path, None), into)
        pictures = {picture.file: picture for picture in read}
    except DataError:
        return
    export_of(groundtruth, list(pictures.values()), into, root, root / "made")
