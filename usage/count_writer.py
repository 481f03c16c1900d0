"""The count writer: a thread that counts accepted generations once their answers are on the way."""

from __future__ import annotations

import atexit
import queue
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, time

import structlog
from django.db import connections, router

from usage.counts import count_add
from usage.models import AddressDay

log = structlog.get_logger(__name__)

BACKLOG_MAX = 5000  # chosen: half a minute of the busiest server; what comes on top is not counted
# Chosen: what was just accepted is on its way to a node by then, and processor and disk are free;
# and a busy server writes ten times a second, not at each request.
TOGETHER_S = 0.1
IDLE_S = 1.0  # chosen: then the connection is given back
END_WITHIN_S = 5.0

_Item = tuple[str, int, datetime]


def count_later(address_hash: str, count: int, *, now: datetime) -> None:
    """Add accepted generations to the caller's UTC day, soon; never waits and never fails.

    Call after the accept has committed. A process that is killed loses what waits, as it would lose
    a count that it is about to write.
    """
    # Its day's first moment, so that what is of one day can be added up.
    midnight = datetime.combine(now.astimezone(UTC).date(), time.min, UTC)
    _writer.add((address_hash, count, midnight))


def counts_drain(timeout_s: float = END_WITHIN_S) -> None:
    """Wait until all counts are written; for the end of a process, and for tests."""
    _writer.end(timeout_s)


class _Writer:
    """A thread at a time, with its own queue; it begins with the first count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: _Thread | None = None

    def add(self, item: _Item) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = _Thread()
                self._thread.start()
            try:
                self._thread.waiting.put_nowait(item)
            except queue.Full:
                log.warning("accepted generations not counted", count=item[1])

    def end(self, timeout_s: float) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end(timeout_s)


class _Thread(threading.Thread):
    """Writes what was counted in a moment together: one line for all of an address."""

    def __init__(self) -> None:
        super().__init__(name="counts", daemon=True)
        self.waiting: queue.Queue[_Item | None] = queue.Queue(BACKLOG_MAX)
        self._ends = threading.Event()

    def end(self, timeout_s: float) -> None:
        self._ends.set()
        self.waiting.put(None)
        self.join(timeout_s)

    def run(self) -> None:
        connection = connections[router.db_for_write(AddressDay)]
        while not (self._ends.is_set() and self.waiting.empty()):
            try:
                items = [self.waiting.get(timeout=IDLE_S)]
            except queue.Empty:
                connection.close()
                items = [self.waiting.get()]
            self._ends.wait(TOGETHER_S)
            with suppress(queue.Empty):
                while True:
                    items.append(self.waiting.get_nowait())
            for (address_hash, midnight), count in _added_up(items).items():
                try:
                    count_add(address_hash, count, now=midnight)
                except Exception:
                    log.exception("accepted generations not counted", count=count)
                if connection.errors_occurred:
                    connection.close()
        connection.close()


def _added_up(items: Iterable[_Item | None]) -> Counter[tuple[str, datetime]]:
    """The counts of each address and day."""
    counts: Counter[tuple[str, datetime]] = Counter()
    for address_hash, count, midnight in filter(None, items):
        counts[address_hash, midnight] += count
    return counts


_writer = _Writer()
atexit.register(counts_drain)
