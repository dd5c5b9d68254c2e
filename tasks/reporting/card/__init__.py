"""The data card: one page about a dataset version, alone or against another one."""

from __future__ import annotations

from tasks.reporting.card.facts import facts
from tasks.reporting.card.make import card

__all__ = ["card", "facts"]
