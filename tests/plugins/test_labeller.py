from __future__ import annotations

import contextlib
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError, ParamsError, UserError
from tasks.plugins.labeller import open_plugin
from tasks.plugins.tiny import tiny
from tests.plugins.programs import describe, is_gone

CLASSES = ["cat", "dog"]


def pictures(count: int = 3) -> list[np.ndarray]:
    return [one.source for one in tiny(count, CLASSES) if isinstance(one.source, np.ndarray)]


def put_classes(workspace: Path, lines: str) -> None:
    (workspace / "conf/classes.yaml").write_text(f"classes:\n{lines}\n")


def rooms(workspace: Path) -> list[Path]:
    return sorted((workspace / ".visionmill/plugins").glob("*"))


def test_a_plug_in_is_a_teacher(tmp_path: Path) -> None:
    teacher = open_plugin(f"plugin:{describe(tmp_path, 'good')}", CLASSES, tmp_path)
    some = pictures()
    found = teacher.ask([*some, some[0]])
    assert (teacher.name, teacher.classes, len(teacher.digest)) == ("plugin:good", CLASSES, 64)
    assert [one.labels.tolist() for one in found] == [[0], [1], [0], [0]]
    assert found[1].boxes.tolist() == [[6, 6, 26, 21]] and found[1].boxes.dtype == np.float32
    assert found[2].scores.tolist() == pytest.approx([0.88]) and found[3].boxes.tolist() == found[0].boxes.tolist()
    # nothing of another class is near: the margin is the score itself
    assert found[0].margin.tolist() == pytest.approx([0.9]) and found[0].spread.tolist() == [0]
    assert rooms(tmp_path) == [] and teacher.ask([]) == []


def test_boxes_that_hang_over_the_edge_are_cut_there(tmp_path: Path) -> None:
    describe(tmp_path, "good")
    program = tmp_path / "conf/plugin/program.py"
    program.write_text(program.read_text().replace("0.02", "0.5"))
    found = open_plugin("good", CLASSES, tmp_path).ask(pictures(1))[0]
    assert found.boxes.tolist() == [[5, 6, 25, 21], [40, 30, 128, 50]]


def test_classes_meet_as_those_of_other_teachers_do(tmp_path: Path) -> None:
    describe(tmp_path, "good", classes=["hound", "puma"])
    with pytest.raises(UserError, match="no class of plugin:good is one of the pool's"):
        open_plugin("good", CLASSES, tmp_path)
    teacher = open_plugin("good", CLASSES, tmp_path, {"hound": "dog", "puma": "-"})
    assert [one.labels.tolist() for one in teacher.ask(pictures())] == [[1], [], [1]]
    by_name = open_plugin("good", ["hound"], tmp_path)
    assert [one.labels.tolist() for one in by_name.ask(pictures(2))] == [[0], []]
    assert teacher.digest != by_name.digest
    assert "puma" in by_name.notes[0] and any("does not know cat" in note for note in teacher.notes)
    alone = open_plugin("good", [], tmp_path)
    assert alone.classes == ["hound", "puma"] and [one.labels.tolist() for one in alone.ask(pictures(2))] == [[0], [1]]
    put_classes(tmp_path, "- {name: dog, aliases: [hound]}")
    assert open_plugin("good", CLASSES, tmp_path).ask(pictures(1))[0].labels.tolist() == [1]


def test_a_map_that_leaves_out_or_joins_needs_a_word(tmp_path: Path) -> None:
    describe(tmp_path, "good", classes=["hound", "puma", "lynx"])
    with pytest.raises(UserError, match="the map leaves 2 of the 3 classes of plugin:good out: puma, lynx") as raised:
        open_plugin("good", CLASSES, tmp_path, {"hound": "dog"})
    assert "--drop-rest" in str(raised.value)
    several = {"hound": "dog", "puma": "cat", "lynx": "cat"}
    with pytest.raises(UserError, match="one class of several: puma, lynx all become cat") as raised:
        open_plugin("good", CLASSES, tmp_path, several)
    assert "--join" in str(raised.value)
    joined = open_plugin("good", CLASSES, tmp_path, several, join=True)
    assert [one.labels.tolist() for one in joined.ask(pictures())] == [[1], [0], [0]]
    assert joined.notes == ["joined: puma, lynx become cat"]
    dropped = open_plugin("good", CLASSES, tmp_path, {"hound": "dog"}, drop_rest=True)
    assert [one.labels.tolist() for one in dropped.ask(pictures())] == [[1], [], []]


def test_one_without_classes_is_asked_for_those_that_are_known(tmp_path: Path) -> None:
    describe(tmp_path, "good")
    with pytest.raises(UserError, match="neither the pool nor the plug-in"):
        open_plugin("good", [], tmp_path)
    # of the map, else of the pool, else of the workspace
    mapped = open_plugin("good", CLASSES, tmp_path, {"hound": "dog"})
    assert [one.labels.tolist() for one in mapped.ask(pictures(2))] == [[1], [1]]
    put_classes(tmp_path, "- {name: lynx}")
    listed = open_plugin("good", [], tmp_path)
    assert listed.classes == ["lynx"] and listed.ask(pictures(1))[0].labels.tolist() == [0]


def test_it_travels_to_other_processes(tmp_path: Path) -> None:
    teacher = open_plugin(describe(tmp_path, "good"), CLASSES, tmp_path)
    again = pickle.loads(pickle.dumps(teacher))
    assert again.digest == teacher.digest and len(again.ask(pictures(1))[0]) == 1


def test_the_digest_is_of_program_and_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_text("1")
    describe(tmp_path, "good", models=["weights.bin"])
    digests = [open_plugin("good", CLASSES, tmp_path).digest]
    weights.write_text("2")
    digests.append(open_plugin("good", CLASSES, tmp_path).digest)
    with (tmp_path / "conf/plugin/program.py").open("a") as program:
        program.write("# another\n")
    digests += [open_plugin("good", CLASSES, tmp_path).digest for _ in range(2)]
    assert len(set(digests)) == 3 and digests[2] == digests[3]


@pytest.mark.parametrize(("how", "words"), [
    ("nothing", "there is no infer-result.json"), ("rubbish", "not JSON"), ("list", "expected {'detection'"),
    ("deep", "not JSON"), ("nan", "not JSON: NaN is no number"), ("outside", "outside its picture of 128 x 96"),
    ("classes", "class 'elephant' is none of cat, dog"), ("climbs", "'../../../etc/passwd' is not the name of a")])
def test_an_answer_that_cannot_be_used_is_refused(tmp_path: Path, how: str, words: str) -> None:
    teacher = open_plugin(describe(tmp_path, how), CLASSES, tmp_path)
    with pytest.raises(DataError) as raised:
        teacher.ask(pictures(2))
    assert words in str(raised.value)
    # what it was given and what it made stay, for whoever looks for the reason
    assert (rooms(tmp_path)[0] / "in/env.yaml").is_file()


@pytest.mark.parametrize(("how", "words"), [
    ("breaks", ["out of memory (300103): 3 GB asked for", "Traceback:"]),
    ("exits", ["failed with exit code 5", "cannot go on"])])
def test_a_failure_is_told_in_its_own_words(tmp_path: Path, how: str, words: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        open_plugin(describe(tmp_path, how), CLASSES, tmp_path).ask(pictures(1))
    assert all(word in str(raised.value) for word in words)
    assert "ymir-executor-out.log" in str(raised.value)


@pytest.mark.parametrize(("how", "fields", "words"), [
    ("never", {"minutes": 0.02}, "did not end within 0.02 minutes and was ended; it had reached 0%"),
    ("loud", {"minutes": 0.02, "silent": 0.01}, "did not end within 0.02 minutes"),
    ("never", {"silent": 0.02}, "said nothing for 0.02 minutes and was ended")])
def test_one_that_never_ends_is_ended(tmp_path: Path, how: str, fields: dict[str, float], words: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=words):
        open_plugin(describe(tmp_path, how, **fields), CLASSES, tmp_path).ask(pictures(1))
    assert time.monotonic() - start < 60


def test_children_that_outlive_it_are_ended(tmp_path: Path) -> None:
    teacher = open_plugin(describe(tmp_path, "children"), CLASSES, tmp_path)
    path = tmp_path / "pids"
    program = tmp_path / "conf/plugin/program.py"
    program.write_text(program.read_text().replace('outside / "pids"', repr(str(path))))
    assert len(teacher.ask(pictures(1))) == 1
    pids = [int(word) for word in path.read_text().split()]
    assert len(pids) == 2 and all(map(is_gone, pids))


def test_children_that_make_children_are_ended(tmp_path: Path) -> None:
    teacher = open_plugin(describe(tmp_path, "bomb", environment={"BOMB": str(tmp_path)}), CLASSES, tmp_path)
    assert len(teacher.ask(pictures(1))) == 1
    sign = f"BOMB={tmp_path}".encode()
    time.sleep(0.2)
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sign in (entry / "environ").read_bytes().split(b"\0"):
                left.append(entry.name)
    assert left == []


def test_what_cannot_be_asked_is_refused_before_it_starts(tmp_path: Path) -> None:
    describe(tmp_path, "good", kinds=["mine"])
    with pytest.raises(UserError, match="finds no boxes: its kinds are mine"):
        open_plugin("good", CLASSES, tmp_path)
    with pytest.raises(ParamsError, match="no plugin preset is called 'goof'") as raised:
        open_plugin("plugin:goof", CLASSES, tmp_path)
    assert "did you mean 'good'?" in str(raised.value)
    describe(tmp_path, "fixed", fixed_paths=True)
    with pytest.raises(UserError, match="insists on the folders /in and /out") as raised_too:
        open_plugin("fixed", CLASSES, tmp_path)
    assert "docker or podman" in str(raised_too.value)
    describe(tmp_path, "weights", models=["absent.bin"])
    with pytest.raises(UserError, match="has no weights there"):
        open_plugin("weights", CLASSES, tmp_path)
    describe(tmp_path, "gone", command=["no-such-program-here"])
    with pytest.raises(UserError, match="needs 'no-such-program-here'"):
        open_plugin("gone", CLASSES, tmp_path)


@pytest.mark.parametrize(("fields", "words"), [
    ({"image": "a/b"}, "either a command or an image"), ({"command": []}, "either a command or an image"),
    ({"parameters": {"class_names": ["a"]}}, "class_names is written by visionmill"),
    ({"kinds": ["sing"]}, "kinds"), ({"kinds": []}, "kinds"), ({"gpus": "all; rm"}, "gpus"),
    ({"environment": {"a b": "c"}}, "cannot be a variable's name"), ({"comand": ["x"]}, "did you mean 'command'")])
def test_a_wrong_description_is_told(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ParamsError) as raised:
        open_plugin(describe(tmp_path, "good", **fields), CLASSES, tmp_path)
    assert words in str(raised.value)
