"""The services of a workspace as a table: name, state, PID, address, uptime, memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flows import processes
from flows.services import known
from flows.services.rest import answers
from tasks.base.progress import duration

PAGE = os.sysconf("SC_PAGE_SIZE")
HEAD = ("NAME", "STATE", "PID", "ADDRESS", "UP FOR", "MEMORY")
HEALTH = {"prefect": "/api/health", "mlflow": "/health", "watch": "/health", "label-studio": "/health"}


def rows(workspace: Path) -> list[str]:
    """The table as lines; under a service that is not well the last lines that it said."""
    found = {name: entry for name, entry in known.services(workspace).items() if name != "up"}
    if not found:
        return ["nothing runs here; visionmill up starts Prefect, its worker, MLflow and the promotion watch"]
    cells = [HEAD, *(_cells(name, entry) for name, entry in found.items())]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = []
    for row, entry in zip(cells, [{}, *found.values()], strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines.extend(f"    {text}" for text in entry.get("last", []))
    return lines


def _cells(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    alive = known.is_alive(entry)
    started = time.time() - entry["started"] if alive and entry.get("started") else None
    return (name, _state(name, entry, alive), str(entry["pid"] or "-"), entry.get("url") or "-",
            duration(started) if started is not None else "-",
            f"{memory(entry['pid']) / 1e6:.0f} MB" if alive else "-")


def _state(name: str, entry: dict[str, Any], alive: bool) -> str:
    if entry["state"] == "elsewhere":
        path = "/health"
        return "elsewhere" if answers(f"{entry['url'].rstrip('/')}{path}", 5.0) else "elsewhere, AWAY"
    if entry["state"] != "ready":
        return f"{entry['state']} ({entry['tries']})" if entry.get("tries") else entry["state"]
    if not alive:
        return "ended"
    health = HEALTH.get(name)
    return "not answering" if health and not answers(f"{entry['url']}{health}", 5.0) else "ready"


def memory(pid: int) -> int:
    """Bytes in memory of a process and of all below it; what they share counts more than once."""
    total = 0
    for one in (pid, *processes.descendants(pid)):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text(encoding="utf-8").split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return total


def addresses(workspace: Path) -> str:
    """`: prefect http://…, mlflow http://…` of what runs, for one line."""
    found = [f"{name} {entry['url']}" for name, entry in known.services(workspace).items() if entry.get("url")]
    return f": {', '.join(found)}" if found else ""
