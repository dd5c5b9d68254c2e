"""Whether a model has seen the pictures, by the tables that DVC keeps of its training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.data.table import IMAGES, Dataset, write_dataset
from tasks.labelling.checking.seen import trained_on, warning
from tasks.registry.tracing import reading
from tasks.registry.tracing.reading import Known
from tests.metrics.conftest import dataset_of


def split(dataset: Dataset, names: list[str]) -> Dataset:
    at = dataset.images.schema.get_field_index("split")
    return replace(dataset, images=dataset.images.set_column(at, IMAGES.field("split"), pa.array(names)))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose DVC cache has the split that cells@3 was trained on; of cells@4 it has none."""
    dataset = split(dataset_of(["a"], 4, []), ["train", "train", "val", "test"])
    write_dataset(tmp_path / "made", dataset)
    cache = tmp_path / ".dvc/cache/files/md5"
    entries = []
    for path in sorted((tmp_path / "made").iterdir()):
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        entries.append({"relpath": path.name, "md5": md5})
        put(cache, md5, path.read_bytes())
    text = json.dumps(entries).encode()
    whole = f"{hashlib.md5(text).hexdigest()}.dir"
    put(cache, whole, text)
    (tmp_path / ".dvc/config").write_text("")

    class Registry:
        def versions(self, name: str) -> list[Known]:
            return [Known(name, number, 0, "", "", "", {"visionmill.data_hash": known})
                    for number, known in (("4", "00.dir"), ("3", whole)) if name == "cells"]

    monkeypatch.setattr(reading, "open_registry", lambda workspace: Registry())
    return tmp_path


def put(cache: Path, md5: str, content: bytes) -> None:
    (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
    (cache / md5[:2] / md5[2:]).write_bytes(content)


def test_what_a_model_was_trained_on(workspace: Path) -> None:
    digests = dataset_of(["a"], 4, []).images["digest"].to_pylist()
    # its epoch was chosen on the validation pictures
    assert trained_on("cells@3", workspace) == set(digests[:3])
    assert trained_on("cells@4", workspace) is None and trained_on("cells@5", workspace) is None
    assert trained_on("picodet-s-416", workspace) is None and trained_on("other@3", workspace) is None


def test_the_warning(workspace: Path) -> None:
    digests = dataset_of(["a"], 6, []).images["digest"].to_pylist()
    assert (warning("cells@3", digests, workspace) or "").startswith(
        "warning: cells@3 was trained on 3 of these 6 pictures: there it repeats the labels")
    assert warning("cells@3", digests[3:], workspace) is None
    assert "is not known here" in (warning("picodet-s-416", digests, workspace) or "")
