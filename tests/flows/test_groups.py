"""Groups of verbs: `visionmill data …`, `visionmill label …`."""

from __future__ import annotations

import pytest

from flows.cli import main
from flows.commands import data, label


@pytest.mark.parametrize(("group", "verbs"), [("data", data.VERBS), ("label", label.VERBS)])
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_names_all_verbs(group: str, verbs: dict[str, tuple[str, str]], words: list[str],
                              capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group, *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: visionmill {group} VERB")
    rows = out.partition("examples:")[0].splitlines()
    listed = [row.split()[0] for row in rows if row.startswith("  ")]
    assert listed == list(verbs)
    assert out.endswith(f"\n\n`visionmill {group} VERB --help` shows the options of one verb.\n")


@pytest.mark.parametrize(("words", "said"), [
    (["data", "shwo"], "no data verb is called 'shwo'\n  mend:  did you mean 'show'?"),
    (["label", "fecth"], "no label verb is called 'fecth'\n  mend:  did you mean 'fetch'?"),
    (["label", "qqqq"], "no label verb is called 'qqqq'\n  mend:  visionmill label --help"),
])
def test_a_verb_that_is_not_there(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["data", "show"], ["label", "send"]])
def test_help_of_one_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: visionmill {' '.join(words)}")
