"""Wake-ups: Celery messages that say a job may be claimed; losing or doubling one does no harm."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from uuid import UUID

import structlog
from celery import current_app

log = structlog.get_logger(__name__)

TASK_RUN = "workers.run"
TASK_ADOPT = "workers.adopt"
# Chosen: a burst of the largest batches. What does not fit is woken by the beat.
BACKLOG_MAX = 5000
# Chosen: twice what a send takes. Whoever wakes has more to do, but nothing that is as urgent, and
# in this time the sending thread need not share the interpreter with it.
FIRST_S = 0.003


def wake(*job_ids: UUID, task: str = TASK_RUN) -> None:
    """Send a wake-up that names each job, soon; waits for a moment at most, and never fails."""
    _sender.send(task, job_ids)


class _Sender:
    """A thread that talks to the broker, so that a broker that is away delays no request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[tuple[str, UUID, threading.Event]] = queue.Queue(BACKLOG_MAX)
        self._thread: threading.Thread | None = None

    def send(self, task: str, job_ids: Sequence[UUID]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
        is_idle, is_sent = self._queue.empty(), threading.Event()
        for job_id in job_ids:
            try:
                self._queue.put_nowait((task, job_id, is_sent))
            except queue.Full:
                log.warning("wake-up dropped", job_id=str(job_id))
        if is_idle and job_ids:
            is_sent.wait(FIRST_S)  # for the first of them

    def _run(self) -> None:
        while True:
            task, job_id, is_sent = self._queue.get()
            try:
                current_app.send_task(task, args=[str(job_id)], retry=False)
            except Exception as error:  # noqa: BLE001 - this thread's outermost loop
                # The beat wakes whatever waits as soon as the broker is back.
                log.warning("wake-up not sent", job_id=str(job_id), problem=type(error).__name__)
            finally:
                is_sent.set()


_sender = _Sender()
