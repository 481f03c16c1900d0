"""The workers' Celery tasks. A message is a wake-up; what is done depends on the rows alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.db import close_old_connections

from generation.publisher import publisher_drain, publisher_flush
from generation.scheduling import Claim, job_claim, jobs_waiting
from generation.wakeups import TASK_ADOPT, TASK_RUN, wake
from usage.connections import connection_lend
from workers.adoption import attempt_adopt
from workers.attempt import attempt_run, draining
from workers.canary import node_canary
from workers.chores import Chore, chores_do
from workers.clients import clients_close
from workers.ears import Ears
from workers.health import nodes_probe
from workers.reconciler import reconcile as reconcile_now
from workers.uploads import pictures_foresee

log = structlog.get_logger(__name__)


@shared_task(name=TASK_RUN)
def run(job_id: str) -> None:
    """Run the next job, which need not be the one named, and wake another worker after it."""
    if not _ears.forget(job_id):
        _run_next(lambda _claim: None)


def run_heard() -> None:
    """Run the next job, as `run` does, because of a notice; its message is still to come.

    Where there may be another, because several notices came or one for a whole batch, another
    thread looks for it.
    """
    is_one_of_several = _ears.begin()
    close_old_connections()
    try:
        _run_next(partial(_claimed_heard, is_one_of_several=is_one_of_several))
    except Exception:
        # As Celery does with a task's.
        log.exception("job not run")
    finally:
        close_old_connections()


def _claimed_heard(claim: Claim, *, is_one_of_several: bool) -> None:
    _ears.note(job.id for _, job in claim.members)
    if is_one_of_several or claim.job.batch.size > len(claim.members):
        _ears.claim_next()


def _run_next(note: Callable[[Claim], None]) -> None:
    with _slot() as is_free:
        claim = job_claim(pictures_foresee) if is_free and not draining.is_set() else None
        if claim is None:
            return
        note(claim)
        chores = attempt_run(claim)
    _go_on(chores)


@shared_task(name=TASK_ADOPT)
def adopt(job_id: str) -> None:
    """Take up a job whose worker has died."""
    with _slot() as is_free:
        may_adopt = is_free and not draining.is_set()
        chores = attempt_adopt(UUID(job_id)) if may_adopt else None
    if chores is not None:
        _go_on(chores)


@shared_task(name="workers.reconcile")
def reconcile() -> None:
    """See `workers.reconciler`."""
    reconcile_now()


@shared_task(name="workers.probe_nodes")
def probe_nodes() -> None:
    """See `workers.health`; canaries are made by tasks of their own, so that no probe waits."""
    for node_id in nodes_probe():
        canary.delay(node_id)


@shared_task(name="workers.canary")
def canary(node_id: int) -> None:
    """See `workers.canary`."""
    node_canary(node_id)


def _go_on(chores: Iterable[Chore]) -> None:
    """Do what an attempt leaves: its owner first, then the next job, then what is in no hurry."""
    publisher_flush(TOLD_WITHIN_S)
    _wake_next()
    connection_lend()
    time.sleep(FETCHED_WITHIN_S)
    chores_do(chores)


def _wake_next() -> None:
    for waiting in jobs_waiting(1):
        _ears.claim_next()  # which needs no broker
        wake(waiting, are_noticed=True)


TOLD_WITHIN_S = 0.02  # chosen: ten times what it takes; Redis may be away
# Chosen: ten times what it takes to fetch an image. On a small server the processors are busy with
# that, and nobody waits for the chores.
FETCHED_WITHIN_S = 0.05

# Threads that attempts leave to probes, canaries and the reconciler: if all were waiting for nodes,
# nobody would notice that the nodes are gone.
SPARE_THREADS = 3
_ears = Ears()
_slots = threading.BoundedSemaphore(5)


@contextmanager
def _slot() -> Iterator[bool]:
    """Whether this process may hold one more job. If not, the beat wakes again for it."""
    slots = _slots
    is_free = slots.acquire(blocking=False)
    try:
        yield is_free
    finally:
        if is_free:
            slots.release()


@worker_ready.connect
def _begin(sender: Any = None, **_: Any) -> None:
    """Know how many threads there are, and ask the nodes at once."""
    global _slots
    concurrency = getattr(getattr(sender, "controller", None), "concurrency", None) or 8
    _slots = threading.BoundedSemaphore(max(1, int(concurrency) - SPARE_THREADS))
    draining.clear()
    # The beat would do it within seconds; the first picture need not wait for that.
    probe_nodes.delay()
    if sender is not None:
        _ears.open(partial(sender.pool.apply_async, run_heard, callback=lambda _nothing: None))


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    draining.set()
    _ears.close()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    publisher_drain()
    clients_close()
