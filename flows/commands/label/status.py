"""`visionmill label status`: how far each labelling job is, and who has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.label.help import parser

if TYPE_CHECKING:
    from tasks.labelling.jobs.desk import Status
    from tasks.labelling.jobs.job import Job

EXAMPLES = """\
  visionmill label status
  visionmill label status pool-picked"""


def main(words: list[str]) -> int:
    """Ask each job's desk, and tell what was fetched so far."""
    arguments = parser("status", EXAMPLES)
    arguments.add_argument("job", nargs="?", metavar="JOB")
    options = arguments.parse_args(words)
    from flows.workspace import enter
    from tasks.labelling.jobs.job import jobs, read_job

    workspace = enter()
    found = [read_job(options.job, workspace)] if options.job else jobs(workspace)
    if not found:
        print("no labelling job; visionmill label send NAME --to label-studio")
    for job in found:
        print("\n".join(_lines(job, workspace)))
    return 0


def _lines(job: Job, workspace: Path) -> list[str]:
    from tasks.labelling.jobs.away import ask

    status, since = ask(job, workspace)
    lines = [f"{job.name}: {status.done:,} of {status.total:,} pictures done"
             + (f", {status.partial:,} begun" if status.partial else "")]
    lines.append(f"  {_away(job, status)}")
    if status.total < len(job.order):
        lines.append(f"  {len(job.order) - status.total:,} were deleted there: visionmill label send {job.version} "
                     f"--to {job.desk} --job {job.name} hands them out again")
    if status.away:
        lines.append(f"  not reached since {since}: {status.away}")
    people = ", ".join(f"{who} {count:,}" for who, count in sorted(status.people.items(), key=lambda one: -one[1]))
    minutes = "" if status.seconds is None else f"; {status.seconds / 60:.1f} minutes"
    lines += [f"  by {people}{minutes}"] if people else []
    if job.returned:
        lines.append(f"  second look: {len(job.returned):,} pictures ({'; '.join(sorted(set(job.returned.values())))})")
    return [*lines, *_corrections(job)]


def _away(job: Job, status: Status) -> str:
    if job.sent is None:
        to = job.desk if job.desk == "label-studio" else f"files --format {job.desk}"
        return (f"sending to {job.desk} was interrupted; to go on: visionmill label send {job.version} --to {to} "
                f"--job {job.name}")
    left = status.total - status.done
    return f"{left:,} are with {job.desk} since {job.sent}" if left else f"all are back from {job.desk}"


def _corrections(job: Job) -> list[str]:
    from tasks.labelling.jobs.fetching import last_fetch

    last = last_fetch(job)
    if not last.get("version"):
        return ["  nothing was fetched yet"]
    counts = ", ".join(f"{count:,} {name}" for name, count in last["counts"].items() if count)
    conflicts = f"; {last['conflicts']:,} conflicts" if last["conflicts"] else ""
    return [f"  fetched {last['when']} as {last['version']}: {counts or 'no box'}; {last['clicks']:g} clicks, "
            f"{last['from_nothing']:g} from nothing{conflicts}"]
