"""The verbs of the command line, each through its own door."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows import checkup, cli, parameters, summary
from flows.commands import configure, doctor, status, upgrade
from flows.workspace import TEMPLATE, render
from tasks.base.errors import ParamsError, UserError
from tasks.base.presets import PACKAGE
from tests.flows.toy import Toy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's git configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


def test_help_has_examples_and_takes_under_a_second() -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-P", "-m", "flows.cli", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and time.monotonic() - start < 1
    assert "visionmill new ~/cells --data bccd" in done.stdout
    assert all(f"\n  {verb} " in done.stdout for verb in cli.VERBS)


@pytest.mark.parametrize("verb", ["new", "run", "register", "configure", "status", "predict", "doctor", "upgrade",
                                  "prune", "bundle", "engine", "benchmark", "import-model"])
def test_each_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0 and f"examples:\n  {'dvc' if verb == 'register' else ''}" in capsys.readouterr().out


def test_the_door_does_not_import_what_nobody_entered() -> None:
    code = "import sys, flows.cli; flows.cli.main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not any(f"'{name}'" in done.stdout for name in ("prefect", "dvc", "mlflow", "torch", "pydantic"))


def test_an_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stauts"]) == 2
    assert "did you mean 'status'?" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code", "text"), [
    (UserError("bad", where="a.xml", mend="mend it"), 2, "error: bad\n  where: a.xml\n  mend:  mend it"),
    (OSError(28, "No space left on device", "x.parquet"), 2, "the disk is full"),
    (KeyboardInterrupt(), 130, "interrupted"),
])
def test_errors_are_told_without_a_traceback(error: BaseException, code: int, text: str,
                                             monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    def enter(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_enter", enter)
    assert cli.main(["run"]) == code
    said = capsys.readouterr().err
    assert text in said and "Traceback" not in said


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real workspace without pictures."""
    folder = tmp_path / "workspace"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").write_text(render("dvc.yaml", "catalogue"))
    shutil.copy(TEMPLATE / "params.yaml", folder / "params.yaml")
    monkeypatch.chdir(folder)
    return folder


def test_configure_keeps_comments_and_shows_the_change(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (workspace / "params.yaml").read_text().splitlines()
    assert configure.main(["model=fcos-resnet18", "train.epochs=7", "export.targets=[cpu-fp32]"]) == 0
    after = (workspace / "params.yaml").read_text().splitlines()
    said = capsys.readouterr().out
    assert "+    backbone: resnet18" in said and "+  epochs: 7" in said
    assert [line for line in after if line not in before] == [
        line[1:] for line in said.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert sum("#" in line for line in after) == sum("#" in line for line in before)


def test_configure_dry_writes_nothing(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_bytes()
    assert configure.main(["--dry", "train.epochs=7"]) == 0
    assert (workspace / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(("change", "message"), [
    ("train.epcohs=3", "did you mean 'epochs'?"),
    ("trian.epochs=3", "did you mean 'train'?"),
    ("train.epochs=many", "train.epochs"),
    ("model=fcos-resnet81", "did you mean 'fcos-resnet18'?"),
    ("modle=fcos-resnet18", "did you mean 'model'?"),
    ("dataset=bcdd", "did you mean 'bccd'?"),
    ("fetch.dataset=bcdd", "did you mean 'bccd'?"),
    ("export.targets=[cpu-fp32,cpu-int9]", "did you mean 'cpu-int8'?"),
    ("register.gate=defualt", "did you mean 'default'?"),
    ("train.epochs", "expected KEY=VALUE"),
])
def test_configure_refuses_and_changes_nothing(change: str, message: str, workspace: Path) -> None:
    before = (workspace / "params.yaml").read_bytes()
    with pytest.raises(UserError) as error:
        configure.main([change])
    assert message in str(error.value)
    assert (workspace / "params.yaml").read_bytes() == before


def test_configure_takes_what_the_data_set_recommends(workspace: Path) -> None:
    assert configure.main(["dataset=bccd"]) == 0
    params = YAML(typ="safe").load((workspace / "params.yaml").read_text())
    assert params["fetch"]["dataset"] == "bccd" and params["train"]["augment"]["flip"] == "both"
    assert params["prune"]["retrain"]["augment"]["flip"] == "both"


@pytest.mark.parametrize("change", ["dataset=bccd", "fetch.dataset=bccd"])
def test_configure_leaves_pictures_of_ones_own(change: str, workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data/raw.dvc").touch()
    before = (workspace / "params.yaml").read_bytes()
    with pytest.raises(UserError, match="not of the catalogue"):
        configure.main([change])
    assert (workspace / "params.yaml").read_bytes() == before


def test_what_is_named_is_checked_again_when_the_text_was_seen_before(workspace: Path) -> None:
    gate = workspace / "conf/gate/strict.yaml"
    gate.parent.mkdir(parents=True)
    shutil.copy(PACKAGE / "gate/default.yaml", gate)
    assert configure.main(["register.gate=strict"]) == 0
    parameters.check_once(workspace)
    gate.unlink()
    with pytest.raises(ParamsError, match="no gate preset is called 'strict'"):
        parameters.check_once(workspace)


@pytest.mark.parametrize("section", ["report", "fetch", "export"])
def test_a_section_that_dvc_reads_must_be_there(section: str, workspace: Path) -> None:
    path = workspace / "params.yaml"
    values = YAML(typ="safe").load(path.read_text())
    del values[section]
    with pytest.raises(ParamsError, match=f"'{section}.*is missing, which stage {section} reads"):
        parameters.check_all(values, path)


@pytest.mark.parametrize(("text", "value"), [
    ("30", 30), ("1e-3", 0.001), ("0.5", 0.5), ("true", True), ("[a, b]", ["a", "b"]), ("cells", "cells"),
    ("null", None), ("nan", "nan"), ("models:/cells@champion", "models:/cells@champion"), ("a: [", "a: ["),
])
def test_values_of_the_command_line(text: str, value: object) -> None:
    assert parameters.scalar(text) == value


def test_upgrade_writes_this_versions_dag(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upgrade.main([]) == 0 and "as this version" in capsys.readouterr().out
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    assert upgrade.main([]) == 0 and "+  train:" in capsys.readouterr().out
    assert (workspace / "dvc.yaml").read_text() == render("dvc.yaml", "catalogue")


def test_upgrade_adds_the_parameters_that_a_section_lacks() -> None:
    template = render("params.yaml", "catalogue")
    older = re.sub(r"^  int8:.*\n(?:^    .*\n)*", "", template, flags=re.MULTILINE)
    older = older.replace("pictures: 100", "pictures: 9")
    made = upgrade.completed(older, template, YAML(typ="safe").load(older))
    values, wanted = (YAML(typ="safe").load(text) for text in (made, template))
    assert values["export"].pop("calibration") == {**wanted["export"].pop("calibration"), "pictures": 9}
    assert values == wanted and "what an 8-bit file may lose" in made


def test_upgrade_appends_the_sections_that_are_missing(workspace: Path) -> None:
    path = workspace / "params.yaml"
    whole = path.read_text()
    start = whole.index("# Copies and near-copies")
    path.write_text(whole[:start] + whole[whole.index("# Given splits"):] + "# mine\n")
    assert upgrade.main([]) == 0
    assert "# mine\n\n# Copies and near-copies" in path.read_text()
    assert YAML(typ="safe").load(path) == YAML(typ="safe").load(whole)


def test_status_says_what_is_stale_and_why(make_toy: Callable[..., Toy], monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_toy()
    assert "ingest             never ran" in toy.run("visionmill", "status").stdout
    toy.run("dvc", "repro")
    said = toy.run("visionmill", "status").stdout
    assert "all 7 up to date" in said and "champion   none" in said and "free" in said
    toy.edit("train:\n  words: 3", "train:\n  words: 2")
    said = toy.run("visionmill", "status").stdout
    assert "train              train.words 3 -> 2" in said and "report             follows train" in said
    (toy.path / "train.txt").unlink()
    assert "train.txt is missing" in toy.run("visionmill", "status").stdout


def test_status_lists_a_failed_run(workspace: Path) -> None:
    from flows.workspace import leave_note

    outcomes = [{"stage": "train", "what": "failed", "reason": "no GPU"}, {"stage": "prune", "what": "skipped"}]
    leave_note("last_run", {"finished": "2026-01-01 10:00:00", "exit_code": 2, "outcomes": outcomes})
    lines = status.last_run(Path())
    assert "exit code 2" in lines[0] and "failed: train; skipped: prune" in lines[0] and "train: no GPU" in lines[1]


def test_the_champion_of_a_shared_server_is_told(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.registry import versions

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert status._champion(workspace) == "none" and not (workspace / "mlflow.db").exists()
    monkeypatch.setattr(versions, "champion", lambda workspace: {"name": "cells", "version": "7"})
    assert status._champion(workspace) == "cells version 7"


def test_the_summary_names_the_mlflow_of_this_installation(tmp_path: Path) -> None:
    last = summary.table(tmp_path / "my cells", None).splitlines()[-1]
    assert last == f"runs:       cd '{tmp_path}/my cells' && {Path(sys.executable).parent / 'mlflow'} ui"


def test_doctor_says_what_this_version_does_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("trains and runs on the CPU" in found.text for found in checkup.gpu())
    assert not any("made for Linux" in found.text for found in checkup.versions())
    monkeypatch.setattr(sys, "platform", "darwin")
    assert any("made for Linux; this is darwin" in found.text for found in checkup.versions())


def test_nobody_is_told_to_drop_earlier_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "ROOM_GB", 1e9)
    known = cli.explain(OSError(28, "No space left on device", "x"))
    assert known and "dvc gc --all-commits" in str(known)
    assert "dvc gc --all-commits" in next(iter(checkup.room())).mend


def test_doctor_names_what_is_missing_and_its_mend(monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    import importlib.metadata as metadata

    assert doctor.main(["--quick"]) == 0
    known = metadata.version

    def version(name: str) -> str:
        if name.startswith("onnxruntime"):
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "fastapi" else "2.1.5" if name == "sqlalchemy" else known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert doctor.main(["--quick"]) == 2
    said = capsys.readouterr().out
    assert f'cd {ROOT} && {sys.executable} -m pip install -e ".[cpu]"' in said
    assert "sqlalchemy 2.1.5, wanted <2.1" in said


def test_this_repositorys_line_is_the_templates() -> None:
    assert (ROOT / "dvc.yaml").read_text() == render("dvc.yaml", "catalogue")
    assert (ROOT / ".dvc/config").read_text() == (TEMPLATE / "dvc-config").read_text()
    assert (ROOT / ".dvcignore").read_text() == (TEMPLATE / "dvcignore").read_text()


def test_dvc_reads_this_repositorys_line_and_no_other() -> None:
    said = subprocess.run([sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert said.returncode == 0, said.stderr
    assert {"fetch", "train"} <= set(said.stdout.split()) and not any(":" in name for name in said.stdout.split())


def test_the_template_is_what_the_stages_read() -> None:
    path = TEMPLATE / "params.yaml"
    parameters.check_all(YAML(typ="safe").load(path.read_text()), path)
    with pytest.raises(ParamsError, match="no sections"):
        parameters.check_all([], path)
