"""Ears: how this process hears from PostgreSQL that a job was accepted, before Celery says so.

A Celery message takes four milliseconds from the commit to a thread that claims: its broker, its
worker's loop, its pool. What the database says at the commit takes one. It is heard by all workers,
of which one gets the job; and if nobody hears it, the message comes and does what it always did.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

import structlog

from generation.wakeups import JOBS_WAIT
from usage.notices import has_notices, notices_hear

log = structlog.get_logger(__name__)

# Chosen: of some thousand jobs a minute, those of the seconds in which their messages come.
REMEMBERED = 256
# Chosen: many times what a message is behind its notice. One that comes later is another wake-up,
# as after an attempt that failed, or it finds nothing and does no harm.
REMEMBERED_S = 1.0


class Ears:
    """One thread that hears, from `open` to `close`, and what was done about it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._run: Callable[[], object] | None = None
        self._is_handed_in = self._is_asked_again = False
        self._claimed: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)

    def open(self, run: Callable[[], object]) -> None:
        """From now on, where the database gives notices, have `run` claim the next job for each.

        `run` hands that to another thread, which calls `begin` first.
        """
        self.close()
        if not has_notices():
            return
        self._stop = threading.Event()
        with self._lock:
            self._run = run
        threading.Thread(
            target=notices_hear,
            args=(JOBS_WAIT, self.claim_next),
            kwargs={"stop": self._stop},
            name="ears",
            daemon=True,
        ).start()

    def close(self) -> None:
        """Have nothing more claimed."""
        self._stop.set()
        with self._lock:
            self._run, self._is_handed_in, self._is_asked_again = None, False, False

    def claim_next(self) -> None:
        """Have the next job claimed, unless somebody is about to. Does nothing when closed."""
        with self._lock:
            self._is_asked_again = self._is_handed_in
            if self._run is None or self._is_handed_in:
                return
            self._is_handed_in = True
            try:
                self._run()
            except RuntimeError:  # the threads have ended; the next worker finds what waits
                self._is_handed_in = False
                log.info("notice not followed")

    def begin(self) -> bool:
        """Note that a claim begins, which may miss what is said from now on.

        Returns whether more than one was asked for meanwhile, so that there may be another job.
        """
        with self._lock:
            self._is_handed_in = False
            is_asked_again, self._is_asked_again = self._is_asked_again, False
            return is_asked_again

    def note(self, job_ids: Iterable[UUID]) -> None:
        """Remember jobs that were claimed before their messages came."""
        now = time.monotonic()
        with self._lock:
            self._claimed.extend((now, str(job_id)) for job_id in job_ids)

    def forget(self, job_id: str) -> bool:
        """Whether a job was claimed a moment ago, and no message for it has come since then."""
        with self._lock:
            found = next((item for item in self._claimed if item[1] == job_id), None)
            if found is None:
                return False
            self._claimed.remove(found)
            return time.monotonic() - found[0] < REMEMBERED_S
