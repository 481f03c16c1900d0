"""A backlog: jobs for a few threads, of which only so many may be unfinished at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Job = Callable[[], object]

_LOOK_S = 0.2  # chosen: how soon an interrupted prompt stops waiting for room


class BacklogClosed(RuntimeError):
    """Nothing is taken any more: the process ends."""


class Backlog:
    """Runs jobs in the order in which they came, several at once.

    Threads start with the first job. They are daemons: what is unfinished when the process ends is
    lost, as is everything else that ComfyUI has in memory.

    Args:
        jobs_max, bytes_max: unfinished at a time. A job larger than `bytes_max` is taken when
            nothing else is unfinished, or it could never be.
    """

    def __init__(self, *, threads: int, jobs_max: int, bytes_max: int) -> None:
        self._threads_max = threads
        self._jobs_max = jobs_max
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Job, int]] = deque()
        self._unfinished = 0
        self._unfinished_bytes = 0
        self._is_closed = False
        self._threads: list[threading.Thread] = []

    def put(self, job: Job, *, size_bytes: int, look: Callable[[], None]) -> None:
        """Hand over a job, and wait for room first where there is none.

        `look` is called now and then while it waits, and raises where waiting is to stop.

        Raises:
            BacklogClosed: it was closed.
        """
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._may_take(size_bytes), _LOOK_S):
                    self._take(job, size_bytes)
                    return
            look()

    def close(self, *, timeout_s: float) -> None:
        """Drop what waits, and wait a moment for what runs."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        deadline_s = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _may_take(self, size_bytes: int) -> bool:
        has_room = (
            self._unfinished < self._jobs_max
            and self._unfinished_bytes + size_bytes <= self._bytes_max
        )
        return has_room or self._unfinished == 0 or self._is_closed

    def _take(self, job: Job, size_bytes: int) -> None:
        if self._is_closed:
            raise BacklogClosed("The process ends.")
        self._waiting.append((job, size_bytes))
        self._unfinished += 1
        self._unfinished_bytes += size_bytes
        if len(self._threads) < min(self._threads_max, self._unfinished):
            name = f"llamasketch-save-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            job, size_bytes = taken
            try:
                job()
            except Exception:
                # The outermost loop of a thread: jobs report their own failures, and one that
                # could not must not take the thread with it.
                log.exception("LlamaSketch: a save broke")
            finally:
                del job, taken  # and with them the pixels, before there is said to be room
                with self._changed:
                    self._unfinished -= 1
                    self._unfinished_bytes -= size_bytes
                    self._changed.notify_all()

    def _next(self) -> tuple[Job, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed)
            return self._waiting.popleft() if self._waiting else None
