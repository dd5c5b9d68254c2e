"""Decoded pictures on disk: shared, and sound after a kill at any time."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.training import cache
from tasks.training.cache import PixelCache

SIZES = np.array([(20, 30), (1, 1), (40, 10), (0, 0), (20, 30)])


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (*SIZES[index], 3), dtype=np.uint8)


def filled(folder: Path, room: int = 1 << 20) -> PixelCache:
    kept = PixelCache(folder, "key", SIZES, room)
    for index in range(len(SIZES)):
        kept.put(index, pixels(index))
    return kept


def test_what_is_put_is_got(tmp_path: Path) -> None:
    kept = PixelCache(tmp_path, "key", SIZES, 1 << 20)
    assert [kept.get(i) for i in range(5)] == [None] * 5
    for again in (filled(tmp_path), PixelCache(tmp_path, "key", SIZES, 1 << 20), kept):
        assert again.get(3) is None  # a picture whose size is not known
        for index in (0, 1, 2, 4):
            found = again.get(index)
            assert found is not None and np.array_equal(found, pixels(index))
    assert PixelCache(tmp_path, "other", SIZES, 1 << 20).get(0) is None


def test_pictures_beyond_the_room_are_not_kept(tmp_path: Path) -> None:
    kept = filled(tmp_path, room=1803 + 1199)
    assert [kept.get(i) is not None for i in range(5)] == [True, True, False, False, False]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.pixels")) == 1803
    assert filled(tmp_path / "none", room=0).get(0) is None


def test_pixels_of_another_size_are_not_kept(tmp_path: Path) -> None:
    kept = PixelCache(tmp_path, "key", SIZES, 1 << 20)
    kept.put(0, np.zeros((30, 20, 3), np.uint8))
    assert kept.get(0) is None


def test_what_another_process_writes_is_seen(tmp_path: Path) -> None:
    here = PixelCache(tmp_path, "key", SIZES, 1 << 20)
    there = pickle.loads(pickle.dumps(here))
    there.put(2, pixels(2))
    found = here.get(2)
    assert found is not None and np.array_equal(found, pixels(2))


@pytest.mark.parametrize("damage", ["pixels", "mark", "both files cut"])
def test_what_a_lost_power_leaves_is_decoded_again(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    data, marks = tmp_path / "key.pixels", tmp_path / "key.marks"
    if damage == "pixels":
        data.write_bytes(b"\0" * 100 + data.read_bytes()[100:])
    elif damage == "mark":
        marks.write_bytes(b"\1" + marks.read_bytes()[1:])
    else:
        os.truncate(data, 100)
        os.truncate(marks, 4)
    again = PixelCache(tmp_path, "key", SIZES, 1 << 20)
    assert again.get(0) is None
    again.put(0, pixels(0))
    found = again.get(0)
    assert found is not None and np.array_equal(found, pixels(0))


def test_a_full_disk_keeps_no_more_and_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    kept = PixelCache(tmp_path, "key", SIZES, 1 << 20)
    kept.put(0, pixels(0))

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    kept.put(1, pixels(1))
    kept.put(2, pixels(2))
    assert capsys.readouterr().out.count("the disk is full") == 1
    assert kept.get(0) is not None and kept.get(1) is None
    monkeypatch.setattr(os, "pwrite", lambda *arguments: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        PixelCache(tmp_path, "key", SIZES, 1 << 20).put(1, pixels(1))


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: whole(file, content[:7], at))
    found = filled(tmp_path).get(0)
    assert found is not None and np.array_equal(found, pixels(0))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tasks.training.cache import PixelCache
sizes = np.full((200, 2), 100)
while True:
    kept = PixelCache(Path(sys.argv[1]), "key", sizes, 1 << 30)
    print("on", flush=True)
    for index in range(200):
        kept.put(index, np.full((100, 100, 3), index, np.uint8))
"""


def test_writers_that_are_killed(tmp_path: Path) -> None:
    """Two at once, killed in the middle of it: what is got is right, and the rest is not there."""
    root = Path(cache.__file__).parents[2]
    got = 0
    for wait in (0.0, 0.003, 0.01):
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, cwd=root)
                   for _ in range(2)]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"on\n"
        time.sleep(wait)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        kept = PixelCache(tmp_path, "key", np.full((200, 2), 100), 1 << 30)
        found = {index: pixels for index in range(200) if (pixels := kept.get(index)) is not None}
        assert all((pixels == index).all() for index, pixels in found.items())
        assert len(found) >= got
        got = len(found)
    assert got
