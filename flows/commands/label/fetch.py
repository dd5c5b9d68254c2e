"""`visionmill label fetch`: what people have corrected becomes a dataset version; again and again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.label.help import parser
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from tasks.labelling.jobs.desk import Desk
    from tasks.labelling.jobs.fetching import Fetched
    from tasks.labelling.jobs.job import Job

EXAMPLES = """\
  visionmill label fetch pool-picked                              pool-picked-labelled@1, and @2 when there is more
  visionmill label fetch pool-picked --dir ~/from-ann --who ann
  visionmill label fetch pool-picked --file ann=a.json bob=b.json
  visionmill label fetch pool-picked --file back.xml --map RBC=rbc --unchanged accept"""
SHOWN = 20


def main(words: list[str]) -> int:
    """Fetch, publish, and tell what it cost."""
    options = _options(words)
    from flows.datastore import open_store, owner, track
    from flows.workspace import enter
    from tasks.labelling.jobs.fetching import fetch
    from tasks.labelling.jobs.job import read_job

    workspace = enter()
    store, job = open_store(workspace), read_job(options.job, workspace)
    out = options.out or f"{job.name}-labelled"
    found = fetch(job, store, out, owner(workspace), desk=_desk(job, options, workspace))
    if found.version is not None:
        track(store, found.version)
    _tell(found, job)
    return 0


def _options(words: list[str]) -> argparse.Namespace:
    arguments = parser("fetch", EXAMPLES)
    arguments.add_argument("job", metavar="JOB")
    arguments.add_argument("--out", metavar="NAME", help="of the dataset (default: JOB-labelled)")
    arguments.add_argument("--dir", "--file", dest="back", nargs="+", action="extend", default=[],
                           metavar="[WHO=]PATH", help="files: what came back, a folder, an archive or a file; "
                                                      "default: the folder that was sent, where it was edited")
    arguments.add_argument("--format", metavar="NAME", help="files: of what came back (default: as it was sent)")
    arguments.add_argument("--who", help="files: whose work it is, where they do not say")
    arguments.add_argument("--map", nargs="+", action="extend", default=[], metavar="THEIRS=OURS",
                           help="files: classes by another name")
    arguments.add_argument("--unknown", choices=("stop", "ignore", "add"), default="stop",
                           help="files: classes that the job does not have (default: stop)")
    arguments.add_argument("--unchanged", choices=("open", "accept"), default="open",
                           help="files: pictures whose boxes are as they were sent were not looked at, or are right")
    return arguments.parse_args(words)


def _desk(job: Job, options: argparse.Namespace, workspace: Path) -> Desk:
    from tasks.labelling.jobs.desk import desk_of
    from tasks.labelling.jobs.files import FilesDesk
    from tasks.labelling.jobs.reading import Back, Coming

    desk = desk_of(job, workspace)
    if isinstance(desk, FilesDesk):
        desk.coming = Coming(options.format, options.who, options.unknown, dict(map(_pair, options.map)),
                             options.unchanged)
        desk.back = [Back(Path(path), who) for path, who in map(_place, options.back)]
    elif options.back or options.format or options.who or options.map:
        raise UserError(f"job {job.name!r} is with {job.desk}: nothing is read from files",
                        where=job.folder, mend=f"visionmill label fetch {job.name}")
    return desk


def _pair(word: str) -> tuple[str, str]:
    old, equals, new = word.partition("=")
    if not equals or not old or not new:
        raise UserError(f"--map {word!r} is not THEIRS=OURS")
    return old, new


def _place(word: str) -> tuple[str, str | None]:
    who, equals, path = word.partition("=")
    return (path, who) if equals and who and "/" not in who and not Path(word).exists() else (word, None)


def _tell(found: Fetched, job: Job) -> None:
    from tasks.labelling.jobs.fetching import conflicts_file

    for line in found.told[:SHOWN]:
        print(line)
    if len(found.told) > SHOWN:
        print(f"… and {len(found.told) - SHOWN} more, listed in {job.folder / 'fetched.json'}")
    print(f"{found.done:,} of {found.total:,} pictures are done")
    if found.version is None:
        print("nothing to make a version of yet")
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in found.clicks.counts.items() if count)
    share = "" if found.clicks.share is None else f" ({found.clicks.share:.2f} of it)"
    print(f"boxes:   {counts or 'none'}\n"
          f"clicks:  {found.clicks.clicks:g} with what was sent, {found.clicks.from_nothing:g} from nothing{share}")
    if found.conflicts.num_rows:
        print(f"conflicts: {found.conflicts.num_rows:,} boxes of earlier people that later ones do not have, listed in "
              f"{conflicts_file(job)}")
    print(f"{'made' if found.new else 'nothing new:'} {found.version.ref}\n"
          f"next:    visionmill data merge NAME {found.version.ref} --out NAME --conflict human")
