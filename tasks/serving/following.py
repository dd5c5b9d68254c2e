"""Whether a name stands for something else by now: looked up without MLflow, every few seconds."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from tasks.base.errors import VisionmillError
from tasks.registry import store
from tasks.registry.versions import ADDRESS
from tasks.serving.house import House
from tasks.serving.resolving import resolve
from tasks.serving.target import Target

REST = "/api/2.0/mlflow/registered-models/alias"
PATIENCE_S = 5.0
AGAIN_S = 60.0  # what did not open is tried again after so long


class Away(Exception):
    """The store does not answer, or has no such alias; the text says which."""


def mark_of(target: Target, workspace: Path) -> str | None:
    """A short text that differs once the address stands for something else; None for what never moves.

    Raises:
        Away: it cannot be said.
    """
    match = ADDRESS.fullmatch(target.address)
    if match is None:
        files = [Path(target.path)] if target.path.endswith((".onnx", ".engine")) else \
            [Path(target.path) / "model.json", Path(target.path) / "model.safetensors"]
        try:
            stats = [(file.stat().st_mtime_ns, file.stat().st_size, file.stat().st_ino) for file in files]
            # a link such as `current` may lead elsewhere by now
            return f"{Path(target.address).resolve(strict=True)} {stats}"
        except OSError as error:
            raise Away(f"it is gone: {error}") from None
    if not match["alias"]:
        return None
    uri = os.environ.get("MLFLOW_REGISTRY_URI") or store.tracking_uri(workspace)
    if uri.startswith("sqlite:///"):
        return _of_file(workspace / uri.removeprefix("sqlite:///").partition("?")[0], match["name"], match["alias"])
    if uri.startswith(("http://", "https://")):
        return _of_server(uri, match["name"], match["alias"])
    try:
        return resolve([target.address], workspace)[0].version
    except VisionmillError as error:
        raise Away(error.what) from None


def _of_file(file: Path, name: str, alias: str) -> str:
    question = "select version from registered_model_aliases where name = ? and alias = ?"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as base:
            found = base.execute(question, (name, alias)).fetchone()
    except sqlite3.Error as error:
        raise Away(f"the registry cannot be read: {error}") from None
    if found is None:
        raise Away(f"{name!r} has no alias {alias!r} any more")
    return str(found[0])


def _of_server(uri: str, name: str, alias: str) -> str:
    asked = urllib.request.Request(f"{uri.rstrip('/')}{REST}?name={quote(name)}&alias={quote(alias)}")
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        asked.add_header("Authorization", f"Bearer {token}")
    elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        words = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        asked.add_header("Authorization", f"Basic {base64.b64encode(words.encode()).decode()}")
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return str(json.loads(answer.read(1 << 20))["model_version"]["version"])
    except urllib.error.HTTPError as error:
        raise Away(f"{name!r} has no alias {alias!r} any more" if error.code in (400, 404)
                   else f"the registry answers {error.code}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Away(f"the registry cannot be reached: {error}"[:200]) from None


class Follower:
    """Keeps the names of a house up to date. What cannot be looked up stays as it is, and is told once."""

    def __init__(self, house: House, workspace: Path) -> None:
        self.house, self.workspace = house, workspace
        self._marks: dict[str, str | None] = {}
        self._failed: dict[str, tuple[str, float]] = {}

    async def __call__(self) -> None:
        """Look for ever."""
        while True:
            for name in list(self.house.targets):
                try:
                    await self.look(name)
                except Away as error:
                    self._warn(name, str(error))
                except VisionmillError as error:
                    self._warn(name, error.what)
                except (RuntimeError, OSError) as error:
                    self._warn(name, f"what it stands for now does not open: {error}")
                else:
                    self.house.warnings.pop(name, None)
            await asyncio.sleep(self.house.options.follow_s)

    async def look(self, name: str) -> None:
        """Replace what a name stands for where it has changed."""
        target = self.house.targets[name]
        mark = await asyncio.to_thread(mark_of, target, self.workspace)
        if name not in self._marks:
            # a version is known from the start; a file may have been replaced only after this look
            self._marks[name] = target.version if target.version is not None else mark
        failed = self._failed.get(name)
        if failed is not None and failed[0] == mark and time.monotonic() < failed[1]:
            raise Away(self.house.warnings.get(name, "what it stands for now does not open"))
        if mark == self._marks[name] or mark is None:
            return
        self._failed[name] = mark, time.monotonic() + AGAIN_S
        fresh = (await asyncio.to_thread(resolve, [f"{name}={target.address}"], self.workspace))[0]
        await self.house.replace(fresh)
        del self._failed[name]
        self._marks[name] = mark if fresh.version is None else fresh.version
        print(f"{name}: version {fresh.version} answers now" if fresh.version else f"{name}: the file was replaced",
              flush=True)

    def _warn(self, name: str, text: str) -> None:
        if self.house.warnings.get(name) != text:
            print(f"warning: {name}: {text}; version {self.house.targets[name].version} goes on answering"
                  if self.house.targets[name].version else f"warning: {name}: {text}; it stays as it is",
                  file=sys.stderr, flush=True)
        self.house.warnings[name] = text
