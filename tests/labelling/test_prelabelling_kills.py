"""Whatever is killed or breaks on the way: nothing is lost, nothing is done twice, nothing half-done counts."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError, UserError, VisionmillError, WorkspaceBusy
from tasks.labelling.prelabelling import Prelabels, newest
from tasks.labelling.prelabelling.shards import shard_size
from tests.labelling.quarter_pool import COUNT, QUICK, Made, quarters_of, stamps, whole
from tests.labelling.slow_teacher import Odd


@pytest.fixture
def own(tmp_path: Path, quarters: Path) -> Made:
    return Made(tmp_path, quarters)


def odd(own: Made, way: str) -> Odd:
    return Odd(own.quarters, ["red", "green"], way, own.path / "log.txt")


@pytest.mark.parametrize(("way", "processes", "kind", "message"), [
    ("dies", 2, DataError, "a process that looked at pictures died"),
    ("raises", 2, DataError, "the teacher does not like it\n  where: picture 7\n  mend:  give it another"),
    ("raises", 1, DataError, "the teacher does not like it"),
    ("fails", 2, VisionmillError, "ZeroDivisionError: by zero")])
def test_a_teacher_that_breaks(own: Made, way: str, processes: int, kind: type[VisionmillError],
                               message: str) -> None:
    with pytest.raises(kind, match=message):
        own.look(QUICK, processes, teacher=odd(own, way))
    # nothing half-done is taken for done
    with pytest.raises(UserError, match="has not been pre-labelled"):
        newest(own.pool, own.path)
    assert own.look(QUICK, teacher=odd(own, "slow")).facts["boxes"] > 0


def test_a_teacher_that_cannot_be_sent_looks_alone(own: Made, capsys: pytest.CaptureFixture[str]) -> None:
    own.look(QUICK, 2, teacher=odd(own, "bare"))
    pids = {line.split()[0] for line in (own.path / "log.txt").read_text().splitlines()}
    assert pids == {str(os.getpid())} and "odd looks in one process" in capsys.readouterr().err


def test_a_program_that_takes_many_is_asked_seldom(own: Made) -> None:
    teacher = odd(own, "slow")
    teacher.batch = 512  # type: ignore[attr-defined]
    own.look(QUICK, 2, teacher=teacher)
    assert (own.path / "log.txt").read_text().split() == [str(os.getpid()), str(COUNT)]


def test_two_at_once(own: Made) -> None:
    folder = own.look(QUICK).folder
    with (folder / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(WorkspaceBusy, match="another command makes these pre-labels"):
            own.look(QUICK)


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_started_again_no_shard_is_done_twice(own: Made, processes: int) -> None:
    log, shards = own.path / "log.txt", -(-COUNT // shard_size(COUNT))

    def start(seconds: float) -> subprocess.Popen[bytes]:
        words = [own.path, own.store.root, "pool", own.quarters, log, seconds, processes]
        return subprocess.Popen([sys.executable, "-c", "from tests.labelling.slow_teacher import main; main()",
                                 *map(str, words)],
                                cwd=Path(__file__).parents[2], start_new_session=True)

    process = start(0.1)
    try:
        kept = own.path / ".visionmill/prelabels"
        until(lambda: len(list(kept.glob("*/shards/*.boxes.parquet"))) >= 1, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        [folder] = kept.iterdir()
        # those that it had started end with it, in the midst of a shard
        until(lambda: not alive({int(line.split()[0]) for line in log.read_text().splitlines()}))
    finally:
        with_all(process)
    before, asked = stamps(folder), asked_in(log)
    done = len(list(folder.glob("shards/*.boxes.parquet")))
    assert 1 <= done < shards and not (folder / "done.json").exists()
    with pytest.raises(UserError, match="not finished"):
        Prelabels(folder)
    process = start(0.0)
    try:
        assert process.wait(120) == 0
    finally:
        with_all(process)
    after = stamps(folder)
    assert {name: after[name] for name in before if name.endswith("boxes.parquet")} == {
        name: stamp for name, stamp in before.items() if name.endswith("boxes.parquet")}
    # the second run was asked about the pictures of the other shards, and about these once
    assert asked_in(log) - asked == COUNT - done * shard_size(COUNT) or done == shards - 1
    assert not list(folder.glob("shards/.*"))
    undisturbed = own.look(QUICK, teacher=odd(own, "slow"))
    assert undisturbed.folder == folder and whole(undisturbed).num_rows == sum(
        channel in (0, 1) for seed in range(COUNT) for channel in quarters_of(seed))


def until(done: Any, process: subprocess.Popen[bytes] | None = None, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end and (process is None or process.poll() is None)
        time.sleep(0.01)


def with_all(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}/stat").exists()
            and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"}


def asked_in(log: Path) -> int:
    return sum(int(line.split()[1]) for line in log.read_text().splitlines())


def test_a_damaged_shard_is_named(own: Made) -> None:
    found = own.look(QUICK)
    path = found.folder / "shards/000001.boxes.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="a shard of the pre-labels is damaged") as told:
        list(found.boxes())
    assert f"rm {path}" in str(told.value)
    path.unlink()
    assert own.look(QUICK).facts["boxes"] == whole(found).num_rows


def test_a_damaged_list_of_pictures_is_made_again_as_it_is_told(own: Made) -> None:
    found = own.look(QUICK)
    path, boxes = found.folder / "shards/000001.pictures.parquet", whole(found)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="a shard of the pre-labels is damaged") as told:
        own.look(QUICK)
    assert f"rm {path}" in str(told.value)
    path.unlink()
    assert whole(own.look(QUICK)).equals(boxes)


def test_killed_while_a_mended_picture_was_looked_at(own: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard is there from before: its old boxes must not be taken for those of the mended picture."""
    gone = own.places()[2]
    kept = gone.rename(gone.with_suffix(".kept"))
    found = own.look(QUICK)
    assert list(found.unreadable) == [2]
    kept.rename(gone)

    def killed(path: Path, content: bytes) -> None:
        if path.name.endswith("boxes.parquet"):
            raise KeyboardInterrupt
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("tasks.labelling.prelabelling.shards.write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            own.look(QUICK)
    again = own.look(QUICK)
    assert again.unreadable == {}
    seeds = own.seeds(again.image_id)
    assert whole(again).num_rows == sum(channel in (0, 1) for seed in seeds for channel in quarters_of(seed))
