"""`visionmill label return`: pictures go back to people for a second look."""

from __future__ import annotations

from flows.commands.label.help import parser

EXAMPLES = """\
  visionmill label return pool-picked --pictures 0012.jpg 0031.jpg --note "platelets at the edge are missing"
  visionmill label return pool-picked --pictures 3fa2b1c0 --note "two cells in one box\""""


def main(words: list[str]) -> int:
    """Give pictures back with a note; they are open again."""
    arguments = parser("return", EXAMPLES)
    arguments.add_argument("job", metavar="JOB")
    arguments.add_argument("--pictures", nargs="+", required=True, metavar="NAME",
                           help="file names, paths, or beginnings of digests")
    arguments.add_argument("--note", required=True, help="what to look at")
    options = arguments.parse_args(words)
    from flows.datastore import open_store
    from flows.workspace import enter
    from tasks.labelling.jobs.desk import desk_of
    from tasks.labelling.jobs.job import read_job
    from tasks.labelling.jobs.returning import find_pictures, give_back

    workspace = enter()
    job = read_job(options.job, workspace)
    digests = find_pictures(job, open_store(workspace), options.pictures)
    desk = desk_of(job, workspace)
    give_back(job, digests, options.note, desk=desk)
    for line in getattr(desk, "told", []):
        print(line)
    print(f"{len(digests):,} pictures of job {job.name} are open again at {job.desk}\n"
          f"next:    visionmill label status {job.name}")
    return 0
