from __future__ import annotations

from pathlib import Path

import pytest

from tasks import ingest
from tasks.data import mend
from tasks.data.table import Dataset, read_dataset
from tests.data.folders import HEIGHT, WIDTH, box, coco, image, make_coco


def dataset(tmp_path: Path, *boxes: tuple[float, ...]) -> Dataset:
    rows = [box(n + 1, 1 + n % 2, bbox=given) for n, given in enumerate(boxes)]
    raw = make_coco(tmp_path / "raw", coco([image(1), image(2)], rows))
    ingest.run(ingest.Params(), raw=raw, out=tmp_path / "data")
    return read_dataset(tmp_path / "data")


@pytest.mark.parametrize(("given", "clipped", "area"), [
    ((0, 0, WIDTH, HEIGHT), [0, 0, WIDTH, HEIGHT], WIDTH * HEIGHT), ((0.1, 0.2, 0.3, 0.4), [0.1, 0.2, 0.3, 0.4], 0.12),
    ((-10, 4, 20, 10), [0, 4, 10, 10], 100), ((60, 40, 10, 20), [60, 40, 4, 8], 32),
    ((-5, -5, 100, 100), [0, 0, WIDTH, HEIGHT], WIDTH * HEIGHT)])
def test_clipped_to_the_picture(tmp_path: Path, given: tuple[float, ...], clipped: list[float], area: float) -> None:
    row = mend.clip_boxes(dataset(tmp_path, given)).annotations.to_pylist()[0]
    assert [row[name] for name in ("x", "y", "w", "h")] == clipped
    assert row["area"] == pytest.approx(area)


def test_dropping_counts_ids_anew(tmp_path: Path) -> None:
    whole = dataset(tmp_path, (1, 1, 5, 5), (2, 2, 5, 5), (3, 3, 5, 5), (4, 4, 5, 5))
    less = mend.drop(whole, images=[0], annotations=[3])
    assert less.images["file"].to_pylist() == ["images/2.jpg"]
    assert less.images["image_id"].to_pylist() == [0]
    assert [(r["annotation_id"], r["image_id"], r["x"]) for r in less.annotations.to_pylist()] == [(0, 0, 2.0)]
    nothing = mend.drop(whole, images=[0, 1], annotations=[])
    assert nothing.images.num_rows == nothing.annotations.num_rows == 0
    assert mend.drop(whole, [], []).annotations.equals(whole.annotations)
