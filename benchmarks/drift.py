"""How often a look at pictures without drift gives an alarm, and how often real shifts are seen.

    python -m benchmarks.drift [--draws 400] [--old 150] [--new 80] [--false-alarm 0.05] [--sets bccd sign_digits …]
    python -m benchmarks.drift --said labels            the same with what a model says, and where a class is missing
    python -m benchmarks.drift --said picodet-s-416 --sets coco_tiny

Real pictures of VISIONMILL_MIRROR. Without drift: disjoint random halves of one set, drawn again and again; printed is
the share of looks with an alarm, its 95 % interval (Wilson), and whether the rate asked is not below it. With drift:
the new pictures are made brighter, darker, blurred, smaller, get strangers of another set, or miss a class. With
--said the tests of predicted boxes, classes and scores are looked at, together with those of the pictures and alone: by
a real model, or by a detector made of the labels (it finds nine objects in ten; its numbers are in
`benchmarks.drift_said`).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks import drift_said
from tasks.data.near.embedding import CACHE
from tasks.drift.arriving import arrived
from tasks.drift.look import ALIKE
from tasks.drift.measures import Entry, Seen, see
from tasks.drift.testing import is_constant, run_tests, sides_of

PICTURES = {"bccd": "bccd/JPEGImages", "sign_digits": "sign_digits", "coco_tiny": "coco_tiny", "nuclei": "nuclei_256",
            "voc100": "voc100_formats"}
MOST = 2100
SHIFTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "10 % brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "10 % darker": lambda p: ImageEnhance.Brightness(p).enhance(0.9),
    "25 % darker": lambda p: ImageEnhance.Brightness(p).enhance(0.75),
    "blur of 1 pixel": lambda p: p.filter(ImageFilter.GaussianBlur(1)),
    "blur of 3 pixels": lambda p: p.filter(ImageFilter.GaussianBlur(3)),
    "JPEG of quality 20": lambda p: _encoded(p, 20),
    "half the size": lambda p: p.resize((max(p.width // 2, 8), max(p.height // 2, 8)), Image.Resampling.BICUBIC),
}


def main() -> None:
    options = _arguments()
    root = Path(os.environ["VISIONMILL_MIRROR"]).expanduser() / "datasets"
    bad = 0
    with tempfile.TemporaryDirectory(prefix="visionmill-") as name:
        pools = {one: pool(root / PICTURES[one], Path(name) / one, options.pictures) for one in options.sets}
        for one, (entries, seen) in pools.items():
            old, new = _sizes(seen, options.old, options.new)
            groups = len(seen.units)
            print(f"\n{one}: {len(entries)} pictures, {groups} that count; {old} old, {new} new a look", flush=True)
            if options.said:
                bad += predicted(one, entries, seen, root, Path(name), options)
                continue
            bad += without_drift(seen, old, new, options)
            if options.powers:
                with_drift(one, pools, old, new, options, Path(name))
    sys.exit(int(options.check and bad > 0))


def pool(folder: Path, work: Path, most: int) -> tuple[list[Entry], Seen]:
    """Pictures of a set, measured once."""
    entries = arrived(folder, most, 0).entries
    seen, _ = see(entries, work / CACHE)
    return entries, seen


def without_drift(seen: Seen, old: int, new: int, options: argparse.Namespace) -> int:
    """Print the rate of false alarms; 1 where it is surely above what was asked."""
    alarms = sum(look(*split(seen, seen, old, new, seed), options.false_alarm, seed) for seed in range(options.draws))
    low, high = wilson(alarms, options.draws)
    sure = low > options.false_alarm
    print(f"  no drift             {alarms:4} alarms in {options.draws} looks: {alarms / options.draws:.4f} "
          f"({low:.4f} to {high:.4f}); asked: at most {options.false_alarm} {'MISSED' if sure else ''}", flush=True)
    return int(sure)


def predicted(name: str, entries: list[Entry], seen: Seen, root: Path, work: Path, options: argparse.Namespace) -> int:
    """Print the same of the tests of predictions; 1 where either rate is surely above what was asked."""
    classes, counts = drift_said.labels_of(name, root, entries)
    said = drift_said.by_labels(counts) if options.said == "labels" else \
        drift_said.by_model(options.said, entries, work)
    lacking = drift_said.MISSING[name]
    without = counts[seen.rows, classes.index(lacking)] == 0
    print(f"  predictions of {options.said}; {np.count_nonzero(without)} pictures without {lacking}", flush=True)
    sure = 0
    for title, allowed, looks in (("no drift", None, options.draws), (f"no {lacking}", without, options.powers)):
        places = [drift_said.parts(len(seen.rows), options.old, options.held, options.new, seed, allowed)
                  for seed in range(looks)]
        told = [drift_said.look(seen, said, one, options.false_alarm, seed) for seed, one in enumerate(places)]
        sizes = " / ".join(str(len(part)) for part in places[0]) if places else ""
        for place, what in enumerate(("pictures and predictions", "predictions alone") if places else ()):
            alarms = sum(one[place] for one in told)
            low, high = wilson(alarms, looks)
            missed = allowed is None and low > options.false_alarm
            sure |= missed
            print(f"  {title:12} {what:26} {alarms:4} alarms in {looks} looks: {alarms / looks:.4f} "
                  f"({low:.4f} to {high:.4f}); {sizes} pictures {'MISSED' if missed else ''}", flush=True)
    return int(sure)


def with_drift(name: str, pools: dict[str, tuple[list[Entry], Seen]], old: int, new: int,
               options: argparse.Namespace, work: Path) -> None:
    """Print how often each shift is seen."""
    entries, seen = pools[name]
    shifted = {title: _changed(entries, change, work / name / title) for title, change in SHIFTS.items()}
    for title, other in shifted.items():
        _print(title, [look(*split(seen, other, old, new, seed), options.false_alarm, seed)
                       for seed in range(options.powers)])
    for other_name, (_, other) in pools.items():
        for share in (0.1, 0.3) if other_name != name else ():
            count = max(round(share * new), 1)
            _print(f"{share:.0%} of {other_name}", [look(*_mixed(seen, other, old, new, count, seed),
                                                        options.false_alarm, seed) for seed in range(options.powers)])
    kinds = [entry.name.partition("/")[0] for entry in entries]
    if name == "sign_digits":
        rest = np.array([kinds[row] not in ("0", "5") for row in seen.rows])
        _print("two of ten classes missing", [look(*split(seen, seen, old, new, seed, rest), options.false_alarm, seed)
                                              for seed in range(options.powers)])


def split(seen: Seen, other: Seen, old: int, new: int, seed: int, allowed: np.ndarray | None = None
          ) -> tuple[Seen, Seen]:
    """Old pictures of `seen`, and the rows of other pictures in `other`; the same on each run."""
    order = np.random.default_rng(seed).permutation(len(seen.rows))
    first, rest = order[:old], order[old:]
    rest = rest[allowed[rest]] if allowed is not None else rest
    return seen.some(first), other.some(rest[:new])


def look(old: Seen, new: Seen, false_alarm: float, seed: int) -> bool:
    """Whether one look, as `visionmill drift` makes it of pictures alone, gives an alarm."""
    if max(1 - len(part.units) / len(part.rows) for part in (old, new)) > ALIKE and len(new.rows) < len(old.rows):
        old = old.some(np.arange(len(new.rows)))
    sides = {name: side for name, side in sides_of(old, new).items() if not is_constant(side)}
    return any(test.alarm for test in run_tests([sides, {}], false_alarm, seed))


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(max(middle - half, 0)), float(min(middle + half, 1))


def _mixed(seen: Seen, other: Seen, old: int, new: int, count: int, seed: int) -> tuple[Seen, Seen]:
    first, rest = split(seen, seen, old, new, seed)
    places = np.random.default_rng(seed).permutation(len(other.rows))[:count]
    mine, theirs = rest.some(np.arange(len(rest.rows) - len(places))), other.some(places)
    numbers = {name: np.concatenate([mine.numbers[name], theirs.numbers[name]]) for name in mine.numbers}
    # groups of two sets have nothing to do with each other
    groups = np.concatenate([mine.groups, theirs.groups + int(seen.groups.max()) + 1])
    vectors = np.concatenate([mine.vectors, theirs.vectors])
    return first, Seen(np.concatenate([mine.rows, theirs.rows]), vectors, numbers, groups)


def _changed(entries: list[Entry], change: Callable[[Image.Image], Image.Image], folder: Path) -> Seen:
    """The same pictures, changed; in the same order."""
    folder.mkdir(parents=True, exist_ok=True)
    return see(list(_written(entries, change, folder)), folder / CACHE)[0]


def _written(entries: list[Entry], change: Callable[[Image.Image], Image.Image], folder: Path) -> Iterator[Entry]:
    from tasks.data.pictures import measure, read_picture

    for number, entry in enumerate(entries):
        path = folder / f"{number}.png"
        change(Image.fromarray(read_picture(entry.place))).save(path, compress_level=1)
        told = measure(path)
        yield Entry(path.name, path, told.digest, told.width, told.height)


def _encoded(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def _sizes(seen: Seen, old: int, new: int) -> tuple[int, int]:
    """As asked, or in the same proportion where there are fewer pictures."""
    count = len(seen.rows)
    return (old, new) if old + new <= count else (count * old // (old + new), count * new // (old + new))


def _print(title: str, seen: list[bool]) -> None:
    low, high = wilson(sum(seen), len(seen))
    print(f"  {title:26} seen in {np.mean(seen):.2f} of {len(seen)} looks ({low:.2f} to {high:.2f})", flush=True)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sets", nargs="+", choices=PICTURES, default=["bccd", "sign_digits", "coco_tiny"])
    arguments.add_argument("--pictures", type=int, default=MOST, help="of a set at most")
    arguments.add_argument("--draws", type=int, default=400, help="looks without drift")
    arguments.add_argument("--powers", type=int, default=40, help="looks at each shift; 0: none")
    arguments.add_argument("--old", type=int, default=150)
    arguments.add_argument("--new", type=int, default=80)
    arguments.add_argument("--held", type=int, default=80, help="pictures that the model has not learned from")
    arguments.add_argument("--said", help="labels, or a model: a version, a file, an entry of conf/import")
    arguments.add_argument("--false-alarm", type=float, default=0.05)
    arguments.add_argument("--check", action="store_true", help="end with 1 where the rate is surely above that asked")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
