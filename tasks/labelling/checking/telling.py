"""What the commands say: suspicious labels as lines, and what was accepted, in words."""

from __future__ import annotations

from tasks.data.table import Dataset
from tasks.labelling.checking.accepting import Earned, Outcome, still_needed
from tasks.labelling.checking.queue import in_words, worst_pictures
from tasks.labelling.checking.suspects import SURE, Suspects
from tasks.labels.accept import Settings

LINES = 15


def in_lines(suspects: Suspects, dataset: Dataset, lines: int = LINES) -> list[str]:
    """How many places of each kind, and the worst pictures: rank, quality, file, what is said of its worst place."""
    counts, classes = suspects.counts(), dataset.meta.classes
    told = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    ranked = worst_pictures(suspects, suspects.pictures.num_rows)
    head = (f"{sum(counts.values()):,} suspicious places on {len(ranked):,} of {suspects.pictures.num_rows:,} "
            f"pictures: {told} (predictions count from a probability of {suspects.sure:.2f} on)")
    file = dict(zip(*(dataset.images[name].to_pylist() for name in ("image_id", "file")), strict=True))
    quality = dict(zip(*(suspects.pictures[name].to_pylist() for name in ("image_id", "quality")), strict=True))
    rows = []
    for rank, (image, places) in enumerate(list(ranked.items())[:lines], 1):
        more = f", and {len(places) - 1} more" if len(places) > 1 else ""
        rows.append(f"{rank:4}  {quality[image]:.3f}  {file[image]}  {in_words(places[0], classes)}{more}")
    rest = len(ranked) - len(rows)
    weak = [] if suspects.usual >= SURE[0] or not dataset.annotations.num_rows else [
        "note: the predictions are weak: most of those that the labels agree with are less likely right than wrong, so "
        "little is found; train longer (--steps, --size), or take a better model (--model)"]
    tail = [f"      and {rest:,} more pictures"] if rest else []
    return [head, *weak, *(["rank  quality"] if rows else []), *rows, *tail]


def earned_in_words(earned: Earned, settings: Settings) -> list[str]:
    """A line a class: what is promised, or why nothing is and what it would take."""
    lines = [f"{earned.compared.found.num_rows:,} boxes of the model were reviewed, on {earned.compared.pictures:,} "
             "pictures"]
    for one in earned.thresholds:
        lines.append(f"  {one.reason}")
        if one.lacking:
            lines.append(f"    {one.lacking} more pictures with boxes of it would have to be reviewed")
        elif one.threshold is None:
            lines.append(f"    {_wanted(still_needed(one, settings, len(earned.thresholds)), settings, one.reviewed)}")
    if earned.picked:
        lines.append(f"note: {earned.picked:,} of the reviewed pictures were picked for being hard, not at random: the "
                     "promise is about pictures like them; check it with an audit")
    if earned.whole:
        lines.append(f"note: on the {earned.whole:,} reviewed pictures that would be accepted whole, "
                     f"{earned.lacking:,} of {earned.objects:,} objects have no box; the promise does not speak of "
                     "missed objects")
    return lines


def _wanted(count: int | None, settings: Settings, reviewed: int) -> str:
    if count is None:
        return (f"where its best boxes stay as often wrong as these, no number of reviews makes that "
                f"{settings.max_error:.1%}: a better model, or a larger --max-error")
    return f"about {count:,} boxes would have to be reviewed, {max(count - reviewed, 1):,} more than now"


def outcome_in_words(outcome: Outcome, following: str) -> list[str]:
    """What was accepted, with which bound, and where the rest is.

    Args:
        following: the commands that check it.
    """
    lines = []
    if outcome.done:
        lines.append(f"{outcome.done:,} pictures are reviewed already and were left as they are")
    if outcome.bound is None:
        lines.append(f"nothing is accepted: {outcome.boxes:,} boxes on {outcome.left:,} pictures go to people")
    else:
        lines.append(f"accepted: {outcome.taken:,} of {outcome.boxes:,} boxes; of these at most {outcome.bound:.1%} "
                     f"are wrong, with {1 - outcome.miss:.0%} confidence; {outcome.pictures:,} pictures need nobody, "
                     f"{outcome.left:,} go to people")
    for what, version in (("accepted", outcome.accepted), ("people", outcome.people), ("audit", outcome.audit)):
        if version is not None:
            lines.append(f"  {what:9} {version.ref}")
    if outcome.audit is not None:
        lines.append(f"check it: {outcome.audited:,} accepted boxes are in {outcome.audit.name}: {following}")
    return lines
