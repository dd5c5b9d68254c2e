"""How long DVC looks at a line of a million pictures: python -m benchmarks.status [--pictures 1000000] [--boxes 10]

A synthetic version in archives is put into a workspace's store and checked out; then one label is changed, which makes
version 2, and `dvc status` and `visionmill status` are timed as whole processes. Asked: 5 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.commands.data.use import choose
from flows.datastore import DVC, track
from flows.workspace import render, surroundings
from tasks.data import sql
from tasks.data.store.layout import Store, Version
from tasks.data.store.recipes import facts
from tasks.data.table import Meta

PER_SHARD = 4096


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pictures", type=int, default=1_000_000)
    arguments.add_argument("--boxes", type=int, default=10)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder) / "line")
        store = Store(workspace / "data/store")
        first = publish(store, options.pictures, options.boxes, changed=False)
        track(store, first)
        choose(workspace, first.ref, first.digest)
        shell([*DVC, "repro", "-q", "checkout"], workspace)
        report("nothing changed", workspace)
        second = publish(store, options.pictures, options.boxes, changed=True)
        track(store, second)
        choose(workspace, second.ref, second.digest)
        report("one label changed", workspace)
        took = seconds([*DVC, "repro", "-q", "checkout"], workspace)
        print(f"checkout of version 2 by dvc repro       {took:6.2f} s")
        report("checked out", workspace)


def make_workspace(folder: Path) -> Path:
    folder.mkdir()
    shell(["git", "init", "-q"], folder)
    shell([*DVC, "init", "-q"], folder)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text(render(name, "version"))
    for name, text in surroundings().items():
        (folder / name).write_text(text)
    return folder


def publish(store: Store, pictures: int, boxes: int, *, changed: bool) -> Version:
    """A version of `pictures` rows over archives of 4,096 members; the archives hold a few bytes, not pictures."""
    images = f"""SELECT i AS image_id, 'big-1/' || printf('%08d', i) || '.jpg' AS file, 640 AS width, 480 AS height,
        sha256(i::VARCHAR) AS digest, 1000 AS bytes, 1 AS orientation,
        'big-1/shard-' || printf('%05d', i // {PER_SHARD}) || '.zip' AS shard, i % {PER_SHARD} * 1000 AS "offset"
        FROM range({pictures}) r(i)"""
    label = f"CASE WHEN i = {pictures * boxes // 2} AND {changed} THEN 1 ELSE 0 END"
    annotations = f"""SELECT i AS annotation_id, i // {boxes} AS image_id, {label} AS class_id, i % 600 * 1.0 AS x,
        i % 400 * 1.0 AS y, 30.5 AS w, 20.25 AS h, 617.625 AS area, false AS iscrowd, false AS difficult,
        'import' AS source, 'instances.json#annotations[' || i || ']' AS "row"
        FROM range({pictures}::BIGINT * {boxes}) r(i)"""
    with store.locked():
        making = store.begin("big", "bench")
        with sql.connect() as connection:
            sql.write_version(making.folder, sql.stream(connection, images), sql.stream(connection, annotations),
                              Meta(name="big", classes=["a", "b"]))
        if not changed:
            for number in range(-(-pictures // PER_SHARD)):
                (making.pictures / f"shard-{number:05d}.zip").write_bytes(os.urandom(4096))
        return store.publish(making, {"synthetic": changed}, "bench", facts())


def report(what: str, workspace: Path) -> None:
    times = [seconds([*DVC, "status", "-q"], workspace) for _ in range(3)]
    ours = seconds([sys.executable, "-P", "-m", "flows.cli", "status"], workspace)
    print(f"{what:24} dvc status {min(times):6.2f} s (of 3: {', '.join(f'{t:.2f}' for t in times)}); "
          f"visionmill status {ours:6.2f} s", flush=True)


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def shell(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
