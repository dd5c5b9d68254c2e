"""The champion on today's test split: whether it is still as good as when it was promoted. An MLflow run of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.registry import versions
from tasks.registry.drift_log import log_kind

if TYPE_CHECKING:
    from tasks.metrics.bootstrap import Interval

SPLIT, RAW = Path("data/split"), Path("data/raw")
DRAWS = 1000


@dataclass(frozen=True)
class Night:
    """The champion today. Measures are of 0 to 1; None where the test split has no labels to measure them on.

    Attributes:
        AP, AP50: today, each with its 95 % interval over pictures (value, low, high).
        before: AP and AP50 when it was registered.
        same_test: whether the test split is the one of then; else a change may be the split's.
        change: AP today minus then, with the interval of today's.
        shown: whether the whole interval of the change is below 0 or above it.
        run_id: of the MLflow run, None where nothing is tracked.
    """

    name: str
    version: str
    pictures: int
    AP: Interval
    AP50: Interval
    before: dict[str, float | None]
    same_test: bool
    change: Interval
    shown: bool
    run_id: str | None = None

    def told(self) -> str:
        """In one sentence."""
        if self.AP[0] is None or self.change[0] is None:
            return f"{self.name} version {self.version}: the test split has nothing to measure AP on"
        value, low, high = (100 * (one or 0.0) for one in self.change)
        split = "" if self.same_test else "; the test split is another one than then"
        return (f"{self.name} version {self.version}: AP {self.AP[0]:.3f} on {self.pictures} test pictures, "
                f"{value:+.1f} points since its registration (95 % interval {low:+.1f} to {high:+.1f}){split}")


def evaluate_champion(workspace: Path) -> Night | None:
    """Measure the champion's deployed file on the test split as it is today, and log it; None without a champion.

    Raises:
        UserError: its file does not run here, or there are no test pictures.
        DataError: no dataset, or a picture that cannot be read.
    """
    from tasks.data.table import read_dataset
    from tasks.metrics.bootstrap import resample, spread
    from tasks.metrics.testset import digest_testset
    from tasks.registry.gates.answers import answers

    held = versions.champion(workspace=workspace)
    if held is None:
        return None
    dataset = read_dataset(workspace / SPLIT).subset("test")
    if not dataset.images.num_rows:
        raise UserError("the dataset has no test pictures", where=workspace / SPLIT, mend="split.test in params.yaml")
    found = answers(f"models:/{held['name']}/{held['version']}", dataset, workspace / RAW, workspace)
    samples = resample(dataset, found, draws=DRAWS)
    ap, ap50 = (spread(samples[measure]) for measure in ("AP", "AP50"))
    before = {name: _number(held["tags"].get(f"visionmill.{name}")) for name in ("AP", "AP50")}
    test_hash = digest_testset(dataset)
    change = _since(ap, before["AP"])
    night = Night(held["name"], held["version"], dataset.images.num_rows, ap, ap50, before,
                  held["tags"].get("visionmill.test_hash") == test_hash, change, _is_shown(change))
    return _logged(night, test_hash, workspace)


def _since(now: Interval, then: float | None) -> Interval:
    return type(now)(*(None if one is None or then is None else one - then for one in now))


def _is_shown(change: Interval) -> bool:
    return change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _logged(night: Night, test_hash: str, workspace: Path) -> Night:
    numbers: dict[str, float] = {"pictures": float(night.pictures)}
    for name, values in (("AP", night.AP), ("AP50", night.AP50), ("AP_change", night.change)):
        for part, value in zip(("", "_low", "_high"), values, strict=True):
            if value is not None:
                numbers[name + part] = value
    tags = {"visionmill.model": f"{night.name}/{night.version}", "visionmill.test_hash": test_hash}
    params = {"model": night.name, "version": night.version, "same_test": night.same_test, "draws": DRAWS}
    run_id = log_kind("nightly", numbers, tags, params, {"nightly.json": asdict(night)}, workspace)
    return replace(night, run_id=run_id)
