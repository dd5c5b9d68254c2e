"""The card as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.base.files import write_atomic
from tasks.data.table import full_disk_is_told
from tasks.reporting.card.material import gather
from tasks.reporting.card.page import build_page


def card(folder: Path, pictures: Path, out: Path, *, against: tuple[Path, Path] | None = None,
         near: Path | None = None, seed: int = 0, samples: int = 24,
         aliases: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write the card of a dataset folder to `out`: one HTML file that needs no other.

    The same input gives the same bytes.

    Args:
        pictures: what the column `file` is relative to.
        against: another dataset folder and its pictures, which every distribution is compared with.
        near: a folder with `pairs.parquet` (a, b: image ids; similarity 0 to 1), and maybe `groups.parquet`.
        seed: of the random samples.
        samples: pictures that are shown at once; four times as many are in the page, to be drawn again.
        aliases: other names of a class.

    Raises:
        DataError: a folder is no dataset, a list of near-duplicates is damaged, or the disk is full.
    """
    page = build_page(gather(folder, pictures, against, near, seed, samples, aliases))
    with full_disk_is_told(out):
        write_atomic(out, page)
