"""How the process of a flow ends: one exit code, errors of ours in a few lines, an interrupt without a traceback."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from prefect import tags

from flows.bookkeeping import workspace_tag
from flows.cli import explain
from flows.environment import quiet
from flows.services import away
from tasks.base.errors import VisionmillError


def run_flow(flow: Callable[..., Any], words: list[str], told: tuple[type[VisionmillError], ...] = ()) -> int:
    """Run a flow in the current folder with the options of a JSON object; the exit code says how it ended.

    Args:
        told: errors that the flow has printed itself.
    """
    try:
        with tags(workspace_tag(Path().resolve())):
            state = flow(**json.loads(words[0] if words else "{}"), return_state=True)
        if state.is_completed():
            return 0
        error = state.result(raise_on_failure=False)
    except Exception as raised:  # the server went away as the flow's end was told
        error = raised
    if not isinstance(error, BaseException):
        return 0
    known = explain(error) or (away.gone() if away.is_away(error) else None)
    if known is None:
        raise error
    if not isinstance(known, told):
        print(f"error: {known}", file=sys.stderr)
    return known.exit_code


def end_with(main: Callable[[list[str]], int], interrupted: str) -> NoReturn:
    """End the process with what `main` returns; 130 and one line after an interrupt."""
    quiet()
    # a shell starts its background jobs with interrupts ignored; the supervisor's must be heard
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        # Prefect has marked the run as crashed on the way here
        print(f"interrupted: {interrupted} goes on from there", file=sys.stderr)
        sys.exit(130)
