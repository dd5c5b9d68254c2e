"""Superb, Ground Truth and CVAT: what people get, and what comes back as each tool writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from tasks.base.errors import DataError
from tasks.base.files import read_json, write_json
from tasks.data.exporting import export
from tasks.data.store.labelled import attributes_of
from tasks.labelling.jobs.fetching import Fetched, fetch
from tasks.labelling.jobs.files import FilesDesk
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.reading import Back, Coming
from tasks.labelling.jobs.sending import send

from .bench import ORDER, Bench, labels_of


def sent(bench: Bench, desk: str, **options: Any) -> tuple[Job, Path]:
    job = send(bench.version, bench.store, desk, workspace=bench.workspace, options=options)
    return job, bench.workspace / "labelling/pool-auto/part-1"


def bring(bench: Bench, job: Job, *back: Back, **coming: Any) -> Fetched:
    desk = FilesDesk(job, bench.workspace)
    desk.back, desk.coming = list(back), Coming(**coming)
    return fetch(job, bench.store, "done", "me", desk=desk)


def shape_counts(found: Fetched) -> dict[str, int]:
    assert found.version is not None
    return {name: len(rows) for name, rows in labels_of(found.version).items()}


# ------------------------------------------------------------------------------------------------ Superb AI Suite
def metas(part: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    found = {path: read_json(path) for path in (part / "meta").glob("**/*.json")}
    return {told["info"]["visionmill"]["digest"]: (path, told) for path, told in found.items()}


def test_superb_states_are_followed(bench: Bench) -> None:
    job, part = sent(bench, "superb")
    known = metas(part)
    assert set(known) == set(job.order) and {told["status"] for _, told in known.values()} == {"WORKING"}
    for name, status in (("one/a.png", "SUBMITTED"), ("one/b.png", "SKIPPED"), ("two/a.png", "WORKING")):
        path, told = known[bench.digest(name)]
        write_json(path, told | {"status": status, "work_assignee": "ann@example.org",
                                 "last_updated_date": "2026-03-01T10:00:00.000Z"})
        if status == "WORKING":  # begun, not submitted
            label = part / told["label_path"][0]
            content = read_json(label)
            content["objects"].pop()
            write_json(label, content)
    found = bring(bench, job)
    assert shape_counts(found) == {"one/a.png": 2} and (found.done, found.total) == (2, 4)
    assert found.version is not None
    review = attributes_of(found.version, "review")[0]
    assert (review["by"], review["when"]) == ("ann@example.org", "2026-03-01T10:00:00.000+00:00")
    assert FilesDesk(job, bench.workspace).status(job).partial == 1
    assert attributes_of(found.version, "status") == {0: "SUBMITTED"}
    # difficulty and uncertainty were there to sort by
    labels = [read_json(path) for path in (part / "labels").glob("*.json")]
    assert any("difficulty" in one["annotation"] for label in labels for one in label["objects"])


def test_superb_without_our_ids_and_pictures(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "superb")
    shutil.copytree(part, tmp_path / "export")
    shutil.rmtree(tmp_path / "export/images")
    for path, told in metas(tmp_path / "export").values():
        write_json(path, told | {"status": "SUBMITTED", "info": {}})
    assert shape_counts(bring(bench, job, Back(tmp_path / "export"))) == {
        "one/a.png": 2, "one/b.png": 1, "two/a.png": 2, "two/c.png": 0}


def test_superb_skips_a_label_that_is_gone(bench: Bench) -> None:
    job, part = sent(bench, "superb")
    path, told = metas(part)[bench.digest("one/b.png")]
    write_json(path, told | {"status": "SUBMITTED", "label_path": ["labels/gone.json"]})
    found = bring(bench, job)
    assert any("there is no file 'labels/gone.json'" in line for line in found.told)


# ------------------------------------------------------------------------------------------------ Ground Truth
def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, content: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in content))


def adjusted(line: dict[str, Any], status: str, boxes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """As an adjustment job writes a line: whole pixels, its own attribute beside the one that was there."""
    old = line["labels"]
    rounded = [box | {side: round(box[side]) for side in ("left", "top", "width", "height")}
               for box in old["annotations"]]
    new = rounded if boxes is None else boxes
    label = {"image_size": old["image_size"], "annotations": new}
    return line | {"adjusted-labels": label, "adjusted-labels-metadata": {
        "objects": [{"confidence": 0}] * len(new), "class-map": line["labels-metadata"]["class-map"],
        "type": "groundtruth/object-detection", "human-annotated": "yes", "job-name": "labeling-job/adjust",
        "creation-date": "2026-04-01T08:00:00.123456", "adjustment-status": status}}


def test_what_a_ground_truth_job_gets(bench: Bench) -> None:
    job, part = sent(bench, "groundtruth", bucket="s3://bucket/cells/")
    content = lines(part / "input.manifest")
    assert [line["visionmill"]["digest"] for line in content] == job.order
    assert content[0]["source-ref"] == "s3://bucket/cells/a.png" and (part / "images/a.png").is_file()
    meta = content[0]["labels-metadata"]
    assert (meta["human-annotated"], meta["job-name"], meta["class-map"]) == ("no", "m@1", {"1": "cell", "2": "plate"})
    assert [one["confidence"] for one in meta["objects"]] == [0.7, 0.4]
    assert content[2]["labels"]["annotations"] == []
    assert read_json(part / "labeling-job.json")["LabelAttributeName"] == "adjusted-labels"
    assert read_json(part / "label-categories.json") == {
        "document-version": "2018-11-28", "labels": [{"label": "cell"}, {"label": "plate"}],
        "auditLabelAttributeName": "labels"}


def test_an_adjustment_job_comes_back(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "groundtruth")
    content = lines(part / "input.manifest")
    by = {line["visionmill"]["digest"]: at for at, line in enumerate(content)}
    first, second, third = (by[bench.digest(name)] for name in ("two/a.png", "one/a.png", "two/c.png"))
    content[first] = adjusted(content[first], "unadjusted") | {"my-own": {"left": ["alone"]}, "another": 7}
    box = {"class_id": 2, "left": 33, "top": 10, "width": 9, "height": 9}
    content[second] = adjusted(content[second], "adjusted", [
        {"class_id": 1, "left": 4, "top": 4, "width": 10, "height": 12}, box])
    content[third] |= {"adjusted-labels-metadata": {"failure-reason": "nobody came", "type": "groundtruth/x"}}
    out = tmp_path / "job"
    write_lines(out / "manifests/output/output.manifest", content)
    for at, (who, spent) in ((first, ("w1", 31.5)), (second, ("w2", 12.0))):
        answer = {"workerId": who, "timeSpentInSeconds": spent, "submissionTime": "2026-04-01T07:59:00Z"}
        write_json(out / f"annotations/worker-response/iteration-1/{at}/2026.json", {"answers": [answer]})
    found = bring(bench, job, Back(out))
    assert found.version is not None and shape_counts(found) == {"one/a.png": 2, "two/a.png": 2}
    # what was only rounded is the pre-label again, to the last digit
    assert [(row["x"], row["needed"], row["source"]) for row in labels_of(found.version)["two/a.png"]] == [
        (12.125, "accepted", "model:m@1"), (40.0, "accepted", "model:m@1")]
    assert [(row["x"], row["needed"], row["reviewed_by"]) for row in labels_of(found.version)["one/a.png"]] == [
        (4.25, "accepted", "w2"), (33.0, "adjusted", "w2")]
    review = attributes_of(found.version, "review")
    assert [(one["by"], one["seconds"], one["when"]) for one in review.values()] == [
        ("w2", 12.0, "2026-04-01T07:59:00.000+00:00"), ("w1", 31.5, "2026-04-01T07:59:00.000+00:00")]
    # attributes that nobody knows are kept, the original label too, and an export has both
    assert list(attributes_of(found.version, "my-own").values()) == [{"left": ["alone"]}]
    export(found.version.folder, bench.store.pictures, "groundtruth", tmp_path / "again")
    line = next(one for one in lines(tmp_path / "again/output.manifest") if "my-own" in one)
    assert line["another"] == 7 and line["adjusted-labels-metadata"]["adjustment-status"] == "unadjusted"
    assert [box["left"] for box in line["labels"]["annotations"]] == [12.125, 40]
    assert [box["left"] for box in line["adjusted-labels"]["annotations"]] == [12.125, 40]


def test_a_verification_job_comes_back(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "groundtruth", verify=True)
    assert read_json(part / "labeling-job.json")["LabelAttributeName"] == "verify-labels"
    assert read_json(part / "label-categories.json")["labels"] == [{"label": "good"}, {"label": "bad"}]
    content = lines(part / "input.manifest")
    for at, (name, number) in enumerate((("good", "0"), ("bad", "1"))):
        content[at] |= {"verify-labels": number, "verify-labels-metadata": {
            "class-name": name, "confidence": 0.9, "type": "groundtruth/label-verification", "job-name": "verify-1",
            "human-annotated": "yes", "creation-date": "2026-04-02T08:00:00", "worker-feedback": [{"comment": "wide"}]}}
    write_lines(tmp_path / "output.manifest", content)
    found = bring(bench, job, Back(tmp_path / "output.manifest"))
    assert found.version is not None and shape_counts(found) == {ORDER[0]: 2} and found.done == 1
    assert {(row["needed"], row["reviewed_by"]) for row in labels_of(found.version)[ORDER[0]]} == {
        ("accepted", "verify-1")}
    bad = [one for one in found.answers if not one.complete]
    assert len(bad) == 1 and bad[0].digest == job.order[1]
    assert (bad[0].attributes or {})["verify-labels-metadata"]["worker-feedback"] == [{"comment": "wide"}]


def test_a_chain_of_ground_truth_jobs(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "groundtruth")
    write_lines(tmp_path / "output.manifest", [adjusted(line, "adjusted", [])
                                               for line in lines(part / "input.manifest")])
    first = bring(bench, job, Back(tmp_path / "output.manifest"))
    assert first.version is not None and first.clicks.counts["deleted"] == 5
    send(first.version, bench.store, "groundtruth", name="second", workspace=bench.workspace)
    folder = bench.workspace / "labelling/second/part-1"
    assert read_json(folder / "labeling-job.json")["LabelAttributeName"] == "adjusted-adjusted-labels"
    assert all({"labels", "adjusted-labels"} <= set(line) for line in lines(folder / "input.manifest"))


def test_rubbish_lines_of_a_manifest(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "groundtruth")
    (tmp_path / "x.manifest").write_text((part / "input.manifest").read_text() + '{"source-ref": 3}\n')
    with pytest.raises(DataError, match="cannot be read as groundtruth: not a line of Ground Truth") as caught:
        bring(bench, job, Back(tmp_path / "x.manifest"))
    assert "line 5" in str(caught.value)


# ------------------------------------------------------------------------------------------------ CVAT
def test_what_cvat_gets(bench: Bench) -> None:
    job, part = sent(bench, "cvat")
    root = ElementTree.parse(part / "annotations.xml").getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    # CVAT numbers pictures by name: the names are in the order of the job
    names = [image.get("name") for image in root.iter("image")]
    assert names == sorted(names) == ["00000_a.png", f"00001_{bench.digest('one/a.png')[:12]}_a.png", "00002_c.png",
                                      "00003_b.png"]
    assert [image.get("id") for image in root.iter("image")] == ["0", "1", "2", "3"]
    assert sorted(path.name for path in (part / "images").iterdir()) == names
    box = next(root.iter("box"))
    assert {key: box.get(key) for key in ("label", "source", "xtl", "ytl", "xbr", "ybr")} == {
        "label": "plate", "source": "auto", "xtl": "12.12", "ytl": "8.00", "xbr": "28.12", "ybr": "24.00"}
    assert read_json(part / "labels.json") == [{"name": "cell", "attributes": []}, {"name": "plate", "attributes": []}]


def test_cvat_comes_back(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "cvat")
    text = (part / "annotations.xml").read_text()
    # as CVAT exports it: a task with an assignee, a shape that somebody has drawn
    text = text.replace("<task>", "<task><updated>2026-05-01 10:00:00.5+00:00</updated>"
                                  "<assignee><username>ann</username><email></email></assignee>")
    drawn = 'source="manual" occluded="0" points="1.00,1.00;9.00,1.00;9.00,7.00" z_order="0"'
    text = text.replace('height="48">\n  </image>', f'height="48">\n<polygon label="cell" {drawn}></polygon></image>')
    (tmp_path / "back.xml").write_text(text)
    found = bring(bench, job, Back(tmp_path / "back.xml"))
    assert found.version is not None and shape_counts(found) == {"two/c.png": 1}
    row = labels_of(found.version)["two/c.png"][0]
    assert (row["polygons"], row["area"], row["needed"]) == ([[1.0, 1.0, 9.0, 1.0, 9.0, 7.0]], 24.0, "drawn")
    review = next(iter(attributes_of(found.version, "review").values()))
    assert (review["by"], review["when"]) == ("ann", "2026-05-01T10:00:00.500+00:00")
    assert any("3 pictures are as they were sent" in line for line in found.told)
    # two digits after the point are no correction
    everything = bring(bench, job, Back(tmp_path / "back.xml"), unchanged="accept")
    assert everything.version is not None and everything.done == 4
    assert labels_of(everything.version)["two/a.png"][0]["x"] == 12.125


def test_cvat_with_entities_is_refused(bench: Bench, tmp_path: Path) -> None:
    job, part = sent(bench, "cvat")
    text = (part / "annotations.xml").read_text().split("\n", 1)[1]
    (tmp_path / "bad.xml").write_text(f'<!DOCTYPE a [<!ENTITY b "c">]>{text}'.replace("pool-auto", "&b;"))
    with pytest.raises(DataError, match="refused XML with a document type"):
        bring(bench, job, Back(tmp_path / "bad.xml"))


def test_masks_reach_cvat_and_come_back(bench: Bench, tmp_path: Path) -> None:
    import numpy as np

    from tasks.data.runs import encode
    from tasks.data.store.labelled import publish_labels

    pixels = np.zeros((48, 64), bool)
    pixels[5:9, 7:20] = True
    pixels[6, 7] = False
    annotations = bench.data.annotations.to_pylist()[:2]
    annotations[0] |= {"rle": encode(pixels), "x": 7.0, "y": 5.0, "w": 13.0, "h": 4.0, "area": float(pixels.sum())}
    annotations[1] |= {"polygons": [[1.0, 1.0, 9.0, 1.0, 9.0, 7.0], [20.0, 20.0, 30.0, 20.0, 30.0, 30.0]]}
    table = bench.data.annotations.schema.empty_table().from_pylist(annotations, bench.data.annotations.schema)
    version, _ = publish_labels(bench.store, bench.version, out="masks", owner="me", said={"by": "x"},
                                annotations=table)
    said: list[str] = []
    job = send(version, bench.store, "cvat", workspace=bench.workspace, tell=said.append)
    assert any("masks of several polygons" in line for line in said)
    found = bring(bench, job, Back(bench.workspace / "labelling/masks/part-1"), unchanged="accept")
    assert found.version is not None
    rows = [row for rows in labels_of(found.version).values() for row in rows]
    mask = next(row for row in rows if row["rle"])
    assert mask["rle"] == encode(pixels) and mask["area"] == float(pixels.sum())


def test_another_format_than_was_sent(bench: Bench, tmp_path: Path) -> None:
    job, _ = sent(bench, "coco")
    boxes = ("<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>3</ymin><xmax>22</xmax><ymax>18</ymax></bndbox>"
             "</object>")
    (tmp_path / "b.xml").write_text("<annotation><filename>b.png</filename><size><width>64</width><height>48</height>"
                                    f"</size>{boxes.format('cell', 2)}{boxes.format('plate', 4)}</annotation>")
    found = bring(bench, job, Back(tmp_path / "b.xml"), format="voc", who="bob")
    assert found.version is not None
    assert [(row["needed"], row["reviewed_by"]) for row in labels_of(found.version)["one/b.png"]] == [
        ("accepted", "bob"), ("drawn", "bob")]
