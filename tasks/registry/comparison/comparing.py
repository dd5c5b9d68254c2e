"""Two models on the same pictures: accuracy with intervals, by class and slice, speed, size, where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from tasks.base.errors import UserError
from tasks.base.files import write_atomic, write_json
from tasks.metrics.disagreement import Differing, disagreement
from tasks.metrics.slices import parts
from tasks.registry.comparison.grounds import Test, detections, find_test
from tasks.registry.comparison.sides import Side, side
from tasks.registry.gates.contest import Compared, Contest

CUTS = ("box_size", "picture_size", "tags", "folder", "group")
MOST_PARTS = 12  # of one cut
B = "b"


@dataclass(frozen=True)
class Comparison:
    """The result.

    Attributes:
        told: JSON-able, all numbers.
        worst: the pictures on which they differ most.
    """

    a: Side
    b: Side
    test: Test
    told: dict[str, Any]
    worst: list[Differing]


def run_compare(a: str, b: str, *, data: str | None = None, threshold: float = 0.5, pictures: int = 12,
                page: Path | None = None, numbers: Path | None = None, workspace: Path = Path()) -> Comparison:
    """What `visionmill compare` does: compare, print, and write the page and the numbers where they are asked for.

    Raises:
        UserError, DataError: as `side` and `compare`.
    """
    from tasks.registry.comparison.compared import text

    if not 0 <= threshold <= 1 or pictures < 0:
        raise UserError("a score lies in 0..1, and pictures are counted from 0",
                        where=f"--threshold {threshold} --pictures {pictures}")
    found = compare(side(a, workspace), side(b, workspace), data, workspace, threshold=threshold, pictures=pictures)
    print(text(found.told))
    if numbers:
        write_json(numbers, found.told)
    if page:
        from tasks.reporting.versus import versus_page

        write_atomic(page, versus_page(found.told, found.test.dataset, found.test.raw, found.worst))
    if page or numbers:
        print("\n" + ", ".join(str(path) for path in (page, numbers) if path))
    return found


def compare(a: Side, b: Side, data: str | None = None, workspace: Path = Path(), *, threshold: float = 0.5,
            pictures: int = 12, draws: int = 1000) -> Comparison:
    """Compare B with A: a positive change means that B is better.

    Args:
        data: as `grounds.find_test` takes it.
        threshold: score from which a detection is shown, for the disagreements.
        pictures: most pictures that are listed.
        draws: of pictures, for the intervals.

    Raises:
        UserError: there is nothing to compare on.
        DataError: a file or a picture cannot be read.
    """
    test = find_test(a, b, data, workspace)
    sides = [detections(one, test, workspace) for one in (a, b)]
    contest = Contest(test.dataset, lambda _: sides[1], sides[0], draws)
    differing = disagreement(test.dataset, sides[0], sides[1], threshold, pictures)
    told = {"schema": 1, "a": _side(a), "b": _side(b), "test": _told(test), "draws": draws,
            "measures": {key: _compared(contest.compare(B, key)) for key in ("AP", "AP50")},
            "classes": _classes(contest), "slices": _slices(contest), "latency": latency(a, b),
            "disagreements": {"threshold": threshold, **_disagreements(differing, test)}}
    return Comparison(a, b, test, told, differing.worst)


def latency(a: Side, b: Side) -> dict[str, Any]:
    """Recorded medians at batch 1, and whether they were taken on the same machine."""
    details = [side.facts.get("machine_details") for side in (a, b)]
    machines = details if all(details) else [side.facts.get("machine") for side in (a, b)]
    times = [side.facts.get("median_ms") for side in (a, b)]
    return {"a_ms": times[0], "b_ms": times[1], "times_faster": times[0] / times[1] if times[0] and times[1] else None,
            "same_machine": machines[0] == machines[1] if all(machines) else None}


def _side(side: Side) -> dict[str, Any]:
    return {"title": side.title, "uri": side.uri, "file": side.path.name, "sha256": side.digest, **side.facts,
            "test_hash": side.tags.get("test_hash")}


def _told(test: Test) -> dict[str, Any]:
    from tasks.metrics.testset import digest_testset

    return {"name": test.dataset.meta.name, "source": test.source, "images": test.dataset.images.num_rows,
            "boxes": test.dataset.annotations.num_rows, "hash": digest_testset(test.dataset)}


def _compared(one: Compared) -> dict[str, dict[str, float | None]]:
    return {"a": one.champion._asdict(), "b": one.candidate._asdict(), "change": one.change._asdict()}


def _classes(contest: Contest) -> list[dict[str, Any]]:
    boxes = contest.dataset.annotations.filter(pc.invert(contest.dataset.annotations["iscrowd"]))
    owners = boxes["class_id"].to_pylist()
    by_measure = {key: contest.classes(B, key) for key in ("AP", "AP50")}
    return [{"name": name, "boxes": owners.count(place),
             **{key: _compared(found[place]) for key, found in by_measure.items()}}
            for place, name in enumerate(contest.dataset.meta.classes)]


def _slices(contest: Contest) -> list[dict[str, Any]]:
    """AP50 of every part that has boxes, where there is more than one."""
    rows = []
    for by in CUTS:
        cut = [(part, *part.size(contest.dataset)) for part in parts(contest.dataset, by)[:MOST_PARTS]]
        cut = [one for one in cut if one[2]]
        if len(cut) < 2 and by != "tags":
            continue
        rows += [{"by": by, "name": part.name, "images": images, "boxes": boxes,
                  "AP50": _compared(contest.compare(B, "AP50", part, f"{by}/{part.name}"))}
                 for part, images, boxes in cut]
    return rows


def _disagreements(found: Any, test: Test) -> dict[str, Any]:
    files = dict(zip(*test.dataset.images.select(["image_id", "file"]).to_pydict().values(), strict=True))
    told: Mapping[str, Any] = asdict(found)
    classes = test.dataset.meta.classes

    def seen(one: Any) -> dict[str, Any]:
        return {"box": [round(v, 2) for v in one.box], "class": classes[one.class_id], "score": round(one.score, 4),
                "kind": one.kind}

    worst = [{"file": files[one.image_id], "only_a": one.only_a, "only_b": one.only_b,
              "other_class": one.other_class, "a": [seen(x) for x in one.a], "b": [seen(x) for x in one.b]}
             for one in found.worst]
    return {key: told[key] for key in ("shown_a", "shown_b", "only_a", "only_b", "other_class", "pictures")} | {
        "worst": worst}
