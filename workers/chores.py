"""Chores: what is left to do once a job has ended, for which nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import structlog

log = structlog.get_logger(__name__)

Chore: TypeAlias = Callable[[], None]


def chores_do(chores: Iterable[Chore]) -> None:
    """Do them all. What fails is made up for by whoever needs it."""
    for chore in chores:
        try:
            chore()
        except Exception:
            log.exception("chore not done")
