"""The verbs as a person types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from flows.commands.label import main
from tasks.base.errors import UserError

from .bench import Bench, coco_of, make_bench


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A workspace with a store that DVC tracks."""
    made = make_bench(tmp_path_factory.mktemp("verbs"))
    made.workspace.mkdir()
    for words in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(words, cwd=made.workspace, check=True, capture_output=True)
    made.store.root.rename(made.workspace / "store")
    made.store.__init__(made.workspace / "store")  # type: ignore[misc]
    for name in ("dvc.yaml", "params.yaml"):
        (made.workspace / name).write_text("{}\n")
    return Bench(made.workspace, made.store, made.store.find("pool-auto"), made.raw)


@pytest.fixture(autouse=True)
def inside(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.workspace)
    monkeypatch.setenv("VISIONMILL_STORE", str(desk.store.root))


def test_from_sending_to_a_second_look(desk: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0 and "no labelling job" in capsys.readouterr().out
    Path("how.md").write_text("Tight, please.")
    assert main(["send", "pool-auto", "--to", "files", "--hardest", "3", "--instructions", "how.md"]) == 0
    said = capsys.readouterr().out
    assert "job pool-auto: 3 pictures of pool-auto@1 are with coco (labelling/pool-auto)" in said
    assert "order: hardest first by the difficulty of each picture" in said
    assert main(["fetch", "pool-auto"]) == 0
    assert "nothing to make a version of yet" in capsys.readouterr().out
    path, content = coco_of(Path("labelling/pool-auto/part-1"))
    content["annotations"][0]["bbox"][0] += 3
    path.write_text(json.dumps(content))
    assert main(["fetch", "pool-auto", "--who", "ann"]) == 0
    said = capsys.readouterr().out
    assert "1 of 3 pictures are done" in said and "made pool-auto-labelled@1" in said
    assert "boxes:   1 accepted, 1 adjusted\nclicks:  2 with what was sent, 4 from nothing (0.50 of it)" in said
    # tracked, so that it can be pushed
    assert (desk.store.versions / "pool-auto-labelled/1.dvc").is_file()
    assert main(["fetch", "pool-auto", "--file", f"bob={path}", "--unchanged", "accept", "--out", "other"]) == 0
    assert "3 of 3 pictures are done" in capsys.readouterr().out
    assert main(["return", "pool-auto", "--pictures", "c.png", "--note", "a plate is missing"]) == 0
    assert "1 pictures of job pool-auto are open again at coco" in capsys.readouterr().out
    assert main(["status", "pool-auto"]) == 0
    said = capsys.readouterr().out
    assert "pool-auto: 2 of 3 pictures done, 1 begun" in said and "by bob 3, ann 1" in said
    assert "second look: 1 pictures (a plate is missing)" in said and "as other@1: 3 accepted, 1 adjusted" in said


def test_a_desk_that_cannot_be_asked_says_since_when(desk: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "pool-auto", "--to", "files", "--job", "lost", "--dir", "away"]) == 0
    Path("away").rename("elsewhere")
    capsys.readouterr()
    main(["status", "lost"])
    first = capsys.readouterr().out
    since = first.partition("not reached since ")[2].partition(": its folder is gone")[0]
    assert since.startswith("20") and "4 are with coco since" in first
    main(["status", "lost"])
    assert f"not reached since {since}:" in capsys.readouterr().out
    Path("elsewhere").rename("away")
    main(["status", "lost"])
    assert "not reached" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "what"), [
    (["send", "pool-auto", "--to", "label-studio", "--format", "coco"], "--format is for files"),
    (["send", "pool-auto", "--to", "files", "--job", "x", "--instructions", "none.md"], "instructions cannot be read"),
    (["send", "pool-auot", "--to", "files"], "no dataset is called"),
    (["send", "pool-auto", "--to", "files", "--verify", "--job", "x"], "--verify is for Ground Truth"),
    (["fetch", "nobody"], "no labelling job is called 'nobody'"), (["status", "nobody"], "no labelling job"),
    (["return", "nobody", "--pictures", "a", "--note", "b"], "no labelling job"),
])
def test_what_is_refused(desk: Bench, words: list[str], what: str) -> None:
    with pytest.raises(UserError, match=what):
        main(words)


def test_help_is_there_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("send", "status", "fetch", "return"):
        with pytest.raises(SystemExit) as caught:
            main([verb, "--help"])
        assert caught.value.code == 0 and f"visionmill label {verb}" in capsys.readouterr().out
