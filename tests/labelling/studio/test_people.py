"""Several people on one Label Studio, the real one: who joined by the invitation, and two on one task."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.base.files import read_json
from tasks.data.store.labelled import attributes_of
from tasks.labelling.jobs.fetching import Fetched, fetch
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.keeping import recall
from tasks.labelling.jobs.sending import send
from tasks.labelling.studio.access import Access
from tasks.labelling.studio.client import Client
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.jobs.bench import ORDER, WIDTH, Bench, labels_of, make_bench
from tests.labelling.studio.conftest import Real

pytestmark = pytest.mark.timeout(900)
BOB = "bob@localhost"


def invited(real: Real, email: str) -> Access:
    """Somebody who opens the invitation's link and signs up."""
    with Client(real.access) as client:
        link = client.get("/api/invite")["invite_url"]
    with httpx.Client(base_url=real.url, trust_env=False, timeout=120) as browser:
        browser.get(link)
        form = {"email": email, "password": "long-enough-7", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post(link, data=form).status_code == 302
        return Access(real.url, browser.get("/api/current-user/token").json()["token"])


def hand_in(client: Client, task: dict[str, Any], results: list[Any]) -> int:
    made = client.post(f"/api/tasks/{task['id']}/annotations/", {"result": results, "lead_time": 10.0})
    return int(made["id"])


def moved(result: dict[str, Any], x: float) -> dict[str, Any]:
    return result | {"value": result["value"] | {"x": 100 * x / WIDTH}}


def bring(bench: Bench, job: Job) -> tuple[Fetched, list[tuple[str, str, float]]]:
    """What is fetched, and the listed conflicts: whose, of which class, where."""
    found = fetch(job, bench.store, "done", "me", learn=False)
    with (job.folder / "conflicts.csv").open() as file:
        return found, [(row["voice"], row["class"], float(row["x"])) for row in csv.DictReader(file)]


def test_two_people_on_one_task_the_later_decides_and_nobodys_work_is_lost(real: Real, tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    job = send(bench.version, bench.store, "label-studio", name="people", workspace=real.workspace)
    ann = read_json(real.workspace / ".visionmill/studio.json")["user"]
    with Client(real.access) as hers, Client(invited(real, BOB)) as his:
        tasks = sorted(his.pages("/api/tasks", "tasks", project=job.where["project"], fields="all"),
                       key=lambda task: task["id"])
        first, second = (task["predictions"][0]["result"] for task in tasks[:2])
        number = hand_in(hers, tasks[0], first)
        hand_in(his, tasks[0], [moved(first[0], 50.0)])
        hand_in(hers, tasks[1], second)
        his.post(f"/api/tasks/{tasks[2]['id']}/drafts", {"result": [], "lead_time": 1.0})
        found, listed = bring(bench, job)
        assert found.version is not None and (found.done, found.total) == (2, 4)
        # of his box a part lies outside
        assert found.told == [next(line for line in found.told if f"of {BOB} reached over the edge by 2" in line)]
        labels = {name: [(row["x"], row["reviewed_by"]) for row in rows]
                  for name, rows in labels_of(found.version).items()}
        assert labels[ORDER[0]] == [(pytest.approx(50.0), BOB)] and {who for _, who in labels[ORDER[1]]} == {ann}
        assert sorted(listed) == [(ann, "cell", pytest.approx(40.0)), (ann, "plate", pytest.approx(12.125))]
        review = next(one for one in attributes_of(found.version, "review").values() if one.get("others"))
        assert (review["by"], review["others"], review["seconds"]) == (BOB, [ann], 20.0)
        status = StudioDesk(job, real.workspace).status(job)
        assert (status.done, status.partial, status.people) == (2, 1, {ann: 2, BOB: 1})
        # she looks again, so she decides and he is listed
        hers.patch(f"/api/annotations/{number}/", {"result": first[:1]})
        found, listed = bring(bench, job)
        assert found.version is not None and [row["reviewed_by"] for row in labels_of(found.version)[ORDER[0]]] == [ann]
        assert {voice for voice, *_ in listed} == {BOB}
        # he mends her annotation: it is his word now, and hers is kept
        his.patch(f"/api/annotations/{number}/", {"result": []})
        found, listed = bring(bench, job)
        assert found.version is not None and labels_of(found.version)[ORDER[0]] == []
        assert {voice for voice, *_ in listed} == {ann}
    kept = {(one.who, one.boxes.num_rows) for one in recall(job) if one.digest == job.order[0]}
    assert kept == {(ann, 1), (BOB, 0)}
