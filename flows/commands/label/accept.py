"""`label accept`: boxes that need no person, by thresholds that reviewed labels have earned; and the check of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.label.help import parser
from flows.datastore import open_store, owner, track

if TYPE_CHECKING:
    from tasks.data.store.layout import Store

EXAMPLES = """\
  visionmill label accept pool-auto --max-error 0.05       pool-auto-accepted, -people and -audit
  visionmill label accept pool-auto --reviewed pool-picked-labelled --per pooled
  visionmill label send pool-auto-audit --to label-studio; visionmill label fetch pool-auto-audit
  visionmill label accept pool-auto --check pool-auto-audit-labelled        whether the promise holds"""


def main(words: list[str]) -> int:
    """Accept what is above the thresholds, or check what was accepted; 3 where the promise is broken."""
    options = _parse(words)
    store = open_store()
    return _check(store, options) if options.check else _accept(store, options)


def _accept(store: Store, options: Any) -> int:
    from tasks.base.params import check
    from tasks.data.table import read_dataset
    from tasks.labelling.checking.accepting import earn_thresholds, publish_accepted
    from tasks.labelling.checking.elsewhere import boxes_of_model
    from tasks.labelling.checking.reviewed import find_reviewed, reviewed_in
    from tasks.labelling.checking.telling import earned_in_words, outcome_in_words
    from tasks.labelling.jobs.sending import job_name
    from tasks.labels.accept import Settings
    from tasks.labels.bounds import needed

    settings = check(Settings, {"max_error": options.max_error, "miss": options.miss, "per": options.per}, "options")
    version = store.find(options.dataset)
    _ = version.meta
    told = read_dataset(version.folder)
    _, model = boxes_of_model(told, version.ref, options.model)
    reviewed = reviewed_in(store.find(options.reviewed), told.meta.classes, named=True) if options.reviewed else (
        find_reviewed(store, told, skip=[f"{version.name}-{part}" for part in ("accepted", "people", "audit")]))
    earned = earn_thresholds(store, told, reviewed, model, settings)
    print("\n".join(earned_in_words(earned, settings)))
    count = needed(settings.max_error, settings.miss) if options.audit is None else options.audit
    outcome = publish_accepted(store, version, reviewed, earned, model, settings, owner=owner(),
                               out=options.out or f"{version.name}-accepted", audited=count)
    for made in (outcome.accepted, outcome.people, outcome.audit):
        if made is not None:
            track(store, made)
    job = job_name(outcome.audit, Path())[0] if outcome.audit else ""
    following = [f"send {version.name}-audit --to label-studio", f"fetch {job}",
                 f"accept {version.name} --check {job}-labelled"]
    print("\n".join(outcome_in_words(outcome, "; ".join(f"visionmill label {words}" for words in following))))
    return 0


def _check(store: Store, options: Any) -> int:
    from tasks.labelling.checking.auditing import check_audit

    found = check_audit(store, options.dataset, store.find(options.check))
    print(f"{found.version.ref}: {found.found.said}")
    if found.outstanding > 0:
        print(f"{found.outstanding:,} of the {found.asked:,} boxes of the audit have not come back")
    return 3 if found.found.alarm else 0


def _parse(words: list[str]) -> Any:
    arguments = parser("accept", EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]", help="a pre-labelled version: visionmill label auto")
    arguments.add_argument("--max-error", type=float, default=0.05, help="share of accepted boxes that may be wrong")
    arguments.add_argument("--miss", type=float, default=0.05, help="probability with which that may fail")
    arguments.add_argument("--per", choices=("class", "pooled"), default="class", help="thresholds (default: class)")
    arguments.add_argument("--reviewed", metavar="NAME[@N]", help="labels of people (default: all of this store)")
    arguments.add_argument("--model", help="whose boxes, where there are several models'")
    arguments.add_argument("--audit", type=int, metavar="N", help="accepted boxes that people are to check; 0: none")
    arguments.add_argument("--out", metavar="NAME", help="(default: NAME-accepted)")
    arguments.add_argument("--check", metavar="NAME[@N]", help="an audit that came back")
    return arguments.parse_args(words)
