"""DVC's status in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.line import Line, differences, drop_dead_locks, explain

LOCKED = {"params": {"params.yaml": {"train": {"epochs": 30, "augment": {"flip": "none"}}}}}
VALUES = {"train": {"epochs": 40, "augment": {"flip": "none"}}}


@pytest.mark.parametrize(("states", "words"), [
    ([], []),
    (["changed command"], ["its command changed"]),
    ([{"changed deps": {"data/split": "modified"}}], ["data/split changed"]),
    ([{"changed deps": {"data/raw": "deleted"}}], ["data/raw is missing"]),
    ([{"changed deps": {"params.yaml": {"train": "modified"}}}], ["train.epochs 30 -> 40"]),
    ([{"changed deps": {"code.yaml": {"train": "modified"}}}], ["its code changed"]),
    ([{"changed deps": {"code.yaml": {"target-cpu-int8": "modified"}}}], ["conf/target/cpu-int8.yaml changed"]),
    ([{"changed outs": {"models/trained": "deleted"}}], ["models/trained is missing"]),
    ([{"changed outs": {"models/trained": "modified"}}], ["models/trained was changed by hand"]),
    ([{"changed outs": {"models/trained": "not in cache"}}], ["models/trained is not in the cache"]),
    ([{"changed deps": {"a": "new"}}, {"changed outs": {"b": "modified"}}], ["a is new", "b was changed by hand"]),
])
def test_a_reason_names_what_changed(states: list, words: list[str]) -> None:
    assert list(explain(states, LOCKED, VALUES)) == words


def test_a_stage_that_never_ran_says_that_alone() -> None:
    assert list(explain([{"changed deps": {"a": "new"}}], {}, {})) == ["never ran"]


@pytest.mark.parametrize(("old", "new", "words"), [
    (1, 2, ["k 1 -> 2"]),
    (None, 2, ["k not set -> 2"]),
    ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, ["k.b.c 2 -> 3"]),
    ({"a": 1}, {"b": 1}, ["k.a 1 -> not set", "k.b not set -> 1"]),
    ([1], [1, 2], ["k [1] -> [1, 2]"]),
])
def test_differences_name_the_value(old: object, new: object, words: list[str]) -> None:
    assert list(differences("k", old, new)) == words


def test_what_follows_a_stale_stage_runs_too() -> None:
    line = Line(["a", "b", "c"], {"a": set(), "b": {"a"}, "c": set()}, {"a": ["its code changed"]})
    assert line.will_run() == ["a", "b"]


def test_locks_of_dead_processes_are_dropped_also_while_nobody_has_reaped_them(tmp_path: Path) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout and zombie.stdout.read() == b""
    file = tmp_path / ".dvc/tmp/rwlock"
    file.parent.mkdir(parents=True)
    alive, dead = {"pid": os.getpid(), "cmd": "dvc"}, {"pid": zombie.pid, "cmd": "dvc"}
    file.write_text(json.dumps({"read": {"a": [alive, dead], "b": [dead]}, "write": {"c": dead, "d": alive}}))
    while Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        pass
    drop_dead_locks(tmp_path)
    assert json.loads(file.read_text()) == {"read": {"a": [alive]}, "write": {"d": alive}}
    zombie.wait()
    for broken in ("", "{}", "[]", '{"read": 3}'):
        file.write_text(broken)
        drop_dead_locks(tmp_path)
        assert file.read_text() == broken
