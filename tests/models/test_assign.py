"""Which cell answers for which box, by hand-made cases."""

from __future__ import annotations

import pytest
import torch

from tasks.models.assign import assign, centreness, grid, level_ranges

CENTRES, STEPS = grid(64, 64, [8, 16, 32])


def cells_of(matched: torch.Tensor, box: int) -> list[tuple[float, float, float]]:
    return [(*CENTRES[i].tolist(), STEPS[i].item()) for i in (matched == box).nonzero().flatten().tolist()]


def test_no_box_means_background_everywhere() -> None:
    assert (assign(CENTRES, STEPS, torch.zeros(0, 4)) == -1).all()


def test_a_grid_has_cells_for_the_rest_of_an_uneven_picture() -> None:
    centres, steps = grid(40, 24, [8, 16])
    assert len(centres) == 5 * 3 + 3 * 2
    assert centres[0].tolist() == [4, 4]
    assert steps[-1] == 16


def test_a_small_box_is_answered_by_the_finest_level_around_its_centre() -> None:
    found = cells_of(assign(CENTRES, STEPS, torch.tensor([[24.0, 24.0, 40.0, 40.0]])), 0)
    assert sorted(found) == [(28, 28, 8), (28, 36, 8), (36, 28, 8), (36, 36, 8)]


def test_a_box_smaller_than_a_cell_is_found_when_it_covers_a_centre() -> None:
    assert cells_of(assign(CENTRES, STEPS, torch.tensor([[11.0, 11.0, 14.0, 14.0]])), 0) == [(12, 12, 8)]


def test_the_smaller_of_two_overlapping_boxes_wins() -> None:
    boxes = torch.tensor([[0.0, 0.0, 64.0, 64.0], [20.0, 20.0, 44.0, 44.0]])
    matched = assign(CENTRES, STEPS, boxes)
    assert (28, 28, 8) in cells_of(matched, 1)
    assert (28, 28, 8) not in cells_of(matched, 0)


def test_levels_share_all_sizes_without_a_gap() -> None:
    low, high = level_ranges(STEPS)
    found = sorted(set(zip(low.tolist(), high.tolist(), strict=True)))
    assert found == [(0, 64), (64, 128), (128, 1e8)]


@pytest.mark.parametrize(("distances", "expected"), [
    ([5.0, 5.0, 5.0, 5.0], 1.0), ([1.0, 4.0, 4.0, 4.0], 0.5), ([0.0, 4.0, 4.0, 4.0], 0.0)])
def test_centreness_is_equation_3(distances: list[float], expected: float) -> None:
    assert centreness(torch.tensor(distances)).item() == pytest.approx(expected)
