"""The desk and the service against the real Label Studio, once started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows import processes
from flows.services import known, studio
from tasks.base.errors import DataError
from tasks.base.files import read_json, write_json
from tasks.labelling.jobs.job import Job, read_job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio.access import Access, find_access
from tasks.labelling.studio.client import Client, StudioDenied, StudioMissing
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.chrome import page
from tests.labelling.studio.conftest import Real
from tests.labelling.studio.made import CLASSES, NOTE, SIZE, make_job
from tests.servers import answers, wait_for

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[3]
SENDER = """
import sys
from pathlib import Path
from tasks.labelling.jobs.job import read_job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio import desk
desk.BATCH = 3
name, here = sys.argv[1], Path(sys.argv[2])
job, made = read_job(name, here), here / "made" / name
print("sending", flush=True)
desk.StudioDesk(job, here).send(job, Pictures(made / "tables", made / "pictures", job.order), here)
"""
UP = """
import sys
from pathlib import Path
from flows.services.log import Terminal
from flows.services.plan import Plan, label_studio
from flows.services.upkeep import Upkeep
from tasks.base.site import Labelling, Site
site = Site(labelling=Labelling(port=int(sys.argv[1])))
sys.exit(Upkeep(Path.cwd(), Plan([label_studio(site)]), Terminal()).run())
"""


def sent(real: Real, name: str, count: int, **made: Any) -> tuple[Job, Pictures, StudioDesk]:
    job, pictures = make_job(real.workspace, count, name=name, **made)
    desk = StudioDesk(job, real.workspace)
    desk.send(job, pictures, real.workspace)
    return job, pictures, desk


def tasks_of(client: Client, job: Job) -> list[dict[str, Any]]:
    return client.pages("/api/tasks", "tasks", project=job.where["project"], fields="all")


def digests(tasks: list[dict[str, Any]]) -> list[str]:
    return [task["data"]["visionmill"]["digest"] for task in sorted(tasks, key=lambda task: task["id"])]


def answer(client: Client, task: dict[str, Any], results: list[Any], **more: Any) -> int:
    made = client.post(f"/api/tasks/{task['id']}/annotations/", {"result": results, "lead_time": 12.5, **more})
    return int(made["id"])


def test_a_job_goes_out_and_corrections_come_back(real: Real) -> None:
    job, pictures, desk = sent(real, "whole", 7, polygons=True)
    desk.send(job, pictures, real.workspace)
    with Client(real.access) as client:
        tasks = tasks_of(client, job)
        assert digests(tasks) == job.order
        shown, status = client._once("GET", tasks[0]["data"]["image"], {})[::-1]
        assert status == 200 and shown == next(iter(pictures)).read()
        results = tasks[0]["predictions"][0]["result"]
        assert [one["score"] for one in results] == [0.25, 0.375]
        results[0]["value"]["x"] += 100 / SIZE[0]
        answer(client, tasks[0], results, parent_prediction=tasks[0]["predictions"][0]["id"])
        answer(client, tasks[1], [], was_cancelled=True)
        client.post(f"/api/tasks/{tasks[2]['id']}/drafts", {"result": results[:1], "lead_time": 1.0})
    found = desk.fetch(job)
    assert [(one.digest, one.complete, one.skipped) for one in found] == [
        (job.order[0], True, False), (job.order[1], False, True), (job.order[2], False, False)]
    before = [[box[side] for side in "xywh"] for box in next(iter(pictures)).boxes]
    before[0][0] += 1
    rows = found[0].boxes.to_pylist()
    assert [[row[side] for side in "xywh"] for row in rows] == [pytest.approx(row, abs=0.01) for row in before]
    assert rows[1]["polygons"][0] == pytest.approx(next(iter(pictures)).boxes[1]["polygons"][0], abs=0.01)
    told = read_json(real.workspace / ".visionmill/studio.json")
    assert found[0].who == told["user"] and found[0].seconds == 12.5 and abs(found[0].when - time.time()) < 900
    assert found[0].before == [box["annotation_id"] for box in next(iter(pictures)).boxes]
    assert desk.fetch(job) == found
    status_now = desk.status(job)
    assert (status_now.total, status_now.done, status_now.partial) == (7, 2, 1)


def test_a_second_look_starts_from_the_answer_and_keeps_it(real: Real) -> None:
    job, _, desk = sent(real, "looks", 2)
    with Client(real.access) as client:
        first = tasks_of(client, job)[0]
        results = first["predictions"][0]["result"][:1]
        answer(client, first, results)
        desk.give_back(job, job.order, "the edge & <corner>")
        desk.give_back(job, job.order, "the edge & <corner>")
        tasks = tasks_of(client, job)
        again = next(task for task in tasks if task["data"]["note"] and task["data"]["visionmill"]["look"] == 1)
        assert len(tasks) == 4 and again["predictions"][0]["result"] == results
        answer(client, again, [])
    assert [(one.digest, one.boxes.num_rows) for one in desk.fetch(job)] == [(job.order[0], 1), (job.order[0], 0)]


def test_a_turned_box_is_refused_with_its_task_and_a_new_class_is_not(real: Real) -> None:
    job, _, desk = sent(real, "turned", 1)
    with Client(real.access) as client:
        config = client.get(f"/api/projects/{job.where['project']}")["label_config"]
        tool = re.sub("</RectangleLabels>", '<Label value="platelet"/></RectangleLabels>', config)
        client.patch(f"/api/projects/{job.where['project']}", {"label_config": tool})
        (task,) = tasks_of(client, job)
        results = task["predictions"][0]["result"]
        results[0]["value"] |= {"rotation": 30, "rectanglelabels": ["platelet"]}
        number = answer(client, task, results)
        with pytest.raises(DataError, match=rf"data\?task={task['id']}\): region 1: a box that is turned by 30"):
            desk.fetch(job)
        results[0]["value"]["rotation"] = 0
        client.patch(f"/api/annotations/{number}/", {"result": results})
    assert desk.fetch(job)[0].boxes["class_id"].to_pylist() == [2, 1] and job.classes == [*CLASSES, "platelet"]


@pytest.mark.parametrize("personal", [False, True])
def test_a_server_elsewhere_is_sent_the_pictures(real: Real, tmp_path: Path, personal: bool) -> None:
    token = real.access.token
    if personal:
        with Client(real.access) as client:
            token = client.post("/api/token", {})["token"]
    site = tmp_path / "conf/site/local.yaml"
    site.parent.mkdir(parents=True)
    write_json(site, {"labelling": {"url": real.url, "token": token}})
    job, pictures = make_job(tmp_path, 3, suffix=".jpg")
    StudioDesk(job, tmp_path).send(job, pictures, tmp_path)
    with Client(Access(real.url, token)) as client:
        (task, *_), path = tasks_of(client, job), f"/api/projects/{job.where['project']}/file-uploads"
        uploads = client.get(path, all="true")
        status, content = client._once("GET", task["data"]["image"], {})
    assert status == 200 and content == next(iter(pictures)).read() and len(uploads) == 3


def test_a_revoked_token_and_a_deleted_project(real: Real) -> None:
    job, pictures, desk = sent(real, "gone", 2)
    told = read_json(real.workspace / ".visionmill/studio.json")
    write_json(real.workspace / ".visionmill/studio.json", told | {"token": "f" * 40})
    try:
        with pytest.raises(StudioDenied):
            desk.fetch(job)
        assert "refuses the token" in str(desk.status(job).away)
    finally:
        write_json(real.workspace / ".visionmill/studio.json", told)
    with Client(real.access) as client:
        client.delete(f"/api/projects/{job.where['project']}/")
    with pytest.raises(StudioMissing, match="makes a new project"):
        desk.fetch(job)
    desk.send(job, pictures, real.workspace)
    assert desk.status(job).total == 2


def test_pre_annotations_are_visible_in_the_page_and_what_is_submitted_goes_back_to_them(
        real: Real, tmp_path: Path) -> None:
    job, pictures, desk = sent(real, "seen", 2, boxes=3, asked=True)
    told = read_json(real.workspace / ".visionmill/studio.json")
    with Client(real.access) as client:
        task = min(tasks_of(client, job), key=lambda one: one["id"])
    with page(tmp_path) as tab:
        tab.open(f"{real.url}/user/login/")
        tab.until("!!document.querySelector('input[name=password]')")
        for name, value in (("email", told["user"]), ("password", told["password"])):
            tab.ask(f"document.querySelector('input[name={name}]').value = {json.dumps(value)}")
        tab.ask("document.querySelector('form').submit()")
        tab.until("!document.querySelector('input[name=password]') && document.readyState === 'complete'")
        tab.open(f"{job.where['page']}?task={task['id']}")
        regions = "document.querySelectorAll('.lsf-outliner-item, [class*=outliner-item]').length"
        tab.until(f"{regions} >= 3 && !!document.querySelector('canvas')")
        tab.until("[...document.querySelectorAll('img')].some(one => one.src.includes('local-files')"
                  " && one.naturalWidth > 0)")
        # what `label errors` suspects: above the picture, and of the box in question once it is chosen
        tab.until("document.body.innerText.includes('swapped? looks like white')"
                  " || (document.querySelector('[class*=outliner-item]').click(), false)")
        time.sleep(1)
        (tmp_path / "page.png").write_bytes(tab.picture())
        text = tab.ask("document.body.innerText")
        assert NOTE in text
        assert "0.25" in text and CLASSES[0] in text and "issue loading URL" not in text
        tab.until("(() => { const b = [...document.querySelectorAll('button')].find(b => /^Submit/.test(b.innerText)); "
                  "if (b) b.click(); return !!b; })()")
        wait_for(lambda: bool(desk.fetch(job)), "the answer", 120)
        assert tab.hosts <= {"127.0.0.1", ""}, "the page asks somebody else"
    if keep := os.environ.get("VISIONMILL_KEEP_PAGES"):
        shutil.copy(tmp_path / "page.png", keep)
    (found,) = desk.fetch(job)
    boxes = next(iter(pictures)).boxes
    assert found.before == [box["annotation_id"] for box in boxes]
    assert [[row[side] for side in "xywh"] for row in found.boxes.to_pylist()] == [
        pytest.approx([box[side] for side in "xywh"], abs=0.01) for box in boxes]


def test_up_keeps_it_alive_on_a_port_that_is_free_and_ends_it(tmp_path: Path, real: Real) -> None:
    taken = real.url.rpartition(":")[2]
    with (tmp_path / "up.log").open("w", encoding="utf-8") as log:
        up = subprocess.Popen([sys.executable, "-P", "-c", UP, taken], cwd=tmp_path, stdout=log, stderr=log,
                              env={**os.environ, "PYTHONPATH": str(ROOT), "HOST": "https://wrong.example"})
        try:
            wait_for(lambda: up.poll() is not None or bool(known.url_of("label-studio", tmp_path)), "Label Studio", 400)
            assert up.poll() is None, Path(log.name).read_text()
            told = read_json(tmp_path / ".visionmill/studio.json")
            assert told["url"] == known.url_of("label-studio", tmp_path) != real.url
            assert f"port {taken} is taken" in Path(log.name).read_text()
            with Client(find_access(tmp_path)) as client:
                assert client.get("/api/version")["release"].startswith("1.")
            up.terminate()
            assert up.wait(60) == 0 and not answers(f"{told['url']}/health")
        finally:
            up.terminate()
            up.wait(60)
    assert not processes.marked(str(tmp_path), variable=processes.UP)
    # without the note that held it the password is set anew; the token is the database's
    (tmp_path / ".visionmill/studio.json").unlink()
    anew = studio.make_access(tmp_path, "http://127.0.0.1:1")
    assert anew["token"] == told["token"] and anew["password"] != told["password"]


def test_killing_the_sender_and_the_server_loses_nothing_and_leaves_nothing_twice(real: Real) -> None:
    """Runs last of those that talk to it: the server starts anew here."""
    job, _ = make_job(real.workspace, 60, name="killed")
    for seen, later, victim in (("sending", 0.4, "sender"), (" 3/", 0.1, "sender"), (" 3/", 0.2, "server"),
                                ("sending", 0.0, "nobody")):
        log = (real.workspace / "sender.log").open("w+", encoding="utf-8")
        sender = subprocess.Popen([sys.executable, "-c", SENDER, job.name, str(real.workspace)], stdout=log,
                                  stderr=subprocess.STDOUT)
        try:
            wait_for(lambda name=log.name, seen=seen: seen in Path(name).read_text(), "the sender")
            time.sleep(later)
            if victim == "sender":
                sender.kill()
            elif victim == "server":
                real.server.kill()
                real.server.start()
            code = sender.wait(300)
            assert code in ((0, -signal.SIGKILL) if victim == "sender" else (0,)), Path(log.name).read_text()
        finally:
            sender.kill()
            sender.wait()
            log.close()
    job = read_job(job.name, real.workspace)
    with Client(real.access) as client:
        tasks = tasks_of(client, job)
        named = [one for one in client.pages("/api/projects", "results", include="id,description")
                 if "job killed " in one["description"]]
    assert sorted(digests(tasks)) == sorted(job.order) and len(named) == 1
    assert all(len(task["predictions"]) == 1 for task in tasks)
