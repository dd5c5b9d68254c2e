"""Stage `code`: one digest a stage, of the syntax trees of all that it imports from this project.

The other stages name their key as a parameter, so an edit reruns exactly what it touched. A comment, a docstring and
the layout change nothing; neither does anything in `flows/` and in `tasks/registry/`, which only records.
"""

from __future__ import annotations

from pathlib import Path

from tasks.base import presets
from tasks.base.files import digest_value, write_atomic
from tasks.base.params import Params as Base
from tasks.base.source import Sources

ROOT = Path(__file__).resolve().parents[1]
# what it writes, run ids and times, is never compared: an edit there must not train again
TRACKING = ROOT / "tasks" / "registry"
MEMO = Path(".visionmill/code.json")
# presets that stages read by name; `configure` copies the other kinds into params.yaml
KINDS = ("dataset", "target")


class Params(Base):
    """This stage has no parameters."""


def run(params: Params, *, out: Path) -> None:
    """Write `{stage: digest, …, "target-NAME": digest, …}` as YAML, only if it changed."""
    sources = Sources(ROOT, MEMO)
    found = stage_digests(sources) | preset_digests(Path())
    sources.save()
    text = "".join(f"{key}: {value}\n" for key, value in sorted(found.items()))
    if not out.exists() or out.read_text(encoding="utf-8") != text:
        write_atomic(out, text)


def stage_digests(sources: Sources) -> dict[str, str]:
    """A digest for each stage: each module directly in `tasks/` that has a `run`, but this one."""
    modules = sorted((sources.root / "tasks").glob("*.py"))
    stages = [file for file in modules if file.stem != "code" and "run" in sources.facts(file).functions]
    return {file.stem: _digest(closure(file, sources), sources) for file in stages}


def preset_digests(workspace: Path) -> dict[str, str]:
    """A digest for each preset that a stage reads by name, by what it says, a workspace's own first."""
    return {f"{kind}-{name}": digest_value(presets.load(kind, name, workspace))
            for kind in KINDS for name in presets.names(kind, workspace)}


def closure(file: Path, sources: Sources) -> dict[str, Path]:
    """All files of `tasks/` that importing `file` may execute or read, by name: imports inside functions count too."""
    found: dict[str, Path] = {}
    waiting = [file]
    while waiting:
        here = waiting.pop()
        name = here.relative_to(sources.root).as_posix()
        if name not in found:
            found[name] = here
            named = [path for text in sources.facts(here).names for path in _resolve(text, here, sources.root)]
            waiting += [path for path in named if path.is_file() and TRACKING not in path.parents]
    return found


def _resolve(name: str, file: Path, root: Path) -> list[Path]:
    """Files of a dotted name (its packages included), or the data file beside the module that the string names."""
    if not name.startswith("tasks."):
        return [file.parent / name]
    parts = name.split(".")
    packages = [root.joinpath(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)]
    return [*packages, root.joinpath(*parts[:-1], f"{parts[-1]}.py")]


def _digest(files: dict[str, Path], sources: Sources) -> str:
    return digest_value([[name, sources.facts(file).digest] for name, file in sorted(files.items())])
