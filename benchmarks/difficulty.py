"""What easy, medium and hard mean on pictures that were held out: python -m benchmarks.difficulty WORKSPACE MODEL

MODEL, any detector that `visionmill predict` opens, looks at the pictures of `val` and `test` of WORKSPACE/data/split,
which it was not trained on, and at their mirror images. Half of them, drawn by --seeds, count as reviewed: a
calibration is learnt from these and measured on the others. Beside it: with --few reviewed pictures only, the prior
alone, the score alone; expected corrections and those that came; and auto-accept on the same halves.
Asked: precision within the levels' ranges ± 0.05, calibration error ≤ 0.05; auto-accept's true error ≤ its bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data.pictures import locate, read_picture
from tasks.data.table import Dataset, read_dataset
from tasks.labels.accept import Settings, accept, earn
from tasks.labels.calibration import Calibration, calibrate, right_boxes, unreviewed
from tasks.labels.clicks import Settings as Clicks
from tasks.labels.clicks import compare, totals
from tasks.labels.columns import boxes_of
from tasks.labels.curves import calibration_error
from tasks.labels.difficulty import SHOWN, measured, missed_rates, rate, rate_pictures
from tasks.labels.features import candidate_features, flip_consistency, mirrored
from tasks.metrics.detections import SCHEMA, detections_table
from tasks.runtime.detector import Detector, open_detector
from tasks.runtime.postprocess import detections_of

FLOOR, SLACK, MOST_ERROR = 0.05, 0.05, 0.05


def look(detector: Detector, images: pa.Table, raw: Path) -> pa.Table:
    """Detections of all pictures with margin, spread, support and flip."""
    found, again, features = {}, {}, []
    for image, place in sorted(zip(images["image_id"].to_pylist(), locate(raw, images), strict=True)):
        picture = read_picture(place)
        for flip, into in ((False, found), (True, again)):
            seen = np.ascontiguousarray(picture[:, ::-1]) if flip else picture
            canvas, scale = detector.fit(seen)
            boxes, scores = (part[0] for part in detector.raw(canvas))
            into[image] = detections_of(boxes, scores, size=seen.shape[:2], scale=scale, score_threshold=FLOOR,
                                        suppression=detector.suppression)
            if not flip:
                one = into[image]
                features.append(candidate_features(boxes / scale, scores, one.boxes, one.scores, one.class_ids))
    table = detections_table(found)
    for name in ("margin", "spread", "support"):
        table = table.append_column(name, pa.array(np.concatenate([part[name] for part in features])))
    return table.append_column("flip", pa.array(flip_consistency(table, mirrored(detections_table(again), images))))


def halves(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image_ids for learning and for measuring."""
    order = np.random.default_rng(seed).permutation(images)
    # the first ones stay as they were drawn: some of them are a fair sample too
    return order[:len(order) // 2], np.sort(order[len(order) // 2:])


def on(table: pa.Table, images: np.ndarray) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(images)))


def show(name: str, learnt: Calibration, found: pa.Table, truth: pa.Table, images: np.ndarray) -> float:
    """A line a calibration: levels and error on held-out pictures; the error."""
    held = on(found, images)
    p, right = learnt.probability(held), right_boxes(boxes_of(held), boxes_of(on(truth, images))) == 1
    error, seen = calibration_error(p, right), p >= SHOWN
    words = [f"{level.level} {'—' if level.right is None else format(level.right, '.3f')} of {level.boxes} "
             f"({level.least:.2f} to {level.most:.2f}: {'met' if level.within(SLACK) else 'MISSED'})"
             for level in measured(p, right)]
    print(f"  {name:24} {', '.join(words)}; calibration error {error:.3f} "
          f"({'met' if error <= MOST_ERROR else 'MISSED'}), {calibration_error(p[seen], right[seen]):.3f} of the "
          f"{seen.sum()} that are shown", flush=True)
    return error


def show_work(learnt: Calibration, found: pa.Table, truth: pa.Table, reviewed: np.ndarray, images: np.ndarray) -> None:
    """Expected corrections beside those that came, and clicks; the oracle is content with IoU ≥ 0.75."""
    rated, labels = rate(on(found, images), learnt), on(truth, images)
    pictures = rate_pictures(images, [rated], missed_rates(found, truth, reviewed))
    shown = rated.filter(pc.greater_equal(rated["probability"], SHOWN))
    right = int((right_boxes(boxes_of(shown), boxes_of(labels)) == 1).sum())
    came = shown.num_rows + labels.num_rows - 2 * right
    print(f"  corrections expected {sum(pictures['corrections'].to_pylist()):.0f}, came {came}; clicks for each from "
          f"nothing {totals(compare(shown, labels, Clicks(same=0.75))).share:.2f}")


def show_accept(learnt: Calibration, found: pa.Table, truth: pa.Table, reviewed: np.ndarray, images: np.ndarray,
                settings: Settings) -> tuple[bool, int]:
    """What is accepted on the other half; whether its true error is at most the bound, and how many boxes."""
    mine = rate(on(found, reviewed), learnt)
    thresholds = earn(mine, right_boxes(boxes_of(mine), boxes_of(on(truth, reviewed))) == 1, settings)
    theirs = rate(on(found, images), learnt)
    taken = accept(theirs, thresholds, settings)
    right = right_boxes(boxes_of(theirs), boxes_of(on(truth, images))) == 1
    wrong = float((~right[taken.boxes]).mean()) if taken.boxes.any() else 0.0
    return taken.bound is None or wrong <= taken.bound, int(taken.boxes.sum())


def resampled(found: pa.Table, truth: pa.Table, ids: np.ndarray, settings: Settings, runs: int) -> None:
    """Auto-accept over fresh halves: calibration, thresholds and the true error, each time anew."""
    kept, boxes = [], []
    for seed in range(runs):
        reviewed, images = halves(ids, 1000 + seed)
        # scores alone: thresholds learnt from the boxes that calibrated them would be judged by what they know
        ok, many = show_accept(unreviewed(), found, truth, reviewed, images, settings)
        kept.append(ok)
        boxes.append(many)
    asked = int(np.ceil(0.95 * runs))
    print(f"auto-accept, at most {settings.max_error:.0%} wrong: kept in {sum(kept)} of {runs} (asked {asked}: "
          f"{'met' if sum(kept) >= asked else 'MISSED'}), {np.mean(boxes):.0f} boxes accepted on average")


def measure(dataset: Dataset, found: pa.Table, ids: np.ndarray, seeds: Iterable[int], few: list[int]) -> None:
    truth = dataset.annotations
    for seed in seeds:
        reviewed, images = halves(ids, seed)
        print(f"seed {seed}: {len(reviewed)} pictures reviewed, {len(images)} held out")
        show("prior", unreviewed(), found, truth, images)
        for count in few:
            show(f"{count} pictures reviewed", calibrate(found, truth, reviewed[:count]), found, truth, images)
        bare = found.drop_columns(["margin", "spread", "flip"])
        show("without features", calibrate(bare, truth, reviewed), bare, truth, images)
        learnt = calibrate(found, truth, reviewed)
        show(f"{learnt.kind}, all", learnt, found, truth, images)
        print(f"  log loss by cross-validation: {', '.join(f'{k} {v:.4f}' for k, v in learnt.scores.items())}")
        show_work(learnt, found, truth, reviewed, images)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("workspace", type=Path)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--few", type=int, nargs="*", default=[5, 20])
    arguments.add_argument("--runs", type=int, default=20, help="resamplings of auto-accept")
    arguments.add_argument("--max-error", type=float, default=0.1)
    arguments.add_argument("--limit", type=int, help="pictures at most, for a trial")
    arguments.add_argument("--keep", type=Path, help="a Parquet file in which the detections are kept")
    options = arguments.parse_args()
    dataset = read_dataset(options.workspace / "data/split")
    images = dataset.images.filter(pc.is_in(dataset.images["split"], value_set=pa.array(["val", "test"])))
    images = images.slice(0, options.limit) if options.limit else images
    if options.keep and options.keep.exists():
        found = pq.read_table(options.keep)
    else:
        found = look(open_detector(options.model), images, options.workspace / "data/raw")
        if options.keep:
            pq.write_table(found, options.keep)
    assert set(SCHEMA.names) <= set(found.column_names)
    ids = images["image_id"].to_numpy()
    measure(dataset, found, ids, options.seeds, options.few)
    resampled(found, dataset.annotations, ids, Settings(max_error=options.max_error), options.runs)


if __name__ == "__main__":
    main()
