"""The flow against plain DVC: the same lock, and outcomes, exit codes and reasons that DVC alone would lose."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import bookkeeping, line
from flows.stages import Outcome
from flows.workspace import note
from tasks.base.errors import UserError, VisionmillError
from tests.flows.toy import STAGES, Toy

EXTRA = {"runs/train.json"}


def outcomes(toy: Toy) -> dict[str, str]:
    return {o["stage"]: o["what"] for o in note("last_run", toy.path)["outcomes"] if o["stage"] != "code"}


def lock(toy: Toy) -> dict:
    """dvc.lock without the hashes of what is never compared."""
    stages = line.read_lock(toy.path)
    for stage in stages.values():
        stage["outs"] = [out for out in stage["outs"] if out["path"] not in EXTRA]
    return stages


def test_flow_and_dvc_leave_the_same_lock(make_toy: Callable[..., Toy], served_toy: Toy) -> None:
    plain, flow = make_toy("plain"), served_toy
    done = plain.run("dvc", "repro")
    assert done.returncode == 0, done.stdout
    done = flow.run("visionmill", "run")
    assert done.returncode == 0, done.stdout
    assert outcomes(flow) == dict.fromkeys(STAGES, "ran")
    assert "train        | train wrote 3 words" in done.stdout
    assert "registered: toy version 1 (candidate)" in done.stdout
    assert lock(plain) == lock(flow)
    again = flow.run("dvc", "repro")
    assert again.returncode == 0 and again.stdout.count("didn't change, skipping") == len(STAGES)


@pytest.mark.slow
def test_after_a_run_by_hand_the_flow_only_registers(served_toy: Toy) -> None:
    served_toy.run("dvc", "repro")
    before = (served_toy.path / "dvc.lock").read_bytes()
    done = served_toy.run("visionmill", "run")
    assert done.returncode == 0 and "to register" in done.stdout, done.stdout
    assert set(outcomes(served_toy).values()) == {"up to date"}
    assert (served_toy.path / "dvc.lock").read_bytes() == before

    start = time.monotonic()
    again = served_toy.run("visionmill", "run")
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert "version 1" in again.stdout and time.monotonic() - start < 6


@pytest.mark.slow
def test_an_edit_runs_what_depends_on_it_and_its_revert_restores(served_toy: Toy) -> None:
    toy = served_toy
    toy.run("dvc", "repro")
    toy.ran()
    toy.edit("train:\n  words: 3", "train:\n  words: 2")
    done = toy.run("visionmill", "run")
    assert "4 of 7 stages to do" in done.stdout
    found = outcomes(toy)
    assert [found[s] for s in ("ingest", "split", "train", "export")] == ["up to date", "up to date", "ran", "ran"]
    assert toy.ran() == ["train", "export", "evaluate", "report"]

    toy.edit("train:\n  words: 2", "train:\n  words: 3")
    done = toy.run("visionmill", "run")
    assert outcomes(toy)["train"] == "restored", done.stdout
    assert toy.ran() == []
    assert (toy.path / "train.txt").read_text() == "one two three train\n"


@pytest.mark.slow
def test_the_users_error_is_passed_on_and_not_tried_again(served_toy: Toy) -> None:
    (served_toy.path / "fail-train").write_text("2")
    done = served_toy.run("visionmill", "run")
    assert done.returncode == 2
    assert "train does not like its input" in done.stdout and "Traceback" not in done.stdout
    assert served_toy.ran().count("train") == 1
    found = {o["stage"]: o for o in note("last_run", served_toy.path)["outcomes"]}
    assert found["train"]["what"] == "failed"
    assert found["report"]["what"] == "skipped" and "because" in found["report"]["reason"]
    assert not (served_toy.path / ".visionmill/registered.json").exists()


@pytest.mark.slow
def test_our_own_error_is_tried_again(served_toy: Toy) -> None:
    (served_toy.path / "fail-split").write_text("1")
    done = served_toy.run("visionmill", "run", "--retries", "1")
    assert done.returncode == 1
    assert served_toy.ran().count("split") == 2


@pytest.mark.slow
def test_a_refusing_gate_ends_with_3_also_when_asked_again(served_toy: Toy) -> None:
    (served_toy.path / "fail-gate").touch()
    done = served_toy.run("visionmill", "run")
    assert done.returncode == 3 and "gate:       refused" in done.stdout, done.stdout
    again = served_toy.run("visionmill", "run")
    assert again.returncode == 3 and "nothing to do" in again.stdout
    assert "ended with a refusing gate" in served_toy.run("visionmill", "status").stdout


@pytest.mark.slow
def test_the_stages_are_noted_when_registration_breaks(served_toy: Toy) -> None:
    (served_toy.path / "fail-register").touch()
    done = served_toy.run("visionmill", "run")
    assert done.returncode == 1 and "registration failed: RuntimeError: the store broke" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout and "runs:       cd " in done.stdout
    assert set(outcomes(served_toy).values()) == {"ran"}
    assert "registration: registration failed" in served_toy.run("visionmill", "status").stdout
    (served_toy.path / "fail-register").unlink()
    assert "registered: toy version 1" in served_toy.run("visionmill", "run").stdout


@pytest.mark.parametrize(("error", "code", "text"), [
    (UserError("no such gate"), 2, "no such gate"),
    (RuntimeError("the store\nbroke"), 1, "registration failed: RuntimeError: the store broke"),
    (OSError(errno.ENOSPC, "No space left"), 2, "the disk is full"),
])
def test_an_error_of_registration_loses_nothing(error: Exception, code: int, text: str, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    def register(root: Path) -> None:
        raise error

    monkeypatch.setattr(bookkeeping, "register_line", register)
    registered, known = bookkeeping.register_and_ask(tmp_path)
    with pytest.raises(VisionmillError, match=text) as raised:
        bookkeeping.close(tmp_path, [Outcome("train", "ran")], registered, known)
    assert raised.value.exit_code == code
    assert "artefact" in capsys.readouterr().out
    saved = note("last_run", tmp_path)
    assert saved["exit_code"] == code and text in saved["error"]
    assert [o["stage"] for o in saved["outcomes"]] == ["train"]


@pytest.mark.slow
def test_an_edit_of_one_stages_code_reruns_it_alone(toy: Toy) -> None:
    toy.run("dvc", "repro")
    toy.ran()
    file = toy.installation / "tasks/export.py"
    text = file.read_text()
    try:
        file.write_text("# a comment\n" + text)
        toy.run("dvc", "repro")
        assert toy.ran() == []
        file.write_text(text + "\nUNUSED = 1\n")
        assert "export             its code changed" in toy.run("visionmill", "status").stdout
        toy.run("dvc", "repro")
        assert toy.ran() == ["export"]
    finally:
        file.write_text(text)


@pytest.mark.parametrize("verb", ["run", "register", "status", "configure", "upgrade"])
def test_outside_a_workspace(verb: str, toy: Toy) -> None:
    (toy.path / "dvc.yaml").unlink()
    done = toy.run("visionmill", verb)
    assert done.returncode == 2
    assert "this is no workspace: dvc.yaml is missing" in done.stdout and "visionmill new" in done.stdout


def test_an_unknown_key_is_refused_before_anything_runs(toy: Toy) -> None:
    toy.edit("train:\n  words: 3", "train:\n  wrods: 3")
    done = toy.run("visionmill", "run")
    assert done.returncode == 2
    assert "unknown parameter 'wrods'" in done.stdout and "did you mean 'words'?" in done.stdout
    assert toy.ran() == []


def test_a_section_that_a_stage_reads_may_not_be_missing(toy: Toy) -> None:
    toy.edit("report:\n  words: 3\n", "")
    done = toy.run("visionmill", "run")
    assert done.returncode == 2 and "'report' is missing, which stage report reads" in done.stdout, done.stdout
    assert toy.ran() == []


def test_an_unknown_section_is_refused_by_dvc_too(toy: Toy) -> None:
    toy.edit("policy: manual", "policy: manual\ntrian:\n  words: 2")
    done = toy.run("visionmill", "run")
    assert done.returncode == 2 and "did you mean 'train'?" in done.stdout
    assert "unknown section 'trian'" in toy.run("dvc", "repro").stdout
    assert toy.ran() == []


def test_register_wants_everything_up_to_date(toy: Toy) -> None:
    done = toy.run("visionmill", "register")
    assert done.returncode == 2 and "dvc repro" in done.stdout
    toy.run("dvc", "repro")
    done = toy.run("visionmill", "register")
    assert done.returncode == 0 and "registered: toy version 1" in done.stdout
    assert "nothing to do" in toy.run("visionmill", "run").stdout
