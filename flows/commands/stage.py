"""`visionmill stage NAME --key PATH …`: one stage, its parameters from the section of params.yaml of its name."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from flows.cli import explain
from tasks.base.errors import ParamsError, UserError, nearest
from tasks.base.params import Params, check, read_yaml

TASKS = Path(__file__).resolve().parents[2] / "tasks"
# sections of params.yaml that no stage reads: registration and the search are flows
OTHER_SECTIONS = ("register", "sweep", "data")


def main(words: list[str]) -> int:
    """Run one stage and leave a receipt, if `VISIONMILL_RECEIPT` names a file."""
    if not words or words[0].startswith("-"):
        print(f"usage: visionmill stage NAME --key PATH …\n\nstages: {', '.join(stage_names())}")
        return 0 if words else 2
    _end_with_parent()
    start = time.monotonic()
    try:
        run_stage(words[0], words[1:])
    except BaseException as error:
        _leave_receipt(words[0], start, error)
        raise
    _leave_receipt(words[0], start, None)
    return 0


def stage_names() -> list[str]:
    """All stages: the modules directly in tasks/ that have a `run`."""
    return sorted(p.stem for p in TASKS.glob("*.py") if "\ndef run(" in p.read_text(encoding="utf-8"))


def run_stage(name: str, words: list[str]) -> None:
    """Import `tasks.NAME`, check its parameters and its arguments, and call it."""
    names = stage_names()
    if name not in names:
        guess = nearest(name, names)
        raise UserError(f"no stage is called {name!r}", mend=f"did you mean {guess!r}?" if guess else "see dvc.yaml")
    module = importlib.import_module(f"tasks.{name}")
    arguments = bind(module.run, pairs(words))
    module.run(read_section(module.Params, getattr(module, "SECTION", name)), **arguments)


def read_section(section: type[Params], name: str, path: Path = Path("params.yaml")) -> Params:
    """The checked section `name`; a section that nobody reads is refused, since a typing error would do nothing."""
    if name == "code" and not path.exists():
        return section()
    everything = read_yaml(path)
    if not isinstance(everything, dict):
        raise ParamsError("params.yaml has no sections", where=path, mend="visionmill new writes a complete one")
    check_sections(everything, path)
    return check(section, everything.get(name), f"{path}: {name}")


def check_sections(everything: dict[str, Any], path: Path) -> None:
    """Refuse a section of params.yaml that neither a stage nor a flow reads."""
    known = [*stage_names(), *OTHER_SECTIONS]
    for wrong in (key for key in everything if key not in known):
        guess = nearest(str(wrong), known)
        mend = f"did you mean {guess!r}?" if guess else f"known sections: {', '.join(known)}"
        raise ParamsError(f"unknown section {wrong!r}", where=path, mend=mend)


def pairs(words: list[str]) -> dict[str, str]:
    """`--key value` and `--key=value` as a dictionary, dashes as underscores."""
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        if not key.startswith("--"):
            raise UserError(f"expected --key PATH, got {word!r}")
        taken = value if equals else next(rest, None)
        if taken is None:
            raise UserError(f"{key} has no value")
        found[key[2:].replace("-", "_")] = taken
    return found


def bind(run: Callable[..., None], given: dict[str, str]) -> dict[str, Any]:
    """The keyword-only arguments of a stage's `run`: annotated `Path` ones as paths, others as they are."""
    wanted = [p for p in inspect.signature(run, eval_str=True).parameters.values() if p.kind is p.KEYWORD_ONLY]
    names = [p.name for p in wanted]
    for key in (k for k in given if k not in names):
        guess = nearest(key, names)
        raise UserError(f"unknown argument --{key}", mend=f"did you mean --{guess}?" if guess else None)
    for missing in (p.name for p in wanted if p.name not in given and p.default is p.empty):
        raise UserError(f"argument --{missing.replace('_', '-')} is missing", mend="visionmill upgrade")
    return {p.name: given[p.name] if p.annotation is str else Path(given[p.name]) for p in wanted if p.name in given}


def _end_with_parent() -> None:
    """Under DVC, end when DVC dies: else a killed `dvc repro` leaves a stage that writes beside the next one."""
    signal.signal(signal.SIGTERM, _terminate)
    if "DVC_STAGE" in os.environ:
        from flows.processes import signal_on_parent_death

        signal_on_parent_death(signal.SIGTERM)


def _terminate(number: int, frame: FrameType | None) -> None:
    # temporary folders are removed on the way out; a stage that hangs in C code is ended by the alarm
    signal.alarm(5)
    raise SystemExit(128 + number)


def _leave_receipt(name: str, start: float, error: BaseException | None) -> None:
    """Append what happened to the file `VISIONMILL_RECEIPT`: DVC loses a stage's exit code."""
    if not (path := os.environ.get("VISIONMILL_RECEIPT")):
        return
    known = explain(error) if error is not None else None
    code = 0 if error is None else known.exit_code if known else _code_of(error)
    line = {"stage": name, "exit_code": code, "seconds": round(time.monotonic() - start, 3),
            "error": None if error is None else str(known or f"{type(error).__name__}: {error}")}
    with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
        print(json.dumps(line), file=file)


def _code_of(error: BaseException) -> int:
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
