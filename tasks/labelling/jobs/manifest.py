"""Ground Truth's jobs that look at labels which are there: verification (yes or no) and adjustment (drawn anew).

The labels to look at keep their attribute and its metadata; the job writes its own beside: `verify-X`, or `adjusted-X`
with `adjustment-status`. See https://docs.aws.amazon.com/sagemaker/latest/dg/sms-verification-data.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.data.formats._groundtruth_labels import OWN, VERIFICATION
from tasks.data.formats._superb_json import mapping
from tasks.labelling.jobs.job import Job

OURS = "visionmill"
LABELS = "labels"
GOOD = frozenset({"good", "ok", "correct", "accept", "accepted", "yes", "pass", "right"})
CONFIG, REQUEST = "label-categories.json", "labeling-job.json"


def attribute_of(told: Mapping[str, Any]) -> str:
    """The attribute whose labels are looked at: what the picture came with, else `labels`."""
    name = mapping(told.get(OWN)).get("attribute")
    return name if isinstance(name, str) and name else LABELS


def described(job: Job, told: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """A picture's line: what it had, our ids, its labels as an attribute that the job can look at."""
    own = mapping(told.get(OWN))
    metadata = {"creation-date": job.made.partition("+")[0]} | mapping(own.get("metadata"))
    return told | {OURS: ours | {"attribute": attribute_of(told)},
                   OWN: own | {"attribute": attribute_of(told), "metadata": metadata}}


def describe_job(job: Job, out: Path) -> None:
    """The files that a labelling job asks for beside its manifest, and the place of pictures in a bucket."""
    bucket = job.options.get("bucket")
    path = out / "output.manifest"
    lines, attributes = [], set[str]()
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if bucket:
            line["source-ref"] = f"{str(bucket).rstrip('/')}/{line['source-ref'].rpartition('/')[2]}"
        attributes.add(line[OURS]["attribute"])
        lines.append(json.dumps(line, sort_keys=True, ensure_ascii=False))
    path.rename(out / "input.manifest")
    (out / "input.manifest").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if len(attributes) > 1:
        raise UserError(f"labels of several attributes: {', '.join(sorted(attributes))}", where=job.version,
                        mend="a job looks at one: filter the dataset, and send each part as a job of its own")
    name = attributes.pop()
    verify = bool(job.options.get("verify"))
    labels = ["good", "bad"] if verify else job.classes
    write_json(out / CONFIG, {"document-version": "2018-11-28", "labels": [{"label": label} for label in labels],
                              "auditLabelAttributeName": name})
    write_json(out / REQUEST, {
        "LabelingJobName": job.name, "LabelAttributeName": f"{'verify' if verify else 'adjusted'}-{name}",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": f"{bucket or 's3://BUCKET'}/input.manifest"}}},
        "LabelCategoryConfigS3Uri": f"{bucket or 's3://BUCKET'}/{CONFIG}"})


def verdict(attributes: Mapping[str, Any], attribute: str) -> tuple[bool, str, str] | None:
    """What a verification job found of a picture's labels: (good, the comments, the job's attribute), or None."""
    found = [(str(mapping(attributes.get(f"{name}-metadata")).get("creation-date", "")), name) for name in attributes
             if mapping(attributes.get(f"{name}-metadata")).get("type") == VERIFICATION]
    if not found:
        return None
    name = max(found)[1]
    told = mapping(attributes[f"{name}-metadata"])
    feedback = told.get("worker-feedback")
    comments = [str(mapping(one).get("comment", "")) for one in feedback] if isinstance(feedback, list) else []
    return str(told.get("class-name", "")).strip().lower() in GOOD, "; ".join(filter(None, comments)), name


def was_adjusted(attributes: Mapping[str, Any], sent: str) -> bool:
    """Whether the labels that count are of another attribute than the one that was sent."""
    own = mapping(attributes.get(OWN))
    return bool(own) and own.get("attribute") not in (None, sent)
