"""What people have reviewed calibrates the model whose boxes they saw, without the pictures that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.labelling.checking import seen
from tasks.labelling.jobs.desk import Answer, boxes_table
from tasks.labelling.jobs.fetching import Fetched, fetch
from tasks.labelling.jobs.learning import models_of
from tasks.labelling.jobs.sending import send
from tasks.labelling.prelabelling import Prelabels, Settings, known_calibration, prelabel
from tasks.labelling.teachers import open_teacher
from tests.labelling.quarter_pool import make_pool

from .bench import People

COUNT = 8


@dataclass
class Loop:
    """A pool, its pre-labels, and the version that is sent."""

    workspace: Path
    store: Store
    prelabels: Prelabels
    version: Version

    def digests(self) -> list[str]:
        return [str(digest) for digest in read_dataset(self.version.folder).images["digest"].to_pylist()]

    def with_boxes(self) -> list[str]:
        """Digests of the pictures on which the model found anything."""
        found = {image for table in self.prelabels.boxes() for image in table["image_id"].to_pylist()}
        images = read_dataset(self.version.folder).images
        return [str(digest) for image, digest in zip(images["image_id"].to_pylist(), images["digest"].to_pylist(),
                                                     strict=True) if image in found]

    def fetched(self) -> Fetched:
        """People look at all and leave everything as it is."""
        data = read_dataset(self.version.folder)
        images = dict(zip(data.images["digest"].to_pylist(), data.images["image_id"].to_pylist(), strict=True))
        boxes = data.annotations.select(["image_id", "class_id", "x", "y", "w", "h"]).to_pylist()
        answers = [Answer(digest, boxes_table({k: v for k, v in box.items() if k != "image_id"} for box in boxes
                                              if box["image_id"] == image), "ann", 5.0)
                   for digest, image in images.items()]
        desk = People(answers)
        job = send(self.version, self.store, desk, workspace=self.workspace)
        return fetch(job, self.store, "done", "me", desk=desk)


@pytest.fixture
def loop(tmp_path: Path, quarters: Path) -> Loop:
    store = Store(tmp_path / "store")
    pool = make_pool(tmp_path, store, COUNT, "pool")
    teacher = open_teacher(str(quarters), ["red", "green"], workspace=tmp_path)
    found = prelabel(pool, store, teacher, Settings(flip=False, vectors=False), tmp_path)
    return Loop(tmp_path, store, found, found.version(store, "pool-auto", "me")[0])


def test_reviewed_boxes_calibrate_their_model(loop: Loop) -> None:
    assert models_of(loop.version) == ["quarters"]
    digest = loop.prelabels.facts["model_digest"]
    assert known_calibration(digest, loop.workspace) is None
    found = loop.fetched()
    learnt = known_calibration(digest, loop.workspace)
    assert learnt is not None and learnt.pictures == len(loop.with_boxes()) and learnt.reviewed > 0
    assert found.told == [f"learnt how far quarters is right from {learnt.reviewed} reviewed boxes"]


def test_pictures_that_the_model_was_trained_on_teach_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = set(loop.with_boxes()[:3])
    monkeypatch.setattr(seen, "trained_on", lambda model, workspace: trained if model == "quarters" else None)
    found = loop.fetched()
    learnt = known_calibration(loop.prelabels.facts["model_digest"], loop.workspace)
    assert learnt is not None and learnt.pictures == len(loop.with_boxes()) - 3 > 0
    assert found.told[0].endswith("without 3 that it was trained on")
    again = loop.fetched()
    assert not again.new
    same = known_calibration(loop.prelabels.facts["model_digest"], loop.workspace)
    assert same is not None and same.reviewed == learnt.reviewed
    # once it was trained on all of them, what is known stays as it was
    trained.update(loop.digests())
    assert loop.fetched().told == [f"nothing was learnt of quarters: it was trained on all {COUNT} pictures"]


def test_without_pre_labels_here_there_is_nothing_to_learn_from(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*values: object) -> None:
        raise UserError("they are not here")

    monkeypatch.setattr("tasks.labelling.prelabelling.prelabels.newest", gone)
    found = loop.fetched()
    assert found.version is not None and found.told == []
