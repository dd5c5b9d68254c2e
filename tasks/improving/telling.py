"""The rounds in words: what each one did, what it cost, what it brought."""

from __future__ import annotations

from typing import Any

from tasks.base.errors import UserError
from tasks.base.progress import duration
from tasks.improving.state import CONTROL, MAIN, STEPS, State

ARROWS = {"up": "↑", "down": "↓", "level": "→", None: " "}
SHOWN = 2


def cost(state: State, round_: int, arm: str) -> dict[str, Any]:
    """What an arm has cost up to a round, that one included: pictures, boxes, clicks, from_nothing, seconds (None where
    nobody counted)."""
    total: dict[str, Any] = {"pictures": 0, "boxes": 0, "clicks": 0.0, "from_nothing": 0.0, "seconds": None}
    for number in range(1, round_ + 1):
        out = state.out(number, "fetch", arm)
        for key in ("pictures", "boxes", "clicks", "from_nothing"):
            total[key] += out.get(key, 0)
        if out.get("seconds") is not None:
            total["seconds"] = (total["seconds"] or 0.0) + out["seconds"]
    return total


def told_round(state: State, round_: int) -> list[str]:
    """A round that is over, a block of lines: what was picked and why, labels, cost, accuracy with arrows."""
    head = "the labels that are there" if round_ == 0 else f"round {round_} of {state.settings.rounds}"
    lines = ["", head]
    for arm in [MAIN] if round_ == 0 else state.arms:
        name = f"  {'control: ' if arm == CONTROL else ''}"
        if round_:
            lines += [f"{name}{line}" for line in _picked(state, round_, arm)]
        lines += [f"{name}{line}" for line in _accuracy(state, round_, arm)]
    if round_ and CONTROL in state.arms:
        lines += _beside(state, round_)
    return lines


def _picked(state: State, round_: int, arm: str) -> list[str]:
    mined, fetched, lines = state.out(round_, "mine", arm), state.out(round_, "fetch", arm), list[str]()
    if mined:
        lines.append(f"picked    {mined['pictures']:,} pictures by {mined['strategy']}")
        lines += [f"          {reason['reason']}" for reason in mined["reasons"][:SHOWN]]
        lines += [f"          {note}" for note in mined["notes"]]
    if fetched:
        whole = cost(state, round_, arm)
        minutes = f", {duration(fetched['seconds'])} of people" if fetched["seconds"] is not None else ""
        lines += [f"labelled  {fetched['boxes']:,} boxes: {_counts(fetched['counts'])}",
                  f"cost      {fetched['clicks']:,.0f} clicks{_share(fetched)}{minutes}; in all "
                  f"{whole['boxes']:,} boxes, {whole['clicks']:,.0f} clicks"]
        if fetched.get("missing"):
            lines.append(f"missing   {fetched['missing']:,} pictures have not come back")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def _share(fetched: dict[str, Any]) -> str:
    nothing = fetched["from_nothing"]
    return f", {fetched['clicks'] / nothing:.0%} of the {nothing:,.0f} from nothing" if nothing else ""


def _accuracy(state: State, round_: int, arm: str) -> list[str]:
    found = state.out(round_, "compare", arm)
    if not found:
        return ["accuracy  not measured"]
    lines: list[str] = []
    for name, one in (("all", found["overall"]), *found["classes"].items()):
        lead = "accuracy  " if not lines else " " * 10
        lines.append(f"{lead}{name:14} AP50 {told_measure(one['AP50'])}    AP {told_measure(one['AP'])}")
    return lines


def told_measure(one: dict[str, Any]) -> str:
    """A value with its interval, an arrow, and the change."""
    value, low, high, moved = one["value"], one["low"], one["high"], one["change"]
    if value is None:
        return f"{'n/a':28}"
    interval = f"({low:.3f}–{high:.3f})" if low is not None else " " * 13
    step = f"{100 * moved['value']:+5.1f}" if moved and moved["value"] is not None else " " * 5
    return f"{value:.3f} {interval} {ARROWS[one['arrow']]} {step}"


def _beside(state: State, round_: int) -> list[str]:
    found = state.out(round_, "compare", CONTROL).get("overall", {}).get("AP50", {}).get("beside")
    if not found or found["value"] is None:
        return []
    verdict = {"up": "ahead of", "down": "behind", "level": "level with", None: "beside"}[found["arrow"]]
    mine, theirs = (cost(state, round_, arm) for arm in (MAIN, CONTROL))
    interval = f" ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})" if found["low"] is not None else ""
    return [f"  {verdict} the control: AP50 {100 * found['value']:+.1f} points{interval}, with {mine['boxes']:,} boxes "
            f"and {mine['clicks']:,.0f} clicks beside {theirs['boxes']:,} and {theirs['clicks']:,.0f}"]


def told_status(state: State, stopped: bool = False) -> list[str]:
    """Where the rounds are: what they are about, each round in a line, what is waited for, what comes next."""
    about = state.about
    answers = f"an oracle that knows {about['truth']['ref']}" if about["oracle"] else state.settings.desk
    lines = [f"rounds     {state.name}: pool {about['pool']['ref']}, judged on {about['judge']['ref']}, answered by "
             f"{answers}, trained by {'the line' if state.settings.train == 'line' else 'a light training'}"]
    lines += [line for round_ in range(state.round + 1) for arm in ([MAIN] if not round_ else state.arms)
              for line in [_row(state, round_, arm)] if line]
    todo = state.todo()
    if state.waiting:
        lines.append(f"waiting    {state.waiting}")
    if stopped:
        lines.append("stopped    by a person; visionmill improve goes on")
    if state.undone:
        lines.append(f"taken back {len(state.undone)} steps, the last one: {state.undone[-1].todo}; "
                     "visionmill improve redo puts it back, redo --round all of that round")
    if todo:
        return [*lines, f"next       {todo}"]
    more = (f"a new pool: visionmill improve --name ANOTHER --data {state.last('set')['ref']} --pool NEW" if state.ended
            else f"visionmill improve --rounds {state.settings.rounds + 3} goes on")
    return [*lines, f"next       nothing: {state.ended or 'all rounds are done'}; {more}"]


def told_steps(state: State, round_: int) -> list[str]:
    """One round to look at: what it brought, as when it was over, and each of its steps with what came out.

    Raises:
        UserError: that round has not begun.
    """
    mine = [one for one in state.entries if one.round == round_]
    if not mine:
        raise UserError(f"round {round_} has not begun", where=state.name, mend=f"--round 0 to {state.round}")
    lines = [*told_round(state, round_), "", "steps"]
    for one in mine:
        arm = "" if one.arm == MAIN else f" ({one.arm})"
        took = f"left out {one.when}" if one.outcome == "skipped" else f"{one.when}, took {duration(one.seconds)}"
        lines += [f"  {one.step}{arm}: {took}", f"      {one.said}"]
    return lines


def _row(state: State, round_: int, arm: str) -> str:
    mine = [one for one in state.entries if one.round == round_ and one.arm == arm]
    if not mine:
        return ""
    # steps may be left out ahead of their time
    at = max([one for one in mine if one.outcome == "done"] or mine, key=lambda one: STEPS.index(one.step)).step
    left_out = [one.step for one in mine if one.outcome == "skipped"]
    found = state.out(round_, "compare", arm).get("overall", {}).get("AP50")
    fetched = state.out(round_, "fetch", arm)
    minutes = f", {duration(fetched['seconds'])}" if fetched.get("seconds") is not None else ""
    parts = [f"{fetched['pictures']:,} pictures, {fetched['boxes']:,} boxes, {fetched['clicks']:,.0f} clicks{minutes}"
             ] if fetched else []
    parts += [f"AP50 {told_measure(found).strip()}"] if found else []
    parts += [f"at {at}"] if at != "next" else []
    parts += [f"left out: {', '.join(left_out)}"] if left_out else []
    beside = "" if arm == MAIN else f" {arm}"
    return f"  {f'round {round_}{beside}':16} {'; '.join(parts) or at}"
