"""MLflow's registry webhooks: asked for at a server, and believed only when they are signed, fresh and new.

MLflow signs `ID.TIMESTAMP.BODY` with HMAC-SHA256 and sends it as `v1,BASE64` (mlflow/webhooks/delivery.py).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.base.files import digest_value, read_json, write_json
from tasks.registry import store

SIGNATURE, TIMESTAMP, DELIVERY = "X-MLflow-Signature", "X-MLflow-Timestamp", "X-MLflow-Delivery-Id"
EVENTS = ("model_version_alias.created", "model_version_alias.deleted")
SECRET, SEEN = "hook-secret", "hook-seen.json"
WINDOW_S = 300  # that a time stamp may be off; MLflow tries a delivery again for about 10 s
MOST = 10_000  # deliveries that are remembered
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refused(Exception):
    """A delivery that is not believed; `status` is what it is answered with."""

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why
        super().__init__(why)


@dataclass(frozen=True)
class Told:
    """What a delivery says.

    Attributes:
        version: that got the alias; None when it was taken away.
    """

    name: str
    alias: str
    version: str | None


class Deliveries:
    """The ids that were seen, kept over a restart, so that a captured delivery is good for nothing twice."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self._seen: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._seen = {str(key): float(value) for key, value in read_json(file).items()}

    def is_new(self, delivery: str, stamp: float) -> bool:
        """Remember an id; False when it was seen. Those whose time stamp is refused by now are forgotten."""
        with self._lock:
            if delivery in self._seen:
                return False
            now = time.time()
            kept = {key: at for key, at in self._seen.items() if abs(now - at) <= 2 * WINDOW_S}
            self._seen = dict(list(kept.items())[-MOST:]) | {delivery: stamp}
            write_json(self._file, self._seen)
            return True


def hook_secret(workspace: Path = Path()) -> str:
    """The secret that MLflow signs with: 32 random bytes in base64, made once, readable by its owner alone."""
    path = workspace / store.STATE / SECRET
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        beside = path.with_name(f".{SECRET}.{os.getpid()}.{threading.get_ident()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)  # two that make it at once keep the first one's
        beside.unlink()
    return path.read_text(encoding="utf-8").strip()


def verify(headers: Mapping[str, str], body: bytes, secret: str, seen: Deliveries, now: float | None = None) -> bool:
    """Check who sent a delivery, and when.

    Args:
        headers: of the request.
        now: seconds since 1970; the clock when left out.

    Returns:
        False when it was believed before.

    Raises:
        Refused: 401, it is not signed with the secret, or its time stamp is too far from now.
    """
    signature, stamp, delivery = (headers.get(name) or "" for name in (SIGNATURE, TIMESTAMP, DELIVERY))
    content = b".".join((delivery.encode(), stamp.encode(), body))
    wanted = "v1," + base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    # the time it takes must not tell how much of a guess was right
    if not delivery or not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
        raise Refused(401, "the signature is not ours")
    sent = float(stamp) if stamp.isascii() and stamp.isdigit() else float("nan")
    if not abs((time.time() if now is None else now) - sent) <= WINDOW_S:
        raise Refused(401, "the time stamp is too far from now")
    return seen.is_new(delivery, sent)


def read(body: bytes) -> Told | None:
    """What a believed delivery says; None when it is about something else than aliases.

    Raises:
        Refused: 400, no JSON or none of that form.
    """
    try:
        told = json.loads(body)
        entity, action, data = told["entity"], told["action"], told["data"]
        if entity != "model_version_alias":
            return None
        version = str(data["version"]) if action == "created" else None
        return Told(str(data["name"]), str(data["alias"]), version)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(400, "the body is not JSON as MLflow sends it") from None


def ensure_hook(server: str, receiver: str, workspace: Path = Path()) -> str:
    """Ask MLflow's server to tell the receiver of every change of an alias; asked again, nothing is doubled.

    Args:
        server: address of MLflow's server.
        receiver: address that it is to send to.

    Returns:
        Id of the webhook.

    Raises:
        UserError, VisionmillError: the server is away, or refuses.
    """
    with store.told_in_words("a webhook was asked for", workspace):
        from mlflow import MlflowClient

        mlflow = MlflowClient(tracking_uri=server, registry_uri=server)
        named = f"visionmill-{digest_value([os.uname().nodename, str(workspace.resolve())])[:12]}"
        wanted: dict[str, Any] = {"url": receiver, "events": list(EVENTS), "secret": hook_secret(workspace)}
        for hook in _all(mlflow):
            if hook.name == named:
                mlflow.update_webhook(hook.webhook_id, status="ACTIVE", **wanted)
                return str(hook.webhook_id)
        what = f"visionmill watch of {store.workspace_name(workspace)}"
        made = mlflow.create_webhook(named, description=what, **wanted)
        return str(made.webhook_id)


def can_reach(server: str) -> bool:
    """Whether MLflow's server could send to a receiver that listens on this machine alone."""
    return (urlsplit(server).hostname or "") in LOOPBACK


def _all(mlflow: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = mlflow.list_webhooks(max_results=100, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found
