"""Wake-ups: Celery messages that say a job may be claimed; losing or doubling one does no harm.

PostgreSQL says the same to workers that listen, sooner, when a transaction that gave `notice_jobs`
commits.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from celery import current_app

from usage.notices import has_notices, notice
from usage.writes import Write

log = structlog.get_logger(__name__)

JOBS_WAIT = "jobs_wait"  # the channel
TASK_RUN = "workers.run"
TASK_ADOPT = "workers.adopt"
# Chosen: a burst of the largest batches. What does not fit is woken by the beat.
BACKLOG_MAX = 5000
# Chosen: twice what a send takes. Whoever wakes has more to do, but nothing that is as urgent, and
# in this time the sending thread need not share the interpreter with it.
FIRST_S = 0.003
# Chosen: until then a worker that listens has claimed the job and sent it. On a small server the
# processors are wanted for that.
NOTICED_S = 0.025


def notice_jobs() -> list[Write]:
    """What is to be written with waiting jobs, so that workers hear of them at the commit."""
    return [notice(JOBS_WAIT)] if has_notices() else []


def wake(*job_ids: UUID, task: str = TASK_RUN, are_noticed: bool = False) -> None:
    """Send a wake-up that names each job, soon; waits for a moment at most, and never fails.

    `are_noticed`: workers know already where they can hear, and this is for when none of them did.
    """
    _sender.send(task, job_ids, wait_s=NOTICED_S if are_noticed and has_notices() else 0.0)


@dataclass(frozen=True, slots=True)
class _Item:
    task: str
    job_id: UUID
    not_before: float
    is_sent: threading.Event


class _Sender:
    """A thread that talks to the broker, so that a broker that is away delays no request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Item] = queue.Queue(BACKLOG_MAX)
        self._thread: threading.Thread | None = None

    def send(self, task: str, job_ids: Sequence[UUID], *, wait_s: float) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
        is_idle, is_sent = self._queue.empty(), threading.Event()
        not_before = time.monotonic() + wait_s
        for job_id in job_ids:
            try:
                self._queue.put_nowait(_Item(task, job_id, not_before, is_sent))
            except queue.Full:
                log.warning("wake-up dropped", job_id=str(job_id))
        if is_idle and job_ids and not wait_s:
            is_sent.wait(FIRST_S)  # for the first of them

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            time.sleep(max(0.0, item.not_before - time.monotonic()))
            try:
                current_app.send_task(item.task, args=[str(item.job_id)], retry=False)
            except Exception as error:  # noqa: BLE001 - this thread's outermost loop
                # The beat wakes whatever waits as soon as the broker is back.
                log.warning(
                    "wake-up not sent", job_id=str(item.job_id), problem=type(error).__name__
                )
            finally:
                item.is_sent.set()


_sender = _Sender()
