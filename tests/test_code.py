"""The digests that make an edit of code rerun exactly what it touches."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks import code
from tasks.base.source import Sources

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "tasks/__init__.py": "",
    "tasks/train.py": "from tasks.lib.loop import step\n\ndef run(params):\n    step()\n",
    "tasks/report.py": "def run(params):\n    from .lib import page\n    page.show()\n",
    "tasks/split.py": "import tasks.lib.tables as t\n\ndef run(params):\n    t.cut()\n",
    "tasks/predict.py": "def predict():\n    pass\n",
    "tasks/lib/__init__.py": "",
    "tasks/lib/loop.py": "from tasks.lib import tables\n\ndef step():\n    return tables\n",
    "tasks/lib/tables.py": "def cut():\n    pass\n",
    "tasks/lib/page.py": "import importlib\n\nTEMPLATE = 'page.html'\n\ndef show():\n"
                         "    importlib.import_module('tasks.lib.drawing')\n",
    "tasks/lib/page.html": "<html>",
    "tasks/lib/drawing.py": "def draw():\n    pass\n",
    "flows/cli.py": "from tasks import train\n",
}
STAGES = {"train", "report", "split"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digests(root: Path) -> dict[str, str]:
    return code.stage_digests(Sources(root))


def test_a_stage_is_a_module_with_a_run(root: Path) -> None:
    assert set(digests(root)) == STAGES


@pytest.mark.parametrize(("file", "touched"), [
    ("tasks/train.py", {"train"}),
    ("tasks/lib/loop.py", {"train"}),
    ("tasks/lib/tables.py", {"train", "split"}),
    ("tasks/lib/page.py", {"report"}),
    ("tasks/lib/drawing.py", {"report"}),
    ("tasks/lib/page.html", {"report"}),
    ("tasks/lib/__init__.py", STAGES),
    ("tasks/__init__.py", STAGES),
    ("tasks/predict.py", set()),
    ("flows/cli.py", set()),
])
def test_an_edit_touches_what_imports_the_file(root: Path, file: str, touched: set[str]) -> None:
    before = digests(root)
    (root / file).write_text(FILES[file] + "\nEDITED = 1\n")
    after = digests(root)
    assert {name for name in STAGES if before[name] != after[name]} == touched


@pytest.mark.parametrize(("text", "same"), [
    ("# a comment\nfrom tasks.lib.loop import step\n\n\ndef run(params):\n    step()  # why\n", True),
    ('"""What it is."""\nfrom tasks.lib.loop import step\ndef run(params):\n    """Runs."""\n    step()\n', True),
    ("from tasks.lib.loop import (\n    step,\n)\ndef run(params): step()\n", True),
    ("from tasks.lib.loop import step\n\ndef run(params):\n    step(1)\n", False),
    ("from tasks.lib.loop import step\n\ndef run(param):\n    step()\n", False),
])
def test_comments_docstrings_and_layout_change_nothing(root: Path, text: str, same: bool) -> None:
    before = digests(root)["train"]
    (root / "tasks/train.py").write_text(text)
    assert (digests(root)["train"] == before) is same


def test_a_rename_that_leaves_the_text_is_seen(root: Path) -> None:
    before = digests(root)["split"]
    (root / "tasks/lib/tables.py").rename(root / "tasks/lib/cuts.py")
    (root / "tasks/split.py").write_text("import tasks.lib.cuts as t\n\ndef run(params):\n    t.cut()\n")
    assert digests(root)["split"] != before


def test_what_was_kept_is_used_for_the_same_bytes_only(root: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    first = Sources(root, memo)
    before = code.stage_digests(first)
    first.save()
    second = Sources(root, memo)
    assert code.stage_digests(second) == before and second.used == second.known
    (root / "tasks/lib/loop.py").write_text("def step():\n    return 1\n")
    assert code.stage_digests(Sources(root, memo)) == digests(root) != before
    for broken in ("", "[]", '{"version": 1}', "{"):
        memo.write_text(broken)
        assert code.stage_digests(Sources(root, memo)) == digests(root)


def test_a_preset_counts_by_what_it_says_and_a_workspaces_own_goes_first(tmp_path: Path) -> None:
    shipped = code.preset_digests(tmp_path)
    assert {"target-cpu-int8", "target-cpu-fp32"} <= set(shipped)
    own = tmp_path / "conf/target/cpu-int8.yaml"
    own.parent.mkdir(parents=True)
    text = (ROOT / "conf/target/cpu-int8.yaml").read_text()
    own.write_text("# mine\n" + text)
    assert code.preset_digests(tmp_path) == shipped
    own.write_text(text.replace("int8", "int4"))
    assert {k for k, v in code.preset_digests(tmp_path).items() if v != shipped[k]} == {"target-cpu-int8"}


def test_the_file_is_the_same_bytes_and_is_not_touched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("code.yaml")
    code.run(code.Params(), out=out)
    first, when = out.read_bytes(), out.stat().st_mtime_ns
    code.run(code.Params(), out=out)
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (first, when)


def test_every_stage_of_the_line_has_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code.run(code.Params(), out=Path("code.yaml"))
    known = YAML(typ="safe").load(Path("code.yaml"))
    stages = YAML(typ="safe").load((ROOT / "conf/workspace/dvc-yaml").read_text())["stages"]
    for name, stage in stages.items():
        params = stage.get("do", stage).get("params", [])
        keys = [key for param in params if isinstance(param, dict) for key in param.get("code.yaml", [])]
        assert name == "code" or name in keys
        assert {key for key in keys if "$" not in key} <= set(known)


def test_it_imports_nothing_that_is_slow_to_import(tmp_path: Path) -> None:
    """It runs before every stage of every line; half a second on two idle cores."""
    slow = {"torch", "numpy", "pyarrow", "mlflow", "dvc", "prefect", "onnx"}
    program = ("import sys; from flows import cli; done = cli.main(['stage', 'code', '--out', 'code.yaml']); "
               f"print(done, *sorted({slow} & set(sys.modules)))")
    said = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True, capture_output=True,
                          text=True)
    assert said.stdout.split() == ["0"] and (tmp_path / "code.yaml").is_file()


def test_no_stage_reaches_flows_prefect_or_dvc() -> None:
    sources = Sources(ROOT)
    for stage in code.stage_digests(sources):
        for name, file in code.closure(ROOT / f"tasks/{stage}.py", sources).items():
            imported = {node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
                        for node in ast.walk(ast.parse(file.read_text())) if file.suffix == ".py"
                        and isinstance(node, ast.Import | ast.ImportFrom)
                        for alias in node.names}
            roots = {module.split(".")[0] for module in imported}
            assert not roots & {"flows", "prefect", "dvc"}, f"{name} imports {roots}"


def test_every_import_is_one_that_the_digest_sees() -> None:
    """`import_module` and `__import__` with a computed name would be silent staleness."""
    for file in (ROOT / "tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "exec", "run_module"):
                assert node.args and isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
