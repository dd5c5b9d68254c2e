"""Prefect's notification blocks, Slack and the like, told of what the webhooks and e-mails of a site are told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks import notify
from tasks.base.site import Notify


@contextmanager
def blocks() -> Iterator[None]:
    """Inside the block `tasks.notify.tell` reaches the blocks that the site names: `slack-webhook/team`.

    It is for flows: blocks are kept by Prefect's API.
    """
    notify.MORE.append(_ways)
    try:
        yield
    finally:
        notify.MORE.remove(_ways)


def _ways(wanted: Notify, body: Mapping[str, Any]) -> dict[str, notify.Way]:
    return {f"the block {name}": _way(name, body) for name in wanted.blocks}


def _way(name: str, body: Mapping[str, Any]) -> notify.Way:
    def send(timeout_s: float) -> None:  # the block has a time limit of its own; who calls keeps ours
        from prefect.blocks import notifications  # noqa: F401  loading knows only the kinds that were imported
        from prefect.blocks.core import Block

        block: Any = Block.load(name)
        block.notify(body["text"], subject=f"[visionmill] {body['subject']}")

    return send
