"""A round's training, by the line or light, and what it is worth beside the round before and the other arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_value, write_atomic, write_json
from tasks.improving.light import FOUND, RECORD, measure, train_and_judge
from tasks.improving.state import CONTROL, MAIN
from tasks.improving.trusting import learn_from_twin
from tasks.metrics.bootstrap import Measure

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.data.store.layout import Version
    from tasks.data.table import Dataset
    from tasks.improving.work import Work

MEASURES: tuple[Measure, ...] = ("AP", "AP50")
UP, DOWN, LEVEL = "up", "down", "level"


def train(work: Work) -> tuple[dict[str, Any], str]:
    """Train on the set of this round and judge on the fixed one."""
    if work.out("mine").get("pictures") == 0:
        return {}, "nothing was picked: nothing new to train on"
    if work.settings.train == "line":
        return _by_line(work)
    version, settings = work.set(), work.settings
    out = work.loop.folder / "models" / f"{work.arm}-{work.round}"
    params = {"rounds": work.loop.name, "round": work.round, "arm": work.arm, "set": version.ref,
              **settings.light.model_dump(mode="json")}

    def learn() -> dict[str, Any]:
        return train_and_judge(version.folder, work.store.pictures, settings.light, judge=judged(work), out=out,
                               seed=settings.seed).metrics

    metrics = _tracked(work, version, params, learn)
    trusted = f"; {learn_from_twin(work)}" if work.round == 0 else ""
    named = {"model": out.relative_to(work.loop.workspace.resolve()).as_posix(), "metrics": metrics}
    return named | {"detections": f"{out.name}/{FOUND}"}, _said(metrics, f"trained on {version.ref}") + trusted


def _by_line(work: Work) -> tuple[dict[str, Any], str]:
    """The line trains on the set: data use, retrain, register, gate. Before the first round the champion is judged."""
    line = work.loop.line
    if line is None:
        raise UserError("the line can only be run by `visionmill improve`", where=work.loop.name, mend="--train light")
    if work.round == 0:
        return _as_it_is(work)
    version, before = work.set(), line.used()
    ours = [work.state.last("line", MAIN, before=work.round) or {}, {"after": work.state.about["base"]["ref"]}]
    by_hand = f"; params.yaml said {before}, which no round had set" if before and before not in (
        one.get("after") for one in ours) else ""
    lined = line.train(version, f"{work.loop.name}, round {work.round}: {version.ref}")
    # a version that its gate refused does not label where there is a better one
    known = work.state.last("model", MAIN, before=work.round) or work.model()
    model = lined.registered if lined.passed is not False or known is None else known
    return _found_by(work, lined.model) | {"model": model, "registered": lined.registered, "gate": lined.passed,
                                           "line": {"before": before, "after": version.ref}}, lined.said + by_hand


def _as_it_is(work: Work) -> tuple[dict[str, Any], str]:
    from tasks.registry.versions import resolve_model

    text = work.model()
    if text is None:
        return {}, "no model is there yet: the first round begins without"
    if not text.startswith("models:/"):
        return {"model": text}, f"{text} begins; it is not measured, since its classes may be others"
    found = _found_by(work, resolve_model(text, "deployed", work.loop.workspace))
    return found | {"model": text}, _said(found["metrics"], f"{text} as it is")


def _found_by(work: Work, model: Path) -> dict[str, Any]:
    """What a model finds on the fixed set, kept: the line's next model takes its place."""
    from tasks.measure.detecting import detect, of_these_classes
    from tasks.metrics.detections import detections_table, write_detections
    from tasks.runtime.detector import open_detector

    dataset = judged(work)
    detector = of_these_classes(open_detector(model), dataset, model)
    found = detections_table(detect(work.store.pictures, dataset, {"it": detector}, label="judged: pictures")["it"])
    folder = work.loop.folder / "models" / f"{work.arm}-{work.round}"
    metrics = measure(dataset, found, work.settings.light.draws)
    write_detections(folder / FOUND, found)
    write_json(folder / RECORD, {"metrics": metrics})
    return {"metrics": metrics, "detections": f"{folder.name}/{FOUND}"}


def _tracked(work: Work, version: Version, params: dict[str, Any], learn: Any) -> dict[str, Any]:
    """One MLflow run; a killed one goes on."""
    from tasks.registry.runs import stage_run
    from tasks.training.session import known_run

    runs = work.loop.folder / "runs"
    key = f"{work.arm}-{work.round}"
    line = digest_value([version.digest, params])[:32]
    begun = runs / f"{key}-{line[:12]}"
    tags = {"visionmill.improve": work.loop.name, "visionmill.round": str(work.round), "visionmill.arm": work.arm,
            "visionmill.dataset": version.ref}
    with stage_run("improve", line=line, params=params, record=runs / f"{key}.json", resume=known_run(begun),
                   tags=tags, workspace=work.loop.workspace) as run:
        write_atomic(begun / "run", run.id or "")
        run.dataset(version.ref, version.digest)
        run.dataset(work.judge().ref, work.judge().digest, context="testing")
        metrics: dict[str, Any] = learn()
        run.metrics({name: value for name, value in metrics.items() if name != "left_out"})
    return metrics


def judged(work: Work) -> Dataset:
    """The fixed set."""
    from tasks.data.table import read_dataset

    return read_dataset(work.judge().folder)


def compare(work: Work) -> tuple[dict[str, Any], str]:
    """This round's accuracy beside the round before, by a paired bootstrap; the control's beside the other arm too."""
    own = _detections(work, work.round, work.arm)
    if own is None:
        return {}, "nothing was trained: nothing to compare"
    before = next((found for earlier in range(work.round - 1, -1, -1)
                   if (found := _detections(work, earlier, work.arm)) is not None), None)
    other = _detections(work, work.round, MAIN) if work.arm == CONTROL else None
    out = compared(judged(work), own, before, other, work.settings.light.draws)
    head = out["overall"]["AP50"]
    said = f"AP50 {_number(head['value'])} ({_number(head['low'])} to {_number(head['high'])})"
    if head["change"] is not None:
        said += f", {head['arrow'] or 'moved'} ({_points(head['change'])} points)"
    return out, said


def compared(dataset: Dataset, own: pa.Table, before: pa.Table | None, other: pa.Table | None = None,
             draws: int = 1000) -> dict[str, Any]:
    """AP and AP50 with 95 % intervals, of all classes (`overall`) and of each (`classes`).

    Each has value, low, high (0..1 or None), `change` to `before` (value, low, high, or None) and `arrow`: up or down
    where 0 is outside the change's interval, level where it is inside, None without one. `beside`: `other` − own.
    """
    from tasks.metrics.bootstrap import change, resample_all, spread

    drawn = {name: resample_all(dataset, table, MEASURES, draws)
             for name, table in (("own", own), ("before", before), ("other", other)) if table is not None}

    def one(pick: Any) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for measure_ in MEASURES:
            found = {name: pick(sample)[measure_] for name, sample in drawn.items()}
            moved = change(found["before"], found["own"])._asdict() if "before" in found else None
            rows[measure_] = spread(found["own"])._asdict() | {"change": moved, "arrow": arrow(moved)}
            if "other" in found:
                beside = change(found["own"], found["other"])._asdict()
                rows[measure_] |= {"beside": beside | {"arrow": arrow(beside)}}
        return rows

    names = dataset.meta.classes
    return {"overall": one(lambda sample: sample.overall),
            "classes": {name: one(lambda sample, at=at: sample.classes[at]) for at, name in enumerate(names)}}


def arrow(change: dict[str, Any] | None) -> str | None:
    """Which way a difference goes, by its interval; None where there is none."""
    if change is None or change["low"] is None or change["high"] is None:
        return None
    return UP if change["low"] > 0 else DOWN if change["high"] < 0 else LEVEL


def _detections(work: Work, round_: int, arm: str) -> pa.Table | None:
    from tasks.metrics.detections import read_detections

    named = work.state.out(round_, "train", arm).get("detections")
    if not named:
        return None
    path = work.loop.folder / "models" / named
    try:
        return read_detections(path)
    except DataError as error:
        raise DataError(f"what round {round_} found is not there any more: {error.what}", where=path,
                        mend="visionmill improve undo --round, or visionmill improve skip compare") from None


def _said(metrics: dict[str, Any], what: str) -> str:
    return f"{what}: AP {_number(metrics['AP'])}, AP50 {_number(metrics['AP50'])}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _points(change: dict[str, Any]) -> str:
    return "n/a" if change["value"] is None else f"{100 * change['value']:+.1f}"
