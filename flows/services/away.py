"""A Prefect server that goes away in the middle of a run: wait for it, and say so in words when it stays away."""

from __future__ import annotations

import time
from typing import Any

from flows.services.rest import answers
from tasks.base.errors import VisionmillError

# a server that `visionmill up` starts again is back within a minute, on a busy machine within two
PATIENCE_S = 180.0
LOOK_S = 1.0


def is_away(error: BaseException) -> bool:
    """Whether an error, or what led to it, is that a server could not be reached."""
    import httpx

    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, httpx.TransportError):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


def gone() -> VisionmillError:
    """What a user reads when the server stays away."""
    return VisionmillError("Prefect's server went away in the middle of the run; what was finished is kept",
                           where=_api(), mend="visionmill ps shows how it is, visionmill up starts it again; then the "
                                              "same command goes on from there")


def wait(patience_s: float = PATIENCE_S) -> None:
    """Return when the server answers again.

    Raises:
        VisionmillError: it does not within `patience_s`.
    """
    api = _api()
    print(f"Prefect's server does not answer: waiting for {api} up to {patience_s:.0f} s", flush=True)
    end = time.monotonic() + patience_s
    while not answers(f"{api}/health"):
        if time.monotonic() > end:
            raise gone()
        time.sleep(LOOK_S)


def _api() -> str:
    from prefect.settings import PREFECT_API_URL

    named: Any = PREFECT_API_URL.value()
    return str(named or "the run's own server").rstrip("/")
