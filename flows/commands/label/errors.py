"""`label errors`: labels that look wrong, worst first; a page of them, and a version that people can review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.commands.label.help import parser

EXAMPLES = """\
  visionmill label errors cells                            5 small trainings, each judges what it has not seen
  visionmill label errors cells --predictions found.parquet
  visionmill label errors cells --model cells@2            its pre-labels: visionmill label auto cells --model …
  visionmill label send cells-review --to label-studio; visionmill label fetch cells-review
  visionmill data merge cells cells-review-labelled --out cells --conflict human"""


def main(words: list[str]) -> int:
    """Find suspicious labels, tell them, write the page and the review queue."""
    options = _parse(words)
    from flows.datastore import open_store, owner, track
    from flows.workspace import enter
    from tasks.base.params import check
    from tasks.data.table import read_dataset
    from tasks.labelling.checking.folds import Folds
    from tasks.labelling.checking.queue import queue
    from tasks.labelling.checking.speaking import find_speaker
    from tasks.labelling.checking.suspects import SURE, Settings, find_suspects
    from tasks.labelling.checking.telling import in_lines
    from tasks.labelling.mirroring import flip_of
    from tasks.reporting.labels.page import Shown, write_page

    workspace, store = enter(), open_store()
    given = {name: value for name in ("folds", "steps", "size", "init", "seed")
             if (value := getattr(options, name)) is not None}
    folds = check(Folds, {"flip": flip_of(workspace), **given}, "options")
    asked = {name: value for name in ("below", "sure") if (value := getattr(options, name)) is not None}
    settings = check(Settings, asked, "options")
    version = store.find(options.dataset)
    _ = version.meta
    dataset = read_dataset(version.folder)
    found = find_speaker(store, version, dataset, workspace, folds, predictions=options.predictions,
                         model=options.model)
    suspects = find_suspects(dataset, found.spoken.predictions, settings, found.spoken.images)
    print("\n".join(in_lines(suspects, dataset)))
    page = options.page or Path(f"{version.ref.replace('@', '-')}-errors.html")
    facts = [*found.facts, ("They count from", f"probability {suspects.sure:.2f}")]
    facts += [("Weak", "most that agree with the labels are less likely right than wrong: little is found")
              ] * (suspects.usual < SURE[0])
    write_page(Shown(version.ref, dataset, store.pictures, suspects.places, suspects.pictures, facts), page)
    print(f"page:  {page}")
    out = options.out or f"{version.name}-review"
    made = queue(store, version, suspects, by=found.spoken.by, top=options.top, out=out, owner=owner(),
                 said=found.said)
    if made is None:
        print("queue: nothing to review")
        return 0
    track(store, made[0])
    print(f"queue: {made[0].ref}, worst first; next: visionmill label send {made[0].name} --to label-studio")
    return 0


def _parse(words: list[str]) -> Any:
    arguments = parser("errors", EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]")
    arguments.add_argument("--folds", type=int, help="small trainings, each judges what it has not seen (default: 5)")
    arguments.add_argument("--steps", type=int, help="of each training (default: 400)")
    arguments.add_argument("--size", type=int, help="longer side of its input in pixels (default: 224)")
    arguments.add_argument("--init", choices=("imagenet", "scratch"), help="its start (default: imagenet)")
    arguments.add_argument("--seed", type=int, help="of the folds and of the trainings")
    arguments.add_argument("--predictions", metavar="FILE|NAME[@N]", help="a Parquet table, or a pre-labelled version")
    arguments.add_argument("--model", help="the pre-labels of this model, which was not trained on these pictures")
    arguments.add_argument("--below", type=float, help="quality below which a place is listed (default: 0.5)")
    arguments.add_argument("--sure", type=float, help="probability from which a prediction speaks against labels "
                           "(default: by the predictions themselves, 0.95 at most); lower finds more, and more falsely")
    arguments.add_argument("--top", type=int, default=200, help="pictures in the queue at most (default: 200)")
    arguments.add_argument("--out", metavar="QUEUE", help="the queue's name (default: NAME-review)")
    arguments.add_argument("--page", type=Path, metavar="FILE", help="(default: NAME-N-errors.html)")
    return arguments.parse_args(words)
