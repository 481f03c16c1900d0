"""Ears: the thread that hears from PostgreSQL that a job was accepted, before Celery says so.

A Celery message takes four milliseconds from the commit to a thread that claims: its broker, its
worker's loop, its pool. What the database says at the commit takes one. It is heard by all workers,
of which one gets the job; and if nobody hears it, the message comes and does what it always did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from generation.wakeups import JOBS_WAIT
from usage.notices import has_notices, notices_hear


class Ears:
    """One thread, from `open` to `close`."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def open(self, hear: Callable[[], None]) -> None:
        """Call `hear` from now on whenever a job was accepted, where the database says so."""
        self.close()
        if not has_notices():
            return
        self._stop = threading.Event()
        threading.Thread(
            target=notices_hear,
            args=(JOBS_WAIT, hear),
            kwargs={"stop": self._stop},
            name="ears",
            daemon=True,
        ).start()

    def close(self) -> None:
        """Call it no more."""
        self._stop.set()
