"""Maintenance that needs no node: waking what waits, sweeping what is old."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from generation.models import Event, IdempotencyKey
from generation.nodes import nodes_room
from generation.scheduling import jobs_waiting
from generation.storage import temporaries_delete
from generation.wakeups import wake

log = structlog.get_logger(__name__)

EVENTS_KEPT = timedelta(days=2)  # chosen: a laptop closed over a weekend gets the snapshot instead
KEYS_KEPT = timedelta(days=2)
SWEEP_ROWS = 10_000


@shared_task(name="generation.wake_waiting")
def wake_waiting() -> int:
    """Wake a worker for each job that could run now: a lost message delays it by one tick."""
    room = nodes_room()
    waiting = jobs_waiting(room) if room else []
    for job_id in waiting:
        wake(job_id)
    return len(waiting)


@shared_task(name="generation.sweep")
def sweep() -> None:
    """Delete old events, old idempotency keys and what died writers left on disk."""
    now = timezone.now()
    for model, kept in ((Event, EVENTS_KEPT), (IdempotencyKey, KEYS_KEPT)):
        while True:
            old = model.objects.filter(created_at__lt=now - kept).values("pk")[:SWEEP_ROWS]
            deleted, _ = model.objects.filter(
                pk__in=list(old.values_list("pk", flat=True))
            ).delete()
            if deleted < SWEEP_ROWS:
                break
    log.info("swept", temporaries=temporaries_delete())
