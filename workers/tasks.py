"""The workers' Celery tasks. A message is a wake-up; what is done depends on the rows alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from generation.publisher import publisher_drain
from generation.scheduling import job_claim, jobs_waiting
from generation.wakeups import TASK_ADOPT, TASK_RUN, wake
from workers.attempt import attempt_adopt, attempt_run, draining
from workers.clients import clients_close
from workers.health import nodes_probe
from workers.reconciler import reconcile as reconcile_now


@shared_task(name=TASK_RUN)
def run(job_id: str) -> None:  # noqa: ARG001 - for the operator who reads the queue
    """Run the next job, which need not be the one named, and wake another worker after it."""
    if draining.is_set():
        return
    claim = job_claim()
    if claim is None:
        return
    attempt_run(claim)
    _wake_next()


@shared_task(name=TASK_ADOPT)
def adopt(job_id: str) -> None:
    """Take up a job whose worker has died."""
    if not draining.is_set() and attempt_adopt(UUID(job_id)):
        _wake_next()


@shared_task(name="workers.reconcile")
def reconcile() -> None:
    """See `workers.reconciler`."""
    reconcile_now()


@shared_task(name="workers.probe_nodes")
def probe_nodes() -> None:
    """See `workers.health`."""
    nodes_probe()


def _wake_next() -> None:
    for waiting in jobs_waiting(1):
        wake(waiting)


@worker_ready.connect
def _begin(**_: Any) -> None:
    """Work again after a stop in the same process, as tests do."""
    draining.clear()


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    draining.set()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    publisher_drain()
    clients_close()
