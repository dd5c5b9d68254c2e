from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.data.near.calibrate import Planted, at, calibrate, choose, judge
from tasks.data.near.finding import FLIPPED, NEAR, THRESHOLD
from tasks.data.near.planting import COPIES, MIRRORED, plant
from tests.data.folders import put
from tests.data.near.scenes import save, scene


def planted(right: list[float], wrong: list[float], count: int) -> Planted:
    kinds = np.array(["encoded"] * len(right) + [""] * len(wrong))
    return Planted(np.array([*right, *wrong]), kinds, {"encoded": count}, count, frozenset())


def test_the_middle_of_what_is_equally_good() -> None:
    found = choose(planted([0.92, 0.95, 0.99], [0.79, 0.3], 3))
    assert found.threshold == pytest.approx(0.86, abs=0.011) and (found.recall, found.precision) == (1, 1)


def test_precision_goes_before_recall() -> None:
    found = choose(planted([0.75] * 50 + [0.94] * 50, [0.8] * 5, 100))
    assert 0.8 < found.threshold <= 0.94 and (found.recall, found.precision) == (0.5, 1)


def test_where_no_threshold_is_good_the_highest_is_taken() -> None:
    found = choose(planted([0.96], [0.99] * 5, 2))
    assert found.threshold == 0.95 and found.precision < 0.2 and found.recall == 0.5
    assert at(planted([0.9, 0.6], [0.7], 4), 0.7).per_kind == {"encoded": 0.25}


def test_what_is_right_and_what_is_wrong() -> None:
    kinds = ["encoded", "mirrored"]  # files: 0 original, 1 encoded, 2 mirrored; 3 original, 4 encoded, 5 mirrored
    rows = [(0, 1, 0.9, NEAR), (0, 2, 0.8, NEAR), (0, 2, 0.85, FLIPPED), (1, 2, 0.7, NEAR), (0, 3, 0.95, NEAR),
            (1, 4, 0.6, NEAR), (3, 4, 0.5, NEAR)]
    columns = tuple(np.array(column) for column in zip(*rows, strict=True))

    def judged(flips: bool, known: frozenset[tuple[int, int]] | None) -> list[tuple[float, str]]:
        found = judge([columns], 6, kinds, flips, known)  # type: ignore[list-item]
        assert found.counts == ({"encoded": 2, "mirrored": 2} if flips else {"encoded": 2})
        return list(zip(found.similarity.tolist(), found.kind.tolist(), strict=True))

    shared = [(0.9, "encoded"), (0.8, ""), (0.85, "mirrored")]
    assert judged(True, frozenset()) == [*shared, (0.95, ""), (0.6, ""), (0.5, "encoded")]
    assert judged(False, None) == [*shared, (0.5, "encoded")], "originals that were copies before are left out"


def test_planted_copies_are_the_same_each_time() -> None:
    for kind in (*COPIES, *MIRRORED):
        assert plant(scene(1), kind, 0, "a") == plant(scene(1), kind, 0, "a")
    others = [plant(scene(1), "cropped", seed, name) for seed, name in ((0, "a"), (1, "a"), (1, "b"))]
    assert others[0] != others[1] != others[2]


@pytest.mark.parametrize("flips", [False, True])
def test_calibrated_on_pictures(tmp_path: Path, flips: bool) -> None:
    files = [save(tmp_path / f"{n}.png", n) for n in range(12)]
    found = calibrate([*files, put(tmp_path / "text.jpg", "text")], flips=flips)
    assert found.pictures == 12 and found.precision >= 0.99 and found.recall >= 0.95 and 0.7 <= found.threshold <= 0.95
    assert list(found.per_kind) == [*COPIES, *(["mirrored"] if flips else [])]
    assert "12 pictures" in found.table() and "everything" in found.table()
    if not flips:
        assert found == calibrate([*files, tmp_path / "text.jpg"])


def test_too_few_pictures(tmp_path: Path) -> None:
    for places in ([], [put(tmp_path / "a.jpg", "text")], [save(tmp_path / "b.png", 1)]):
        with pytest.raises(DataError, match=r"fewer than two pictures[\s\S]*calibrate: false"):
            calibrate(places)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco_tiny", "voc100_formats/database/images", "bccd/JPEGImages"])
def test_the_default_threshold_is_good_on_real_sets(mirror: Path, name: str) -> None:
    from tasks.data.near.calibrate import measure

    files = sorted((mirror / "datasets" / name).rglob("*.jpg"))
    found = at(measure(files, sample=60), THRESHOLD)
    assert found.precision >= 0.99 and found.recall >= 0.99 and min(found.per_kind.values()) >= 0.95
