"""The points on the way from the whole network to a small one: kept, so that another budget needs no new training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import GateRefused
from tasks.base.files import digest_value, folder_atomic, read_json, write_json
from tasks.compress.budget import Budget, Cost, absolute

Limits = dict[str, float]


@dataclass(frozen=True)
class Point:
    """A network on the way.

    Attributes:
        key: of all that made it.
        folder: model.json, model.safetensors, history.json, point.json; of the whole network the one it came in.
        cost: parameters, MACs and what else the budget asks.
        ap, ap50: on the validation split, 0..1.
        epochs: epochs trained for it.
    """

    key: str
    folder: Path
    cost: Cost
    ap: float
    ap50: float
    epochs: int = 0

    def facts(self, whole: Point) -> dict[str, Any]:
        """The point as numbers, shares taken of the whole network."""
        return {**self.cost.to_dict(), "kept_parameters": self.cost.parameters / whole.cost.parameters,
                "kept_macs": self.cost.macs / whole.cost.macs, "val_AP": self.ap, "val_AP50": self.ap50,
                "val_AP_loss": whole.ap - self.ap}


Make = Callable[[Point, Limits], Point]


def load_point(folder: Path) -> Point | None:
    """The point that was kept in a folder, None when there is none."""
    file = folder / "point.json"
    if not file.is_file():
        return None
    told = read_json(file)
    return Point(folder=folder, cost=Cost(**told.pop("cost")), **told)


def keep_point(point: Point, write: Callable[[Path], None]) -> Point:
    """Write a point's files and then itself; a killed write leaves nothing."""
    with folder_atomic(point.folder) as folder:
        write(folder)
        write_json(folder / "point.json", {"key": point.key, "cost": vars(point.cost), "ap": point.ap,
                                           "ap50": point.ap50, "epochs": point.epochs})
    return point


def next_key(point: Point, limits: Limits) -> str:
    """Key of the point that pruning `point` to `limits` gives."""
    return digest_value([point.key, limits])[:16]


def pursue(budget: Budget, whole: Point, make: Make, iterations: int, step: float) -> tuple[Point, list[Point]]:
    """Prune and retrain until the budget is met.

    Limits of size are reached in `iterations` steps of equal factors. Without one, each step keeps the share `step` of
    the parameters of the one before, until one loses more validation AP than the budget allows: the one before it is
    taken.

    Returns:
        The point that is taken, and all points from the whole network on.

    Raises:
        GateRefused: the budget cannot be met; the message shows every point and names the nearest.
    """
    limits = {name: limit for name, limit in absolute(budget.limits(), whole.cost).items()
              if limit < getattr(whole.cost, name)}
    points = [whole]
    if budget.limits():
        for i in range(1, iterations + 1 if limits else 1):
            share = i / iterations
            points.append(_made(make, points, {name: _between(getattr(whole.cost, name), limit, share)
                                               for name, limit in limits.items()}))
        taken = points[-1]
    else:
        taken = _down(budget, points, make, step)
    lost = whole.ap - taken.ap
    if budget.max_ap_loss is not None and lost > budget.max_ap_loss:
        raise refused(f"it loses {lost:.4f} of validation AP, {budget.max_ap_loss} are allowed", points, taken)
    return taken, points


def _between(whole: float, limit: float, share: float) -> float:
    return limit if share == 1 else whole * (limit / whole) ** share


def _down(budget: Budget, points: list[Point], make: Make, step: float) -> Point:
    whole, most = points[0], budget.max_ap_loss or 0.0
    while True:
        try:
            points.append(make(points[-1], {"parameters": whole.cost.parameters * step ** len(points)}))
        except GateRefused:  # every layer is as narrow as it can be
            if len(points) == 1:
                raise
            return points[-1]
        if whole.ap - points[-1].ap > most:
            return points[-2] if len(points) > 2 else points[-1]


def _made(make: Make, points: list[Point], limits: Limits) -> Point:
    try:
        return make(points[-1], limits)
    except GateRefused as error:
        raise refused(str(error.what), points, points[-1], error.mend or "") from None


def refused(why: str, points: list[Point], nearest: Point, more: str = "") -> GateRefused:
    """The error of a budget that cannot be met."""
    told = [*([more] if more else []), f"nearest: {row(nearest, points[0])}", "loosen it, or retrain longer"]
    return GateRefused(f"the budget cannot be met: {why}\n{table(points)}", where="params.yaml: prune.budget",
                       mend="; ".join(told))


def table(points: Iterable[Point]) -> str:
    """All points, one a line."""
    listed = list(points)
    return "\n".join(f"  {row(point, listed[0])}" for point in listed)


def row(point: Point, whole: Point) -> str:
    """One point in words."""
    share, macs = point.cost.parameters / whole.cost.parameters, point.cost.macs / whole.cost.macs
    sizes = [f"{value:.2f} MB {name}" for name, value in (("file", point.cost.file_mb), ("RAM", point.cost.peak_ram_mb))
             if value is not None]
    return ", ".join([f"kept {share:.3f} of the parameters and {macs:.3f} of the MACs", *sizes,
                      f"validation AP {point.ap:.4f} ({point.ap - whole.ap:+.4f})"])
