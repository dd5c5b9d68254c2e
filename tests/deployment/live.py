"""A real MLflow server and a real watch on loopback, for a test and for the benchmark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import servers

WEBHOOKS = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def mlflow_server(root: Path, key: str) -> Iterator[str]:
    """`mlflow server --workers 1` on a workspace's own database; yields its address."""
    env = {**WEBHOOKS, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}
    with servers.mlflow_server(f"sqlite:///{root / 'mlflow.db'}", str(root / "mlruns"), root, env) as (_, url):
        yield url


@contextmanager
def watch(root: Path, server: str, *, hooked: bool = True) -> Iterator[str]:
    """`python -m flows.watching` of a workspace whose MLflow is there; yields its address when it has looked once, and
    has asked for its webhook where there is a server."""
    port = servers.free_port()
    env = {**os.environ, "MLFLOW_TRACKING_URI": server}
    env.pop("PREFECT_API_URL", None)
    with (root / "watch.log").open("ab") as log:
        child = subprocess.Popen([sys.executable, "-P", "-m", "flows.watching",
                                  json.dumps({"workspace": str(root), "port": port})], cwd=root, env=env, stdout=log,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"

        def ready(told: dict[str, Any]) -> bool:
            return told.get("status") == "ok" and (not hooked or told["webhook"].startswith("asked"))

        wait(lambda: child.poll() is not None or ready(health(url)), "the watch")
        if child.poll() is not None:
            raise AssertionError((root / "watch.log").read_text()[-3000:])
        yield url
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(30)


def health(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError):
        return {}


def wait(ready: Callable[[], Any], what: str, seconds: float = 180) -> float:
    """Seconds until it is ready.

    Raises:
        AssertionError: it did not come.
    """
    begun = time.monotonic()
    while not ready():
        assert time.monotonic() - begun < seconds, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - begun
