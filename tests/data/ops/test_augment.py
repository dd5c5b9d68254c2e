from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError, ParamsError
from tasks.base.params import check
from tasks.data.affine import Affine
from tasks.data.ops import Making, Parent
from tasks.data.ops._drawing import Draw, draw
from tasks.data.ops._mapping import Carrying, carry, carry_region, mirrored_order
from tasks.data.ops.augment import Params, apply
from tasks.data.rows import rows
from tasks.data.runs import decode, encode
from tasks.data.shapes import Mask, Outline, ring_of, shape_of, to_mask
from tests.data.ops.scenes import (
    attributes,
    box,
    coco_tiny,
    content,
    label,
    making,
    parent,
    picture,
)

ELL = [30.0, 10.0, 40.0, 10.0, 40.0, 40.0, 70.0, 40.0, 70.0, 50.0, 30.0, 50.0]
TURNED = Draw(rotate=30).affine(100, 80)
TRAIN = {"split": "train"}


def augment(of: Parent, **values: Any) -> Making:
    made = making(of.pictures)
    apply(Params(**values), [of], made)
    return made


def how(affine: Affine = TURNED, **more: Any) -> Carrying:
    return Carrying(**{"affine": affine, "width": 100, "height": 80, "min_visible": 0.3, "tighten": True,
                       "swaps": {}} | more)


def ell(form: str) -> dict[str, Any]:
    row = label(30, 10, 40, 40, area=700.0)
    if form == "box":
        return row
    drawn = to_mask(Outline([ring_of(ELL)]), 100, 80)
    return row | ({"polygons": [ELL]} if form == "polygons" else {"rle": encode(drawn)})


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(ParamsError, match="nothing to do: every operation is 0"):
        augment(parent(tmp_path, {"a.png": []}), copies=3)


@pytest.mark.parametrize("form", ["polygons", "rle"])
def test_a_turned_ell_has_a_tight_box(form: str) -> None:
    turned = carry(ell(form), how(), counts := Counter())
    loose = carry(ell(form), how(tighten=False), counts)
    plain = carry(ell("box"), how(), counts)
    assert turned and loose and plain and box(loose) == box(plain)
    points = [(50 + (x - 50) * math.cos(math.pi / 6) - (y - 40) * math.sin(math.pi / 6),
               40 + (x - 50) * math.sin(math.pi / 6) + (y - 40) * math.cos(math.pi / 6))
              for x, y in zip(ELL[0::2], ELL[1::2], strict=True)]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    tight = left, top, max(x for x, _ in points) - left, max(y for _, y in points) - top
    assert box(turned) == pytest.approx(tight, abs=1e-3 if form == "polygons" else 1.5)
    assert turned["w"] < loose["w"] - 5 and turned["area"] == loose["area"] == plain["area"] == pytest.approx(700)
    drawn = to_mask(Outline([ring_of(turned["polygons"][0])]), 100, 80) if form == "polygons" else None
    assert drawn is None or np.count_nonzero(drawn) == pytest.approx(700, abs=25)
    assert not counts and turned["truncation"] is None


def test_polygons_and_pixels_are_turned_alike() -> None:
    for degrees in (0, 90, 17, 203):
        affine = Draw(rotate=degrees, shear_x=0.2, scale=0.8, flip_horizontal=True).affine(100, 80)
        row = carry(ell("polygons"), how(affine), Counter())
        assert row
        drawn = to_mask(Outline([ring_of(flat) for flat in row["polygons"]]), 100, 80)
        other = carry(ell("rle"), how(affine), Counter())
        assert other
        pixels = to_mask(Outline([ring_of(ELL)]), 100, 80)
        warped = decode(other["rle"])
        assert np.count_nonzero(drawn ^ warped) <= 0.12 * np.count_nonzero(pixels)


def test_an_empty_mask_leaves_the_box_of_its_corners() -> None:
    for more in ({"polygons": [[1.0, 2.0]]}, {"rle": encode(np.zeros((80, 100), bool))}):
        counts: Counter[str] = Counter()
        found = carry(label(30, 10, 40, 40) | more, how(), counts)
        plain = carry(label(30, 10, 40, 40), how(), Counter())
        assert found and plain and box(found) == box(plain) and counts == {"empty_masks": 1}


def test_a_mask_too_small_for_its_pixels_leaves_the_box_of_its_corners() -> None:
    pixels = np.zeros((80, 100), bool)
    pixels[40, 51] = True
    counts: Counter[str] = Counter()
    affine = Draw(scale=0.2).affine(100, 80)
    found = carry(label(49, 39, 5, 5, rle=encode(pixels)), how(affine), counts)
    assert found and box(found) == pytest.approx((49.8, 39.8, 1, 1)) and counts == {"empty_masks": 1}


@pytest.mark.parametrize(("shift", "found"), [
    (0.0, (10, 20, 20, 20, None)), (-0.2, (0, 20, 10, 20, 0.5)), (-0.24, (0, 20, 6, 20, 0.7)), (-0.26, None),
    (-0.4, None),
])
def test_labels_that_leave_the_picture(shift: float, found: tuple[float, ...] | None) -> None:
    flat = [10.0, 20.0, 30.0, 20.0, 30.0, 40.0, 10.0, 40.0]
    affine = Draw(translate_x=shift).affine(100, 80)
    for more in ({}, {"polygons": [flat]}, {"rle": encode(to_mask(Outline([ring_of(flat)]), 100, 80))}):
        row = carry(label(10, 20, 20, 20) | more, how(affine, min_visible=0.3 - 1e-9), Counter())
        if found is None:
            assert row is None
        else:
            assert row and (*box(row), row["truncation"]) == (pytest.approx(found) if found[4] else found)
            assert row["area"] == pytest.approx(row["w"] * row["h"])


@pytest.mark.parametrize("row", [label(math.nan, 1, 2, 2), label(3, 3, 0, 0), label(3, 3, -1, 5)])
def test_what_is_no_box_leaves(row: dict[str, Any]) -> None:
    assert carry(row, how(), Counter()) is None


def test_of_a_crowd_any_part_stays() -> None:
    affine = Draw(translate_x=-0.29).affine(100, 80)
    row = carry(label(10, 20, 20, 20, iscrowd=True), how(affine, min_visible=1), Counter())
    assert row and box(row) == (0, 20, 1, 20)


def test_regions_that_count_for_nothing_grow() -> None:
    x, y, w, h = carry_region([40.0, 30.0, 20.0, 20.0], how()) or (0, 0, 0, 0)
    assert w == h == pytest.approx(20 * (math.sin(math.pi / 6) + math.cos(math.pi / 6)), abs=1e-3)
    assert carry_region([0.0, 0.0, 5.0, 5.0], how(Draw(translate_x=-0.5).affine(100, 80))) is None


@pytest.mark.parametrize(("names", "order"), [
    ([], []), (["nose"], [0]), (["left_eye", "nose", "right_eye"], [2, 1, 0]), (["leftEye", "rightEye"], [1, 0]),
    (["eye.L", "eye.R", "wheel"], [1, 0, 2]), (["LEFT", "RIGHT"], [1, 0]), (["left_eye", "nose"], [0, 1]),
    (["l_ear", "r_ear", "large", "roof"], [1, 0, 2, 3]),
])
def test_left_and_right_in_a_mirror(names: list[str], order: list[int]) -> None:
    assert mirrored_order(names) == order


def test_keypoints_change_places_in_a_mirror_only() -> None:
    row = label(10, 10, 60, 20, keypoints=[20.0, 15.0, 2.0, 60.0, 15.0, 1.0, 0.0, 0.0, 0.0])
    swaps = {0: mirrored_order(["left_eye", "right_eye", "nose"])}
    mirrored = carry(row, how(Draw(flip_horizontal=True).affine(100, 80), swaps=swaps), Counter())
    assert mirrored and mirrored["keypoints"] == [40, 15, 1, 80, 15, 2, 0, 0, 0]
    both = Draw(flip_horizontal=True, flip_vertical=True).affine(100, 80)
    upside = carry(row, how(both), Counter())
    assert upside and upside["keypoints"] == [80, 65, 2, 40, 65, 1, 0, 0, 0]
    with pytest.raises(DataError, match="3 keypoints, of which 0 have names"):
        carry(row, how(Draw(flip_vertical=True).affine(100, 80)), Counter())


def test_draws_are_of_the_content_the_seed_and_the_copy() -> None:
    limits = Params(rotate=10, shear_x=0.1, translate_y=0.2, scale=0.5, flip_horizontal=0.5, hue=20, saturation=0.5,
                    blur=2).limits()
    some = [draw(limits, seed, digest, copy) for seed in range(4) for digest in "abcd" for copy in range(25)]
    assert len(set(some)) == 400 and some[0] == draw(limits, 0, "a", 0)
    for name, low, high in (("rotate", -10, 10), ("translate_y", -0.2, 0.2), ("scale", 1 / 1.5, 1.5), ("blur", 0, 2)):
        values = [getattr(one, name) for one in some]
        assert low <= min(values) < low + 0.1 * (high - low) and high - 0.1 * (high - low) < max(values) <= high
    assert {one.translate_x for one in some} == {0} and {one.contrast for one in some} == {1}
    assert 140 < sum(one.flip_horizontal for one in some) < 260 and not any(one.flip_vertical for one in some)
    # another limit for one operation leaves the draws of the others as they were
    assert draw(limits | {"hue": 5}, 0, "a", 0).rotate == some[0].rotate


@pytest.mark.parametrize("values", [{"rotate": -1}, {"shear_x": 1}, {"copies": 0}, {"splits": []}, {"rotat": 3},
                                    {"flip_vertical": 1.5}])
def test_wrong_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        check(Params, values, "data augment")


def test_real_masks_are_turned_as_their_pixels(mirror: Path, tmp_path: Path) -> None:
    of = coco_tiny(mirror, tmp_path, 12)
    made = augment(of, keep_original=False, splits=["none"], rotate=30, shear_x=0.1, scale=0.2, flip_horizontal=0.5)
    before = {row.image["file"]: row for row in rows(of.folder)}
    differing = total = 0
    for row in content(made):
        told = attributes(row)["augment"]
        size = row.image["width"], row.image["height"]
        affine = Draw(**{name: value for name, value in told.items() if name not in ("of", "copy")}).affine(*size)
        old = {box["row"]: box for box in before[told["of"]].boxes}
        for box_ in row.boxes:
            whole = to_mask(shape_of(old[box_["row"]], *size), *size)
            drawn, moved = to_mask(shape_of(box_, *size), *size), Mask(whole).map(affine, *size)[0].pixels
            differing += int(np.count_nonzero(drawn ^ moved))
            total += int(np.count_nonzero(moved))
            x, y, w, h = box(box_)
            assert x >= 0 and y >= 0 and x + w <= size[0] and y + h <= size[1] and w > 0 and h > 0
    assert total > 100_000 and differing < 0.05 * total
