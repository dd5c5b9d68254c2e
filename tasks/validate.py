"""Stage `validate`: finds flawed pictures and boxes; params.yaml says for each kind: stop, drop, clip or keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import read_json
from tasks.base.params import Params as Section
from tasks.data import checks, mend
from tasks.data.findings import Finding, stop_on_errors, summary
from tasks.data.table import Dataset, read_dataset, write_dataset

Drop = Literal["error", "drop"]
Keep = Literal["error", "drop", "keep"]
Warn = Literal["error", "keep"]
Fix = Literal["error", "drop", "fix", "keep"]
PRINTED = 50


class Params(Section):
    """Section `validate` of params.yaml: what to do with each kind of flaw. Every finding is listed in any case."""

    unreadable: Drop = "error"
    truncated: Drop = "error"
    too_large: Drop = "error"
    zero_size: Drop = "error"
    missing_picture: Drop = "error"
    unannotated: Keep = "error"
    no_boxes: Keep = "keep"
    rotated: Keep = "keep"
    size_differs: Keep = "error"
    duplicate: Keep = "keep"
    leaked: Keep = "error"
    not_a_number: Drop = "error"
    degenerate: Drop = "drop"
    outside: Drop = "error"
    overhang: Fix = "fix"
    bad_mask: Fix = "error"
    unknown_class: Drop = "error"
    dangling: Drop = "error"
    duplicate_id: Drop = "error"
    imbalance: Warn = "keep"
    imbalance_ratio: float = Field(default=100.0, gt=1)

    def policy(self) -> dict[str, str]:
        return {name: value for name, value in self.model_dump().items() if name != "imbalance_ratio"}


ALLOWED = {name: get_args(Params.model_fields[name].annotation) for name in Params().policy()}
PICTURE_KINDS = frozenset({"unreadable", "truncated", "too_large", "zero_size", "unannotated", "no_boxes", "rotated",
                           "size_differs", "duplicate", "leaked"})


def run(params: Params, *, raw: Path, data: Path, out: Path) -> None:
    """Check the dataset `data` against the pictures below `raw`; write what is left, and `findings.json`, to `out`.

    Raises:
        DataError: a kind whose policy is `error` was found, nothing is left, or the disk is full.
    """
    dataset, policy = read_dataset(data), params.policy()
    found = sorted(_findings(dataset, raw, read_json(data / "notes.json"), params.imbalance_ratio), key=_order)
    _print(found, policy)
    stop_on_errors(found, policy, ALLOWED)
    mended = _apply(dataset, found, policy)
    boxes_wanted = dataset.meta.problem in ("detect", "segment", "pairs")
    if not mended.images.num_rows or (boxes_wanted and not mended.annotations.num_rows):
        raise DataError(f"nothing is left: {mended.images.num_rows} pictures, {mended.annotations.num_rows} boxes",
                        where=data, mend="see the findings above; mend the files")
    checked = {"images": dataset.images.num_rows, "annotations": dataset.annotations.num_rows}
    write_dataset(out, mended, {"findings.json": summary(found, policy, checked)})
    print(f"{mended.images.num_rows} of {checked['images']} pictures and {mended.annotations.num_rows} of "
          f"{checked['annotations']} boxes go on")


def _findings(dataset: Dataset, raw: Path, notes: list[dict[str, Any]], ratio: float) -> Iterator[Finding]:
    found = [*checks.from_notes(dataset, notes), *checks.check_pictures(dataset, raw)]
    yield from found
    yield from checks.check_copies(dataset)
    if dataset.meta.problem in ("detect", "segment", "pairs"):
        yield from checks.check_empty(dataset, {f.image_id for f in found if f.image_id is not None})
    yield from checks.check_boxes(dataset)
    yield from checks.check_masks(dataset)
    yield from checks.check_balance(dataset, ratio)


def _apply(dataset: Dataset, found: list[Finding], policy: dict[str, str]) -> Dataset:
    clipped = mend.clip_boxes(dataset) if policy["overhang"] == "fix" else dataset
    if policy["bad_mask"] == "fix":
        clipped = mend.drop_masks(clipped, [f.annotation_id for f in found if f.kind == "bad_mask"])
    dropped = [finding for finding in found if policy[finding.kind] == "drop"]
    pictures = [f.image_id for f in dropped if f.kind in PICTURE_KINDS and f.image_id is not None]
    boxes = [f.annotation_id for f in dropped if f.kind not in PICTURE_KINDS and f.annotation_id is not None]
    return mend.drop(clipped, pictures, boxes)


def _order(finding: Finding) -> tuple[str, str, str, str]:
    return finding.kind, finding.file, finding.row, finding.detail


def _print(found: list[Finding], policy: dict[str, str]) -> None:
    for finding in found[:PRINTED]:
        print(f"{policy[finding.kind]:5} {finding.line()}")
    if len(found) > PRINTED:
        print(f"… and {len(found) - PRINTED} more, all in findings.json")
    if not found:
        print("no findings")
