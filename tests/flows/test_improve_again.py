# ruff: noqa: F811 - fixtures that are imported
"""`visionmill improve` on rounds that have begun: looking, two at once, what may not change, a wait without a flow."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.commands import improve
from tasks.base.errors import UserError, WorkspaceBusy
from tasks.base.presets import find
from tasks.improving import state as journal
from tests.flows.test_improve import BEGIN, TINY, workspace  # noqa: F401
from tests.improving.conftest import drawn  # noqa: F401


def test_what_still_waits_is_found_without_a_flow(workspace: Path, capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.improving.oracle import OracleDesk
    from tasks.labelling.jobs.desk import Status

    with monkeypatch.context() as patch:
        patch.setattr(OracleDesk, "status", lambda self, job: Status(3, 1, 1))
        improve.main([*BEGIN, "--rounds", "1", *TINY])
        before = journal.read("shapes-oracle", workspace)
        patch.setattr("flows.supervisor.supervise", lambda *_: pytest.fail("no flow is needed for a look"))
        assert improve.main([]) == 0
    assert journal.read("shapes-oracle", workspace) == before
    assert "1 of 3 pictures" in capsys.readouterr().out
    assert improve.main([]) == 0 and journal.read("shapes-oracle", workspace).todo() is None


def test_of_two_commands_the_second_waits_or_says_so_and_a_wish_to_stop_stays(
        workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    assert improve.main(["undo", "--round"]) == 0
    code = "import sys, time; from pathlib import Path; from flows.supervisor import workspace_lock\n" \
           "with workspace_lock(Path.cwd()): print('held', flush=True); sys.stdin.read()"
    first = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdin is not None and first.stdout is not None and first.stdout.readline() == b"held\n"
    try:
        improve.main(["stop"])
        for words in ([], ["undo"], ["redo"], ["skip", "mine"]):
            before = journal.read("shapes-oracle", workspace)
            with pytest.raises(WorkspaceBusy, match="another run is going on"):
                improve.main(words)
            assert journal.read("shapes-oracle", workspace) == before
        assert journal.stop_file("shapes-oracle", workspace).exists() and improve.main(["status"]) == 0
        ending = threading.Timer(0.5, first.stdin.close)
        ending.start()
        assert improve.main(["--wait"]) == 0
    finally:
        first.kill()
        first.wait()
    assert journal.read("shapes-oracle", workspace).todo() is None


def test_a_round_is_looked_at_step_by_step(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    improve.main([*BEGIN, "--rounds", "1", "--control", *TINY])
    capsys.readouterr()
    assert improve.main(["status"]) == 0
    told = capsys.readouterr().out
    for text in ("picked    3 pictures by random", "drawn at random", "control: cost", "accuracy  all", "bar",
                 "improve status --round 1"):
        assert text in told, text
    assert improve.main(["status", "--round", "1"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {step}: " in told and f"  {step} (control): " in told for step in journal.STEPS)
    with pytest.raises(UserError, match="round 7 has not begun"):
        improve.main(["status", "--round", "7"])


@pytest.mark.parametrize(("words", "message"), [
    (["--pool", "another"], "--pool another, and they have shapes-oracle-pool@1"),
    (["--judge", "shapes"], "--judge shapes, and they have"),
    (["--control"], "--control, and they have none"),
    (["--start", "7"], "--start 7, and they began with 6"),
    (["--budget", "5", "--set", "budget.x=1"], "budget is one value"),
])
def test_what_rounds_began_with_is_not_changed_in_silence(workspace: Path, words: list[str], message: str) -> None:
    assert improve.main([*BEGIN, "--rounds", "1", *TINY]) == 0
    before = journal.read("shapes-oracle", workspace)
    with pytest.raises(UserError, match=message):
        improve.main(["--name", "shapes-oracle", *words])
    assert journal.read("shapes-oracle", workspace) == before


def test_a_changed_or_lost_preset_does_not_touch_rounds_that_have_begun(workspace: Path) -> None:
    preset = workspace / "conf/improve/mine.yaml"
    preset.parent.mkdir(parents=True)
    shutil.copy(find("improve", "quick"), preset)
    assert improve.main([*BEGIN, "--rounds", "1", "--preset", "mine", *TINY]) == 0
    assert improve.main(["undo"]) == 0
    before = journal.read("shapes-oracle", workspace)
    preset.write_text("improve: {of: another, release: 9}\n")
    assert improve.main([]) == 0
    preset.unlink()
    assert improve.main([]) == 0
    after = journal.read("shapes-oracle", workspace)
    assert after.settings == before.settings and after.todo() is None


def test_instructions_that_are_no_text_are_told(workspace: Path) -> None:
    (workspace / "how.pdf").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text in UTF-8"):
        improve.main([*BEGIN, *TINY, "--instructions", "how.pdf"])
