"""The project of a job: its labelling interface, and how it is found again."""

from __future__ import annotations

import secrets
from html import escape
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from tasks.base.errors import UserError
from tasks.data.formats._labelstudio_shapes import CONTROLS
from tasks.data.formats._superb_json import mapping
from tasks.labelling.jobs.job import Job, write_job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio.client import Client, StudioMissing, rows_in

# our ids in a task's data
OURS = "visionmill"
# of the kinds of regions those that a label of ours can be
KINDS = ("rectanglelabels", "polygonlabels")
LONGEST_TITLE = 50


def label_config(classes: list[str], polygons: bool) -> str:
    """The labelling interface: the note of a second look, what is suspected, the picture, and a tool for boxes (and
    polygons)."""
    view = Element("View")
    # without a name: with two named things to look at Label Studio refuses uploaded pictures
    SubElement(view, "Header", {"value": "$note", "size": "4"})
    SubElement(view, "Header", {"value": "$asked", "size": "5"})
    SubElement(view, "Image", {"name": "image", "value": "$image", "zoom": "true", "zoomControl": "true",
                               "rotateControl": "false"})
    for kind in KINDS if polygons else KINDS[:1]:
        name, tag = CONTROLS[kind]
        # a turned box has no place in the table
        upright = {"canRotate": "false"} if kind == KINDS[0] else {}
        control = SubElement(view, tag, {"name": name, "toName": "image", "opacity": "0.1", "strokeWidth": "2",
                                         **upright})
        for label in classes:
            SubElement(control, "Label", {"value": label})
    return tostring(view, encoding="unicode")


def find_project(client: Client, job: Job) -> int:
    """The id of a job's project.

    Raises:
        StudioMissing: it was never made, it was deleted, or it is on another server.
    """
    number = job.where.get("project")
    if not isinstance(number, int) or job.where.get("server") != client.access.server:
        raise StudioMissing(f"the job {job.name} has no project in Label Studio", where=client.url,
                            mend=f"{send_again(job)} goes on where it was")
    try:
        known = client.get(f"/api/projects/{number}")
    except StudioMissing:
        known = None
    if known is None or not _is_ours(client, job, number, known):
        raise StudioMissing(f"the project {number} of the job {job.name} is not in Label Studio any more",
                            where=f"{client.url}/projects/{number}",
                            mend=f"what was fetched is kept; for the rest {send_again(job)} makes a new project")
    return number


def _is_ours(client: Client, job: Job, number: int, known: Any) -> bool:
    """Another database may have given the number to another project; people may have changed the description."""
    key = str(job.where.get("key"))
    if isinstance(known, dict) and _mark(key) in str(known.get("description")):
        return True
    answer = client.get("/api/tasks", project=number, page=1, page_size=1, fields="task_only", resolve_uri="false")
    told = [mapping(mapping(task.get("data")).get(OURS)) for task in rows_in(answer, "tasks", client.url)]
    return any(one.get("key") == key for one in told)


def make_project(client: Client, job: Job, pictures: Pictures) -> int:
    """The id of the job's project, which is made where it is missing, once: its key is noted before it is asked for."""
    try:
        number = _told(client, job, find_project(client, job))
    except StudioMissing:
        key, server = job.where.get("key"), client.access.server
        if not isinstance(key, str) or job.where.get("server") != server or job.where.get("project"):
            key = secrets.token_hex(8)
            job.where = {"server": server, "key": key}
            write_job(job)
        number = _with_key(client, key) or _made(client, job, key, has_polygons(pictures))
    where = {**job.where, "project": number, "url": client.url, "page": f"{client.url}/projects/{number}/data"}
    if where != job.where:
        job.where = where
        write_job(job)
    return number


def _told(client: Client, job: Job, number: int) -> int:
    """The project, after it has the job's instructions of now."""
    wanted = {"expert_instruction": _as_page(job.instructions), "show_instruction": bool(job.instructions.strip())}
    has = client.get(f"/api/projects/{number}")
    if wanted["show_instruction"] and has.get("expert_instruction") != wanted["expert_instruction"]:
        client.patch(f"/api/projects/{number}", wanted)
    return number


def _with_key(client: Client, key: str) -> int | None:
    """The project that a killed command made; of two, which only a request under way while it was killed can make, the
    older."""
    found = [project["id"] for project in client.pages("/api/projects", "results", include="id,description")
             if _mark(key) in str(project.get("description"))]
    return min(found, default=None)


def _made(client: Client, job: Job, key: str, polygons: bool) -> int:
    made = client.post("/api/projects", {
        "title": f"visionmill {job.name}"[:LONGEST_TITLE], "description": f"{job.version}, job {job.name} {_mark(key)}",
        "label_config": label_config(job.classes, polygons), "sampling": "Sequential sampling",
        "expert_instruction": _as_page(job.instructions), "show_instruction": bool(job.instructions.strip()),
        # predictions are shown of one model version only: all of ours have this one
        "show_collab_predictions": True, "model_version": model_version(job), "enable_empty_annotation": True})
    return int(rows_in([made], "project", client.url)[0]["id"])


def send_again(job: Job) -> str:
    """The command that makes what is missing in Label Studio."""
    return f"visionmill label send {job.version} --to label-studio --job {job.name}"


def model_version(job: Job) -> str:
    return f"visionmill {job.version}"


def _mark(key: str) -> str:
    return f"[{key}]"


def _as_page(text: str) -> str:
    """Instructions as Label Studio shows them; what is in them is text, not markup."""
    return "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in text.strip().split("\n\n") if part)


def page_of(url: str, project: int, task: int) -> str:
    """The address of a task for a person."""
    return f"{url}/projects/{project}/data?task={task}"


def has_polygons(pictures: Pictures) -> bool:
    """Whether people need the tool for polygons."""
    data = pictures.dataset
    return data.meta.problem == "segment" or data.annotations["polygons"].null_count < data.annotations.num_rows


def refuse_masks(pictures: Pictures) -> None:
    """Labels that are run-length masks cannot go out and come back.

    Raises:
        UserError: one is.
    """
    column = pictures.dataset.annotations["rle"]
    if count := len(column) - column.null_count:
        raise UserError(f"{count} labels are masks of run lengths; Label Studio is sent boxes and polygons",
                        where=pictures.folder, mend="send a version whose masks are polygons")
