"""The two commands as a user calls them; DVC is left out, which `flows.datastore` has tests of its own for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import datastore, workspace
from flows.commands.label import accept, errors
from tasks.base.errors import ParamsError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.site import STORE
from tasks.data.table import read_dataset
from tasks.improving.light import Light
from tasks.labelling.checking import speaking
from tasks.labelling.checking.folds import Folds
from tasks.labelling.jobs.sending import send

from .conftest import MODEL, Place, by_model, changed, predictions_of


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A folder that counts as a workspace; the versions that would have been tracked."""
    found: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    monkeypatch.setattr(workspace, "enter", lambda: tmp_path)
    monkeypatch.setattr(datastore, "track", lambda store, version: found.append(version.ref))
    monkeypatch.setattr(accept, "track", lambda store, version: found.append(version.ref))
    return found


def test_errors_from_a_file(place: Callable[[int], Place], tmp_path: Path, tracked: list[str],
                            capsys: pytest.CaptureFixture[str]) -> None:
    here = place(20)
    here.publish("cells", changed(here.dataset.annotations, drop=[0], move=[10], swap=[20]))
    pq.write_table(predictions_of(here.dataset), tmp_path / "found.parquet")
    assert errors.main(["cells", "--predictions", "found.parquet", "--top", "2", "--sure", "0.7"]) == 0
    said = capsys.readouterr().out
    assert "3 suspicious places on 3 of 20 pictures: 1 overlooked, 1 badly located, 1 swapped" in said
    assert "page:  cells-1-errors.html" in said and "queue: cells-review@1, worst first" in said
    assert (tmp_path / "cells-1-errors.html").read_text().startswith("<!doctype html>")
    assert tracked == ["cells-review@1"] and read_dataset(here.store.find("cells-review").folder).images.num_rows == 2
    assert errors.main(["squares", "--predictions", "found.parquet", "--page", "p.html", "--out", "q"]) == 0
    assert "queue: nothing to review" in capsys.readouterr().out and tracked == ["cells-review@1"]
    with pytest.raises(ParamsError, match="folds"):
        errors.main(["cells", "--folds", "1"])
    with pytest.raises(UserError, match="no dataset is called 'cell'"):
        errors.main(["cell"])


def test_trainings_mirror_as_the_line_does(place: Callable[[int], Place], tmp_path: Path, tracked: list[str],
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    place(20)
    (tmp_path / "params.yaml").write_text("train:\n  augment: {flip: none}\n")
    asked: list[Folds] = []

    def nothing(*given: Any, **_: Any) -> None:
        asked.extend(one for one in given if isinstance(one, Folds))
        raise UserError("enough", where="here", mend="")

    monkeypatch.setattr(speaking, "find_speaker", nothing)
    with pytest.raises(UserError, match="enough"):
        errors.main(["squares", "--steps", "7"])
    assert asked[0].light().augment == Light().augment.model_copy(update={"flip": "none"}) and asked[0].steps == 7


def test_accept_and_its_check(place: Callable[[int], Place], tracked: list[str],
                              capsys: pytest.CaptureFixture[str]) -> None:
    here = place(110)
    truth = here.dataset.annotations
    score = np.random.default_rng(0).uniform(0.5, 1, truth.num_rows)
    auto = here.publish("auto", by_model(truth, score))
    with pytest.raises(UserError, match="no reviewed box of cells@3"):
        accept.main(["auto"])
    with pytest.raises(UserError, match="has no box of a model"):
        accept.main(["squares"])
    reviewed = truth.drop_columns(["reviewed_by"]).append_column("reviewed_by", pa.array(["ann"] * truth.num_rows))
    reviewed = reviewed.filter(pa.array(truth["image_id"].to_numpy() < 90))
    publish_labels(here.store, auto, out="back", owner="me", said={"by": "people"}, keep=np.arange(90),
                   annotations=reviewed, pictures={at: {"review": {"by": "ann"}} for at in range(90)})
    assert accept.main(["auto", "--max-error", "0.1", "--audit", "30"]) == 0
    said = capsys.readouterr().out
    assert "270 boxes of the model were reviewed, on 90 pictures" in said and "confidence" in said
    assert "90 pictures are reviewed already" in said and "at most 10.0% are wrong" in said
    assert tracked[0] == "auto-accepted@1" and tracked[-1] == "auto-audit@1"
    assert ("visionmill label send auto-audit --to label-studio; visionmill label fetch auto-audit; visionmill label "
            "accept auto --check auto-audit-labelled") in said
    # where the first audit is away already, what is told is about the next one
    send(here.store.find("auto-audit@1"), here.store, "coco", workspace=Path())
    assert accept.main(["auto", "--max-error", "0.1", "--audit", "20"]) == 0
    said = capsys.readouterr().out
    assert "label fetch auto-audit-2; visionmill label accept auto --check auto-audit-2-labelled" in said
    assert send(here.store.find("auto-audit"), here.store, "coco", workspace=Path()).name == "auto-audit-2"
    sent = here.store.find("auto-audit@1")
    told = read_dataset(sent.folder)
    for name, x, code in (("good", 0.0, 0), ("bad", 25.0, 3)):
        rows = [row | {"x": row["x"] + x, "source": "human", "reviewed_by": "ann"}
                for row in told.annotations.to_pylist()]
        publish_labels(here.store, sent, out=name, owner="me", said={"by": "people"},
                       annotations=pa.Table.from_pylist(rows, schema=told.annotations.schema))
        assert accept.main(["auto", "--check", name]) == code
        assert ("the promise is broken" in capsys.readouterr().out) == (code == 3)
    assert accept.main(["auto", "--max-error", "0.1", "--reviewed", "back", "--per", "pooled", "--audit", "0",
                        "--out", "taken"]) == 0
    said = capsys.readouterr().out
    assert "all classes: from" in said and "audit" not in said and "taken@1" in said
    assert MODEL.removeprefix("model:") == "cells@3"
