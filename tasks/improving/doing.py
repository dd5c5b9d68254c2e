"""What each step does. It gives what the journal keeps, and a line for people; killed before that, it is done again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError, VisionmillError
from tasks.improving import sets
from tasks.improving.picturing import look, reasons_of
from tasks.improving.state import CONTROL, MAIN
from tasks.improving.training import compare, train
from tasks.improving.work import Waiting, Work, told

if TYPE_CHECKING:
    from tasks.data.store.layout import Version
    from tasks.labelling.jobs.desk import Desk
    from tasks.labelling.jobs.job import Job

Done = tuple[dict[str, Any], str]
NOTHING = "nothing was picked"


def prepare(work: Work) -> Done:
    """What the round begins with: its settings, the labels so far, who labels, what is left to pick from."""
    base = work.set()
    settings = work.state.settings
    out: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "set": told(base), "model_used": work.model()}
    labelled = f"{sets.pictures_in(base):,} pictures with {sets.boxes_in(base):,} boxes in {base.ref}"
    if work.round == 0:
        return out, f"{labelled}; judged on {sets.pictures_in(work.judge()):,} pictures of {work.judge().ref}"
    left = sets.left_in(work.pool(), known(work))
    out["left"] = left
    strategy = "random" if work.arm == CONTROL else settings.strategy
    return out, f"{labelled}; {min(settings.budget, left):,} of {left:,} pictures of {work.pool().ref} by {strategy}"


def known(work: Work) -> list[Version]:
    """What is not picked again: what is labelled, what is judged on, what this arm has picked before."""
    before = [work.version(one.out["picked"]) for one in work.state.entries
              if one.step == "mine" and one.arm == work.arm and one.out.get("picked")]
    return [work.set(), work.judge(), *before]


def mine(work: Work) -> Done:
    """Pick what is worth labelling; the model looks at the whole pool where the strategy needs that."""
    from tasks.labelling.mining import pick
    from tasks.labels.mining.pool import NothingLeft
    from tasks.labels.mining.registry import STRATEGIES

    settings, pool = work.settings, work.pool()
    strategy = "random" if work.arm == CONTROL else settings.strategy
    chosen = STRATEGIES.get(strategy)
    needs = chosen.needs if chosen else frozenset({"boxes"})
    prelabels = look(work, pool, needs) if needs & {"boxes", "flip", "aldd", "consistency"} else None
    values = {} if work.arm == CONTROL else settings.values
    seed = {"seed": settings.seed + work.round} if chosen and "seed" not in values else {}
    try:
        version, mined = pick(pool, work.store, work.desk_root, strategy=strategy, budget=settings.budget,
                              known=known(work), values=values | seed, prelabels=prelabels, round=work.round,
                              out=f"{work.prefix}-picked", owner=work.loop.owner, line=False)
    except NothingLeft as error:
        return _nothing_left(work, strategy, error.what)
    reasons = reasons_of(mined.table)
    out = {"picked": work.made(version), "pictures": mined.table.num_rows, "strategy": strategy, "reasons": reasons,
           "notes": list(mined.notes), "prelabels": prelabels.folder.name if prelabels else None,
           "model_digest": prelabels.facts["model_digest"] if prelabels else None}
    first = f": {reasons[0]['reason']}" if reasons else ""
    return out, "; ".join([f"{mined.table.num_rows:,} pictures in {version.ref} by {strategy}{first}", *mined.notes])


def _nothing_left(work: Work, strategy: str, why: str) -> Done:
    """The last round: its other steps have nothing to do. A control without pictures does not end the other arm."""
    out = {"pictures": 0, "strategy": strategy, "reasons": [], "notes": [why], "prelabels": None}
    return out | ({"end": why} if work.arm == MAIN else {}), why


def picked(work: Work) -> Version | None:
    """What this round is about: what was mined; all that is left of the pool where a person left the mining out; None
    where nothing is left."""
    if mined := work.out("mine"):
        return work.version(mined["picked"]) if mined.get("picked") else None
    if not sets.left_in(work.pool(), known(work)):
        return None
    rest = sets.without(work.pool(), known(work), work.store, f"{work.prefix}-picked", work.loop.owner)
    work.loop.keep(rest)
    return rest


def prelabel(work: Work) -> Done:
    """The model's boxes on the picked pictures, for people to correct."""
    version = picked(work)
    if version is None:
        return {}, NOTHING
    if work.out("mine").get("prelabels"):
        boxes = all_boxes(version)
        return {"version": told(version), "boxes": boxes}, f"{boxes:,} boxes, those of the mining"
    if work.model() is None:
        return {"version": told(version), "boxes": 0}, "no model is there yet: people draw from nothing"
    prelabels = look(work, version, frozenset())
    version, _ = prelabels.version(work.store, f"{work.prefix}-prelabelled", work.loop.owner)
    return ({"version": work.made(version), "boxes": all_boxes(version),
             "model_digest": prelabels.facts["model_digest"]},
            f"{all_boxes(version):,} boxes by {prelabels.name} in {version.ref}")


def all_boxes(version: Version) -> int:
    """All boxes of a version, a model's too."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(version.folder / "annotations.parquet").metadata.num_rows


def send(work: Work) -> Done:
    """Hand the pictures to people, hardest first."""
    from tasks.labelling.jobs.sending import send as hand_out

    found = work.out("prelabel").get("version")
    version, settings = (work.version(found) if found else picked(work)), work.settings
    if version is None:
        return {}, NOTHING
    lines: list[str] = []
    desk = _desk(work) or settings.desk
    try:
        job = hand_out(version, work.store, desk, name=_job_name(work, version, desk), hardest=settings.hardest,
                       instructions=settings.instructions, workspace=work.desk_root, options=settings.options,
                       tell=lines.append)
    except VisionmillError as error:
        raise _stands_still(work, "nothing was sent", error) from None
    return ({"job": job.name, "pictures": len(job.order), "where": job.where, "told": lines},
            f"{len(job.order):,} pictures as job {job.name} to {job.desk}{_place(job)}")


def _place(job: Job) -> str:
    """Where people find a job, for the end of a line."""
    place = job.where.get("page") or job.where.get("folder")
    return f": {place}" if place else ""


def _job_name(work: Work, version: Version, desk: str | Desk) -> str:
    """A name that is free, or that of this very job: what was undone may have sent another version, or elsewhere."""
    from tasks.labelling.jobs.job import names, read_job

    first, taken = f"{work.prefix}-{work.round}-{version.number}", names(work.desk_root)
    kind, options = desk if isinstance(desk, str) else desk.kind, work.settings.options

    def is_this(job: Job) -> bool:
        return (job.digest, job.desk) == (version.digest, kind) and options.items() <= job.options.items()

    wanted = chain([first], (f"{first}-{number}" for number in count(2)))
    return next(name for name in wanted if name not in taken or is_this(read_job(name, work.desk_root)))


def wait(work: Work) -> Done:
    """People have answered all pictures, or the round stands still."""
    job = _job(work)
    if job is None:
        return {}, "nothing was sent"
    desk = _desk(work, job)
    assert desk is not None
    status = desk.status(job)
    if status.away:
        raise Waiting(f"round {work.round}: the desk cannot be asked: {status.away}. What people have done is not "
                      "lost; visionmill improve looks again. Where it is gone for good, visionmill improve undo, and "
                      "the next one sends the pictures anew")
    if status.done < status.total:
        begun = f", {status.partial:,} begun" if status.partial else ""
        raise Waiting(f"round {work.round}: {status.done:,} of {status.total:,} pictures of job {job.name} are done"
                      f"{begun}{_place(job)}. When people are ready: visionmill improve; to go on with what is there: "
                      "visionmill improve skip wait")
    out = {"done": status.done, "total": status.total, "people": status.people, "seconds": status.seconds}
    return out, f"all {status.total:,} pictures are done by {', '.join(sorted(status.people)) or 'nobody known'}"


def fetch(work: Work) -> Done:
    """Bring the labels back, with what they cost."""
    from tasks.labelling.jobs.fetching import fetch as bring_back

    job = _job(work)
    if job is None:
        return {}, "nothing was sent"
    try:
        found = bring_back(job, work.store, f"{work.prefix}-labelled", work.loop.owner, desk=_desk(work, job))
    except VisionmillError as error:
        raise _stands_still(work, f"job {job.name} was not fetched", error) from None
    if found.version is None:
        raise Waiting(f"round {work.round}: nobody has finished a picture of job {job.name} yet; visionmill improve "
                      "looks again, visionmill improve skip fetch ends the round without labels")
    totals, seconds = found.clicks, [one.seconds for one in found.answers if one.seconds is not None]
    boxes, missing = all_boxes(found.version), found.total - found.done
    out = {"labelled": work.made(found.version), "pictures": sets.pictures_in(found.version), "boxes": boxes,
           "clicks": totals.clicks, "from_nothing": totals.from_nothing, "counts": totals.counts,
           "seconds": sum(seconds) if seconds else None, "conflicts": found.conflicts.num_rows, "told": found.told,
           "missing": missing}
    saved = f", {totals.share:.0%} of those from nothing" if totals.share is not None else ""
    return out, (f"{boxes:,} boxes on {out['pictures']:,} pictures in {found.version.ref}, {totals.clicks:,.0f} clicks"
                 f"{saved}" + (f"; {missing:,} of {found.total:,} pictures of job {job.name} have not come back"
                               if missing else ""))


def merge(work: Work) -> Done:
    """The labels so far and those of this round are the next set."""
    base, found = work.set(), work.out("fetch").get("labelled")
    if not found:
        return {"set": told(base)}, f"nothing new: {base.ref} stays"
    version = sets.merged(base, work.version(found), work.store, conflict=work.settings.conflict,
                          out=f"{work.prefix}-set", owner=work.loop.owner)
    return ({"set": work.made(version), "boxes": sets.boxes_in(version)},
            f"{sets.pictures_in(version):,} pictures with {sets.boxes_in(version):,} boxes in {version.ref}")


def after(work: Work) -> Done:
    """Whether there is another round."""
    last = work.round >= work.state.settings.rounds
    if work.round and not last and not sets.left_in(work.pool(), known(work)):
        end = f"nothing is left of {work.pool().ref}"
        return ({"end": end} if work.arm == MAIN else {}), f"{end}: the rounds end here"
    return {}, "all rounds are done" if last else f"round {work.round + 1} of {work.state.settings.rounds} is next"


def _desk(work: Work, job: Job | None = None) -> Desk | None:
    """Who answers; None where the settings name the desk and there is no job yet."""
    if work.loop.desk is not None:
        return work.loop.desk
    if work.state.about["oracle"]:
        from tasks.improving.oracle import OracleDesk

        return OracleDesk(work.version(work.state.about["truth"]), work.settings.content, work.store)
    if job is None:
        return None
    from tasks.labelling.jobs.desk import desk_of

    return desk_of(job, work.desk_root)


def _job(work: Work) -> Job | None:
    from tasks.labelling.jobs.job import read_job

    name = work.out("send").get("job")
    return read_job(name, work.desk_root) if name else None


def _stands_still(work: Work, what: str, error: VisionmillError) -> Waiting | VisionmillError:
    """A desk that does not answer is waited for; an error of ours is one."""
    if not isinstance(error, UserError):
        return error
    where, mend = f" ({error.where})" if error.where else "", f"; {error.mend}" if error.mend else ""
    return Waiting(f"round {work.round}: {what}: {error.what}{where}{mend}. Nothing is lost; "
                   "`visionmill improve` tries again")


ACTIONS: dict[str, Callable[[Work], Done]] = {
    "prepare": prepare, "mine": mine, "prelabel": prelabel, "send": send, "wait": wait, "fetch": fetch,
    "merge": merge, "train": train, "compare": compare, "next": after,
}
