"""Label Studio: python -m benchmarks.studio [--tasks 1000] [--corrected 50] [--boxes 12] [--upload]

Starts the real server on loopback, with data of its own, and times what the issue asks: 1,000 tasks sent with their
pre-annotations, 50 corrected through its API, all fetched: at most 60 s; what comes back is equal to 0.01 px. The
corrections are a person's part and are timed apart; the sum counts all three. Two minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from flows.services import studio
from tasks.base.files import write_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, conform, write_dataset
from tasks.labelling.jobs.job import STUDIO, Job, folder_of, write_job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio.access import find_access
from tasks.labelling.studio.client import Client
from tasks.labelling.studio.desk import StudioDesk
from tests.servers import Server, answers, free_port

ASKED_S, ASKED_PX = 60.0, 0.01
SIZE = (640, 480)
CLASSES = ["red", "white", "platelet"]


def make(folder: Path, count: int, boxes: int) -> tuple[Job, Pictures]:
    """A job of pictures of noise, 640 x 480, with boxes whose corners are no whole pixels."""
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number in range(count):
        path = folder / f"pictures/{number}.jpg"
        noise = random.integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(noise).resize(SIZE).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append({"image_id": number, "file": path.name, "width": SIZE[0], "height": SIZE[1], "digest": digest,
                       "bytes": path.stat().st_size, "orientation": 1})
        for _ in range(boxes):
            x, y, w, h = (random.uniform(*limits) for limits in ((0, 500), (0, 380), (5, 130), (5, 90)))
            rows.append({"annotation_id": len(rows), "image_id": number, "class_id": int(random.integers(3)), "x": x,
                         "y": y, "w": w, "h": h, "area": w * h, "iscrowd": False, "difficult": False, "row": "",
                         "source": "model:cells@1", "score": float(random.uniform(0.05, 1))})
    tables = [conform(pa.Table.from_pylist(given, schema=schema), schema) for given, schema in
              ((images, IMAGES), (rows, ANNOTATIONS))]
    write_dataset(folder / "tables", Dataset(tables[0], tables[1], Meta(name="bench", classes=CLASSES)))
    order = [str(image["digest"]) for image in images]
    job = Job(folder=folder_of("bench", folder), name="bench", desk=STUDIO, version="bench@1", digest="0" * 64,
              classes=CLASSES, order=order)
    write_job(job)
    return job, Pictures(folder / "tables", folder / "pictures", order)


def correct(client: Client, job: Job, count: int) -> dict[str, list[list[float]]]:
    """What people would do with the first tasks: one box moved, one deleted, one drawn; digest → boxes, pixels."""
    told = client.get("/api/tasks", project=job.where["project"], page=1, page_size=count, fields="all")["tasks"]
    wanted = {}
    for task in told:
        results = task["predictions"][0]["result"]
        results[0]["value"]["x"] += 1.2345
        drawn = {key: value for key, value in results[1].items() if key not in ("id", "score")} | {"id": "drawn"}
        results = [results[0], *results[2:], drawn]
        client.post(f"/api/tasks/{task['id']}/annotations/", {"result": results, "lead_time": 10.0})
        scale = np.array([SIZE[0], SIZE[1], SIZE[0], SIZE[1]]) / 100
        values = [[one["value"][key] for key in ("x", "y", "width", "height")] for one in results]
        wanted[task["data"]["visionmill"]["digest"]] = (np.array(values) * scale).tolist()
    return wanted


def measure(workspace: Path, options: argparse.Namespace) -> None:
    job, pictures = make(workspace, options.tasks, options.boxes)
    desk, times = StudioDesk(job, workspace), [time.perf_counter()]
    desk.send(job, pictures, workspace)
    times.append(time.perf_counter())
    with Client(find_access(workspace)) as client:
        wanted = correct(client, job, options.corrected)
    times.append(time.perf_counter())
    found = desk.fetch(job)
    times.append(time.perf_counter())
    assert {one.digest for one in found} == set(wanted) and len(found) == options.corrected
    worst = max(float(np.abs(np.column_stack([one.boxes[side].to_numpy() for side in "xywh"])
                             - np.array(wanted[one.digest])).max()) for one in found)
    again = time.perf_counter()
    desk.send(job, pictures, workspace)
    status = desk.status(job)
    again = time.perf_counter() - again
    sent, corrected, fetched = np.diff(times)
    print(f"{options.tasks} tasks with {options.boxes} boxes each, {options.corrected} corrected "
          f"({'uploaded' if options.upload else 'served from a folder of links'})")
    print(f"  sent {sent:.1f} s, corrected {corrected:.1f} s, fetched {fetched:.1f} s")
    print(f"  all three      {times[-1] - times[0]:6.1f} s    asked: at most {ASKED_S:.0f} s")
    print(f"  largest error  {worst:6.1g} px   asked: at most {ASKED_PX} px")
    print(f"  sent again and asked for its status: {again:.1f} s, {status.total} tasks, {status.done} done")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tasks", 1000), ("corrected", 50), ("boxes", 12)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    arguments.add_argument("--upload", action="store_true", help="send the pictures themselves, as elsewhere")
    options = arguments.parse_args()
    studio.install()
    with tempfile.TemporaryDirectory(prefix="visionmill-studio-") as folder:
        workspace, port = Path(folder), free_port()
        url = f"http://127.0.0.1:{port}"
        server = Server([sys.executable, "-P", "-m", "flows.services.studio", str(port)],
                        lambda: answers(f"{url}/health"), log=workspace / "server.log")
        start = time.perf_counter()
        try:
            server.start()
            print(f"Label Studio {studio.VERSION} was ready after {time.perf_counter() - start:.0f} s", flush=True)
            if options.upload:
                (workspace / "conf/site").mkdir(parents=True)
                write_json(workspace / "conf/site/local.yaml",
                           {"labelling": {"url": url, "token": find_access(workspace).token}})
            measure(workspace, options)
        finally:
            server.end()


if __name__ == "__main__":
    main()
