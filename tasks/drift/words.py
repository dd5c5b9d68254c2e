"""What a look says, in words: careful ones, since a test that finds nothing has not shown that there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tasks.drift.look import Look
    from tasks.drift.testing import Test

# name → title, unit, statistic
QUESTIONS = {
    "looks": ("What they show", "", "kernel mean discrepancy of the embeddings"),
    "strangers": ("Strangers among them", "", "new neighbours of new pictures, by embedding"),
    "brightness": ("Brightness", "0 to 1", "Anderson-Darling"),
    "contrast": ("Contrast", "0 to 1", "Anderson-Darling"),
    "saturation": ("Saturation", "0 to 1", "Anderson-Darling"),
    "sharpness": ("Sharpness", "ratio", "Anderson-Darling"),
    "size": ("Size", "px", "Anderson-Darling"),
    "aspect": ("Width / height", "ratio", "Anderson-Darling"),
    "boxes": ("Number of boxes", "", "Anderson-Darling"),
    "scores": ("Best score", "0 to 1", "Anderson-Darling"),
    "classes": ("Predicted classes", "", "difference of the classes' mean numbers"),
}
PREDICTED = ("boxes", "scores", "classes")
CONSTANT = "the same for all pictures, old and new"
NOT_HELD_OUT = ("the dataset has no pictures that the model did not learn from, and its scores on the others are too "
                "high")
# a shift of a mean by so many standard deviations should be seen; who cannot see it has too few pictures
COARSE = 1.0
SHOWN = 5  # unreadable files that a terminal shows


def quiet_verdict(smallest: float, smallest_p: float, strictest: float) -> str:
    """What may be said where no test gave an alarm."""
    return "too few" if smallest > COARSE or smallest_p > strictest else "none seen"


def nothing(look: Look) -> str:
    """Why there is nothing to compare."""
    if look.counted[0] < 2:
        return "fewer than two pictures of the training can be compared"
    if not look.arrived.found:
        return "the folder has no pictures"
    if look.copies and look.copies == len(look.arrived.entries):
        return f"all {look.copies} pictures are in the dataset already"
    return "none of the pictures that arrived can be compared"


def sentence(look: Look) -> str:
    """The verdict in one or two sentences."""
    if look.verdict == "drift":
        alarms = "; ".join(told(test) for test in look.tests if test.alarm)
        return f"Drift: {alarms}. Pictures without drift give an alarm in at most " \
               f"{100 * look.settings.false_alarm:g} of 100 looks."
    if not look.tests:
        return f"Too few to tell: {nothing(look)}."
    small = f"a shift by less than {look.smallest:.1f} standard deviations"
    if look.verdict == "too few":
        return f"Too few to tell: with {_count(look.counted[1])} that count, {small} would not be seen."
    return f"No drift seen in {_count(look.counted[1])}; {small} may have been missed."


def told(test: Test) -> str:
    """What a test says: `brightness is lower (median 0.31 against 0.52)`."""
    title = QUESTIONS[test.name][0].lower()
    if test.side.old.ndim > 1:
        return {"looks": "what the pictures show is different", "strangers": "some pictures are unlike all others",
                "classes": "the predicted classes are different"}[test.name]
    old, new = middle(test)
    same = f"{old:.3g}" == f"{new:.3g}"
    if same:
        return f"{title} is spread differently around {new:.3g}"
    way = "higher" if new > old else "lower"
    if test.name == "boxes":
        return f"{'more' if new > old else 'fewer'} boxes a picture (median {new:.3g} against {old:.3g})"
    return f"{title} is {way} (median {new:.3g} against {old:.3g})"


def verdict_of(test: Test) -> str:
    return f"drift: {told(test)}" if test.alarm else "nothing seen"


def way_of(test: Test) -> str:
    """The verdict in two words; the numbers stand beside it."""
    if not test.alarm:
        return "nothing seen"
    if test.side.old.ndim > 1:
        return "drift"
    old, new = middle(test)
    return "drift: spread" if f"{old:.3g}" == f"{new:.3g}" else f"drift: {'higher' if new > old else 'lower'}"


def middle(test: Test) -> tuple[float, float]:
    """Medians of old and new."""
    return float(np.median(test.side.old)), float(np.median(test.side.new))


def as_json(look: Look) -> dict[str, Any]:
    """A look as plain data."""
    return {
        "schema": 1, "verdict": look.verdict, "text": sentence(look), "false_alarm": look.settings.false_alarm,
        "folder": str(look.arrived.folder), "reference": str(look.reference.folder),
        "reference_digest": look.reference.digest, "model": look.model,
        "pictures": {"found": look.arrived.found, "opened": len(look.arrived.entries) + len(look.arrived.unreadable),
                     "in_dataset": look.copies, "compared": look.looked[1], "counted": look.counted[1],
                     "training_compared": look.looked[0], "training_counted": look.counted[0],
                     "held_out_counted": look.held[0], "predicted": look.held[1]},
        "unreadable": [{"file": name, "reason": why} for name, why in look.unreadable],
        "smallest_shift_sd": look.smallest, "far_share": look.far, "seed": look.settings.seed,
        "tests": [_test_json(test) for test in look.tests], "untested": look.untested,
        "most_unlike": [{"file": one.entry.name, "nearest": one.nearest.name, "distance": round(one.distance, 4)}
                        for one in look.strangers]}


def _test_json(test: Test) -> dict[str, Any]:
    value = {"name": test.name, "statistic": QUESTIONS[test.name][2], "value": test.chance.value, "p": test.chance.p,
             "permutations": test.chance.draws, "threshold": test.threshold, "alarm": test.alarm, "gap": test.gap}
    if test.side.old.ndim == 1:
        value |= dict(zip(("median_old", "median_new"), middle(test), strict=True))
    return value


def _count(number: int) -> str:
    return f"{number} picture" if number == 1 else f"{number} pictures"


def report(found: dict[str, Any]) -> str:
    """A look, in the form of `as_json`, as lines for a terminal."""
    pictures = found["pictures"]
    lines = [found["text"], f"{pictures['found']} arrived, {pictures['counted']} compared; "
             f"{pictures['training_counted']} of the training, {pictures['held_out_counted']} held out"]
    notes = {"in the dataset already": pictures["in_dataset"], "unreadable": len(found["unreadable"])}
    lines += [f"{count} {what}, left out" for what, count in notes.items() if count]
    lines += [f"  {one['file']}: {one['reason']}" for one in found["unreadable"][:SHOWN]]
    lines += [f"  {QUESTIONS[test['name']][0]:22} p {test['p']:<9.2g} threshold {test['threshold']:<9.2g}"
              f"{'drift' if test['alarm'] else ''}".rstrip() for test in found["tests"]]
    return "\n".join([*lines, *(f"  {QUESTIONS[name][0]:22} not tested: {why}"
                                for name, why in found["untested"].items())])
