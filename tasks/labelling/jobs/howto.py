"""What people read beside the files: how to bring a job into their tool, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.labelling.jobs.job import Job

STEPS = {
    "coco": """\
Each part has `images/` and `annotations/instances.json` (COCO). Pictures stand there hardest first.
Correct the boxes and keep the file names. A picture counts as done when its boxes have changed; one that was looked at
and is right as it is says so under its key `visionmill`: `"status": "done"` (or `"skipped"`, `"open"`); `"by"` and
`"seconds"` are kept too.""",
    "superb": """\
Each part is an export of Superb AI Suite: `project.json`, `labels/`, `meta/`, and the pictures in `images/`.
Upload pictures and labels with Suite's own programs, and export again. What has the status SUBMITTED counts as done,
SKIPPED as skipped, WORKING as open. Boxes carry their uncertainty and difficulty: sort by them.""",
    "groundtruth": """\
Each part has `input.manifest`, the pictures in `images/`, `label-categories.json` and `labeling-job.json` (the names
that the job needs). Copy all to S3 and start a labelling job with another label attribute than the one that is there:
`adjusted-…` to draw anew, `verify-…` to say yes or no. Its output folder, or its `output.manifest` alone, comes
back.""",
    "cvat": """\
Each part has `images/`, `annotations.xml` (CVAT for images 1.1) and `labels.json`.
New task: paste `labels.json` under "Raw", add the pictures of `images/` (they are named in their order, hardest first),
then upload `annotations.xml` as annotations. When done, export the task as "CVAT for images 1.1". A picture counts as
done when its boxes have changed.""",
}


def how_to(job: Job, parts: Sequence[str]) -> str:
    """The text, as Markdown."""
    returned = "".join(f"- {note}\n" for note in dict.fromkeys(job.returned.values()))
    second = f"\n## Second look\nIn the folders `second-look-…`, to be looked at again:\n{returned}" if returned else ""
    asked = f"\n## What to do\n{job.instructions.strip()}\n" if job.instructions.strip() else ""
    return f"""# {job.name}: {len(job.order)} pictures of {job.version}, hardest first
Classes: {', '.join(job.classes)}
{asked}
## Files
Folders: {', '.join(f'`{part}`' for part in parts)}

{STEPS[job.desk]}

Do not change the pictures: they are shared with the store.
{second}
## Bringing it back
    visionmill label fetch {job.name}                     what was edited here, in place
    visionmill label fetch {job.name} --dir DIR           a folder or an archive that came back
    visionmill label fetch {job.name} --file ann=FILE     what one person sent; again for others
    visionmill label fetch {job.name} --unchanged accept  people have looked at all pictures, and the others are right

As often as you like: what is not finished stays open.
"""
