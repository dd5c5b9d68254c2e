"""`visionmill label send`: pictures with their boxes go to people, hardest first."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.commands.label.help import parser
from tasks.base.errors import UserError

EXAMPLES = """\
  visionmill label send pool-picked --to label-studio --hardest 200 --instructions how.md
  visionmill label send pool-picked --to files                          COCO, in labelling/pool-picked/part-1
  visionmill label send pool-picked --to files --format cvat --dir ~/for-ann
  visionmill label send cells --to files --format groundtruth --verify --bucket s3://bucket/cells
  visionmill label send pool-picked --to files --hardest 400            goes on: 200 more, nothing twice"""
FORMATS = ("coco", "superb", "groundtruth", "cvat")


def main(words: list[str]) -> int:
    """Send a version's hardest pictures, or go on with a job that was interrupted."""
    options = _options(words)
    from flows.datastore import open_store
    from flows.workspace import enter
    from tasks.labelling.jobs.sending import send

    workspace = enter()
    store = open_store(workspace)
    version = store.find(options.dataset)
    desk = options.format or "coco" if options.to == "files" else options.to
    job = send(version, store, desk, name=options.job, hardest=options.hardest,
               instructions=_text(options.instructions), workspace=workspace, options=_of_desk(options), tell=print)
    where = job.where.get("folder") or job.where.get("page")
    print(f"job {job.name}: {len(job.order):,} pictures of {job.version} are with {job.desk} ({where})\n"
          f"next:    visionmill label status {job.name}; visionmill label fetch {job.name}")
    return 0


def _options(words: list[str]) -> argparse.Namespace:
    arguments = parser("send", EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]", help="a version with pre-labels, or without any")
    arguments.add_argument("--to", required=True, choices=("label-studio", "files"))
    arguments.add_argument("--format", choices=FORMATS, help="of the files (default: coco)")
    arguments.add_argument("--hardest", type=int, metavar="N", help="this many pictures, the hardest (default: all)")
    arguments.add_argument("--instructions", type=Path, metavar="FILE", help="text for the people")
    arguments.add_argument("--job", metavar="NAME", help="of the job (default: the dataset's); another one makes a "
                                                         "second job of the same version")
    arguments.add_argument("--dir", type=Path, metavar="DIR", help="where the files go (default: labelling/JOB)")
    arguments.add_argument("--verify", action="store_true", help="groundtruth: a job that says good or bad, and "
                                                                 "changes nothing (default: an adjustment job)")
    arguments.add_argument("--bucket", metavar="s3://…", help="groundtruth: where the pictures will be")
    options = arguments.parse_args(words)
    given = [name for name in ("format", "dir", "bucket") if getattr(options, name)] + ["verify"] * options.verify
    if options.to != "files" and given:
        raise UserError(f"--{given[0]} is for files", where=f"--to {options.to}", mend="--to files")
    return options


def _of_desk(options: argparse.Namespace) -> dict[str, Any]:
    asked = {"dir": str(options.dir.expanduser().resolve()) if options.dir else None, "bucket": options.bucket,
             "verify": options.verify or None}
    return {key: value for key, value in asked.items() if value is not None}


def _text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the instructions cannot be read: {error}", where=file, mend="--instructions FILE") from None
