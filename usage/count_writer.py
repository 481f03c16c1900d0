"""The count writer: a thread that counts accepted generations once their answers are on the way."""

from __future__ import annotations

import atexit
import queue
import threading
from datetime import datetime

import structlog
from django.db import connections, router

from usage.counts import count_add
from usage.models import AddressDay

log = structlog.get_logger(__name__)

BACKLOG_MAX = 5000  # chosen: half a minute of the busiest server; what comes on top is not counted
IDLE_S = 1.0  # chosen: then the connection is given back
END_WITHIN_S = 5.0

_Item = tuple[str, int, datetime]


def count_later(address_hash: str, count: int, *, now: datetime) -> None:
    """Add accepted generations to the caller's UTC day, soon; never waits and never fails.

    Call after the accept has committed. A process that is killed loses what waits, as it would lose
    a count that it is about to write.
    """
    _writer.add((address_hash, count, now))


def counts_drain(timeout_s: float = END_WITHIN_S) -> None:
    """Wait until all counts are written; for the end of a process, and for tests."""
    _writer.end(timeout_s)


class _Writer:
    """A thread at a time, with its own queue; it begins with the first count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def add(self, item: _Item) -> None:
        with self._lock:
            if self._thread is None:
                self._queue = queue.Queue(BACKLOG_MAX)
                self._thread = threading.Thread(
                    target=_write, args=(self._queue,), name="counts", daemon=True
                )
                self._thread.start()
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                log.warning("accepted generations not counted", count=item[1])

    def end(self, timeout_s: float) -> None:
        with self._lock:
            thread, waiting = self._thread, self._queue
            self._thread = None
        if thread is not None:
            waiting.put(None)
            thread.join(timeout_s)


def _write(waiting: queue.Queue[_Item | None]) -> None:
    connection = connections[router.db_for_write(AddressDay)]
    while True:
        try:
            item = waiting.get(timeout=IDLE_S)
        except queue.Empty:
            connection.close()
            item = waiting.get()
        if item is None:
            connection.close()
            return
        address_hash, count, now = item
        try:
            count_add(address_hash, count, now=now)
        except Exception:
            log.exception("accepted generations not counted", count=count)
        if connection.errors_occurred:
            connection.close()


_writer = _Writer()
atexit.register(counts_drain)
