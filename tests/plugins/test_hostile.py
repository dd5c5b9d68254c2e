"""What a plug-in may leave on purpose: links, pipes, bombs, and an input folder that lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.layout import Store, Version
from tasks.plugins import monitor
from tasks.plugins.labeller import open_plugin
from tasks.plugins.miner import rank
from tasks.plugins.process import tail_of
from tasks.plugins.results import (
    EACH_BOXES,
    EACH_SCORE,
    MOST_BOXES,
    MOST_SCORES,
    Flaws,
    read_boxes,
    read_models,
    read_scores,
)
from tasks.plugins.tiny import tiny
from tasks.plugins.trainer import train
from tests.plugins.programs import describe

BOX: dict[str, Any] = {"box": {"x": 1, "y": 2, "w": 3, "h": 4}, "class_name": "cat", "score": 0.5}
# before what the good one does, or after it
START = ("import os, shutil, sys\nfrom pathlib import Path\n"
         "how, inside, outside = sys.argv[1], *map(Path, sys.argv[2:])\n")


def program(workspace: Path, before: str = "", after: str = "", **fields: Any) -> str:
    """A plug-in that behaves, but for these lines."""
    name = describe(workspace, "good", **fields)
    path = workspace / "conf/plugin/program.py"
    path.write_text(START + before + "\n" + path.read_text() + after + "\n")
    return name


def ask(workspace: Path) -> int:
    picture = tiny(1, ["cat"])[0].source
    assert isinstance(picture, np.ndarray)
    return len(open_plugin("good", ["cat"], workspace).ask([picture])[0])


def look(path: Path, *items: Any) -> tuple[int, Flaws]:
    path.write_text(json.dumps({"detection": {"a.png": {"boxes": list(items)}}}))
    flaws = Flaws()
    return len(read_boxes(path, {"a.png": ("k", 128, 96)}, ["cat"], flaws)["k"].labels), flaws


@pytest.mark.parametrize(("change", "point"), [
    ({"class_name": []}, "classes"), ({"class_name": {}}, "classes"), ({"class_name": None}, "classes"),
    ({"box": {"x": 100, "y": 2, "w": 1e-7, "h": 4}}, "format"), ({"box": {"x": 1, "y": 2, "w": -3, "h": 4}}, "format"),
    ({"box": {"x": 1, "y": 2, "w": 0, "h": 4}}, "format"),
    ({"box": {"x": 1e308, "y": 2, "w": 1e308, "h": 4}}, "format"),
    ({"box": {"x": 10 ** 400, "y": 2, "w": 3, "h": 4}}, "format"), ({"box": [1, 2, 3, 4]}, "format"),
    ({"box": None}, "format"), ({"box": {"x": 1, "y": 2, "w": True, "h": 4}}, "format"), ({"score": 1.5}, "format"),
    ({"score": []}, "format"), ({"score": float("nan")}, "format")])
def test_a_box_of_rubbish_is_told(tmp_path: Path, change: dict[str, Any], point: str) -> None:
    assert look(tmp_path / "a.json", BOX)[0] == 1
    count, flaws = look(tmp_path / "a.json", BOX, BOX | change)
    assert count <= 1 and [flaw.point for flaw in flaws.kept] == [point]


def test_a_result_larger_than_its_pictures_allow_is_not_read(tmp_path: Path) -> None:
    for name, most in (("infer-result.json", MOST_BOXES + EACH_BOXES), ("result.tsv", MOST_SCORES + EACH_SCORE)):
        (tmp_path / name).write_bytes(b"")
        os.truncate(tmp_path / name, most + 1)
    flaws = Flaws()
    read_boxes(tmp_path / "infer-result.json", {"a.png": ("k", 1, 1)}, ["cat"], flaws)
    read_scores(tmp_path / "result.tsv", {"/in/a.png": "k"}, flaws)
    assert [flaw.detail for flaw in flaws.kept] == [
        "infer-result.json has more than 16 MiB, too much for the pictures that were given",
        "result.tsv has more than 1 MiB, too much for the pictures that were given"]


@pytest.mark.parametrize("after", [
    "(outside / 'infer-result.json').unlink()\n(outside / 'infer-result.json').symlink_to(Path(sys.argv[0]))",
    "(outside / 'infer-result.json').unlink()\nos.mkfifo(outside / 'infer-result.json')",
    "(outside / 'infer-result.json').unlink()\n(outside / 'infer-result.json').mkdir()"])
def test_a_result_that_is_no_plain_file_is_refused(tmp_path: Path, after: str) -> None:
    program(tmp_path, after=after)
    with pytest.raises(DataError, match="infer-result.json cannot be read"):
        ask(tmp_path)


@pytest.mark.parametrize("swap", ["os.mkfifo(log)", "log.symlink_to('/etc/hostname')"])
def test_a_log_that_was_swapped_is_not_opened(tmp_path: Path, swap: str) -> None:
    program(tmp_path, f"log = outside / 'ymir-executor-out.log'\nlog.unlink()\n{swap}\nsys.exit(5)")
    with pytest.raises(UserError, match="failed with exit code 5") as raised:
        ask(tmp_path)
    assert Path("/etc/hostname").read_text().strip() not in str(raised.value)


def test_a_monitor_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "monitor.txt")
    assert monitor.read(tmp_path / "monitor.txt") == "it cannot be read: not a plain file"


def test_the_terminal_is_not_theirs(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\x1b[2Jgone\tand\x07 done\n")
    assert tail_of(tmp_path / "log") == "·[2Jgone\tand· done"
    (tmp_path / "monitor.txt").write_bytes(b"t\t1\t0.5\t4\t300001\t\x1b]0;title\x07\n")
    record = monitor.read(tmp_path / "monitor.txt")
    assert isinstance(record, monitor.Record) and record.message == "·]0;title·"


@pytest.mark.parametrize("after", [
    "shutil.rmtree(inside)", "(inside / 'candidate-index.tsv').write_text('/etc/passwd\\n' * 3)"])
def test_an_input_folder_that_lies_afterwards_is_not_believed(tmp_path: Path, after: str,
                                                             pool: tuple[Store, Version]) -> None:
    program(tmp_path, after=after)
    assert ask(tmp_path) == 1
    assert len(rank("good", pool[1], pool[0], tmp_path)) == 7


def models(folder: Path, text: str) -> list[str]:
    (folder / "models/a").mkdir(parents=True)
    for name in ("w.bin", "a/x.bin", "x.bin"):
        (folder / "models" / name).write_text("w")
    (folder / "models/result.yaml").write_text(text)
    flaws = Flaws()
    made = read_models(folder / "models/result.yaml", folder / "models", flaws)
    assert (made is None) == bool(flaws.kept)
    return [f"{flaw.point}: {flaw.detail}" for flaw in flaws.kept]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]\n" for at in range(1, 12))


@pytest.mark.parametrize(("text", "words"), [
    ("best_stage_name: 1\nmodel_stages: {1: {files: [w.bin, x.bin], mAP: 0.5}}", ""),
    (BOMB + "best_stage_name: *a11\nmodel_stages: {a: {files: [w.bin]}}", "best_stage_name '' is none of its stages"),
    (BOMB + "best_stage_name: a\nmodel_stages: {a: {files: [*a11]}}", "'' is no file in the folder of models"),
    ("best_stage_name: &a [*a]\nmodel_stages: {a: {files: [w.bin]}}", "best_stage_name '' is none of its stages"),
    ("best_stage_name: log.txt\nmodel_stages: {log.txt: {files: [w.bin]}}", "a plain name"),
    ("best_stage_name: ..\nmodel_stages: {..: {files: [w.bin]}}", "a plain name"),
    ("best_stage_name: a\nmodel_stages: {a: {files: [a/x.bin, x.bin]}}", ""),
    ("best_stage_name: b\nmodel_stages: {b: {files: [a/x.bin, x.bin]}}", "two of its files are called 'x.bin'"),
    ("x: !!python/object/apply:os.system ['true']", "files: result.yaml is not YAML"), ("<<: *x", "is not YAML")])
def test_a_list_of_models_may_not_climb_collide_or_explode(tmp_path: Path, text: str, words: str) -> None:
    told = models(tmp_path, text)
    assert bool(told) == bool(words) and (not words or words in told[0])


def test_a_folder_of_models_that_is_a_link_is_refused(tmp_path: Path) -> None:
    assert models(tmp_path / "other", "best_stage_name: a\nmodel_stages: {a: {files: [w.bin]}}") == []
    (tmp_path / "models").symlink_to(tmp_path / "other/models")
    flaws = Flaws()
    assert read_models(tmp_path / "models/result.yaml", tmp_path / "models", flaws) is None
    assert flaws.of("names") == ["models is a link"]


def test_a_training_does_not_take_the_place_of_something_else(tmp_path: Path, pool: tuple[Store, Version]) -> None:
    store, version = pool
    describe(tmp_path, "good")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("years of work")

    def run(out: str, **more: Any) -> None:
        train("good", version.folder, store.pictures, tmp_path / out, tmp_path, **more)

    with pytest.raises(UserError, match="something else is there"):
        run("mine")
    assert (tmp_path / "mine/notes.txt").is_file()
    with pytest.raises(UserError, match="there are no such weights"):
        run("out", models=[tmp_path / "absent.pt"])
    with pytest.raises(UserError, match="class_names is written by visionmill"):
        run("out", more={"class_names": ["a"]})
    assert not (tmp_path / "out").exists()
    run("out")
    run("out")
    assert (tmp_path / "out/trained.json").is_file()


def test_a_program_without_a_slash_counts_in_the_digest(tmp_path: Path) -> None:
    describe(tmp_path, "here", command=["{python}", "here.py", "{in}", "{out}"])
    (tmp_path / "here.py").write_text("1")
    before = open_plugin("here", ["cat"], tmp_path).digest
    (tmp_path / "here.py").write_text("2")
    assert open_plugin("here", ["cat"], tmp_path).digest != before
