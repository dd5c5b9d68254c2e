"""What `visionmill serve` can be told."""

from __future__ import annotations

from pydantic import Field

from tasks.base.params import Params


class Serving(Params):
    """Limits of the server. Sizes are in MB of 1,000,000 bytes, times in seconds.

    Attributes:
        idle_s: a model's process ends after so long without a request.
        workers: processes of one model at once.
        processes: processes of all models at once; one that is idle ends when another model needs its place.
        queue: requests of one model that may wait; the next one gets 429.
        request_mb: largest body of a request; 413 above.
        batch_mb: largest body of a batch, and, four times, all its pictures unpacked.
        memory_mb: bodies of all requests that are held at once; 503 above.
        batch_pictures: pictures of one batch.
        batches: batches that may wait or run at once; 429 above.
        stall_s: a client that sends nothing for so long is cut off.
        upload_s: a body must have arrived after so long.
        timeout_s: a process that takes longer for one request is ended, the request gets 504.
        start_s: a process must have opened its model after so long.
        follow_s: between two looks at an alias.
        keep_days: results of a batch are kept for so long.
    """

    idle_s: float = Field(default=300.0, gt=0)
    workers: int = Field(default=1, ge=1, le=64)
    processes: int = Field(default=4, ge=1, le=256)
    queue: int = Field(default=64, ge=1, le=100_000)
    request_mb: float = Field(default=32.0, gt=0, le=1000)
    batch_mb: float = Field(default=1000.0, gt=0)
    memory_mb: float = Field(default=512.0, gt=0)
    batch_pictures: int = Field(default=10_000, ge=1)
    batches: int = Field(default=64, ge=1)
    stall_s: float = Field(default=10.0, gt=0)
    upload_s: float = Field(default=120.0, gt=0)
    timeout_s: float = Field(default=60.0, gt=0)
    start_s: float = Field(default=120.0, gt=0)
    follow_s: float = Field(default=3.0, gt=0)
    keep_days: float = Field(default=7.0, gt=0)
