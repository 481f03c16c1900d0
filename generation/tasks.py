"""Maintenance that needs no node: waking what waits, sweeping what is old."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from generation.models import BatchPicture, Event, GeneratedImage, IdempotencyKey, Job
from generation.nodes import nodes_room
from generation.scheduling import jobs_waiting
from generation.shares import shares_forget_idle
from generation.storage import (
    blob_delete,
    image_job,
    images_old,
    sketches_old,
    temporaries_delete,
)
from generation.wakeups import wake

log = structlog.get_logger(__name__)

EVENTS_KEPT = timedelta(days=2)  # chosen: a laptop closed over a weekend gets the snapshot instead
KEYS_KEPT = timedelta(days=2)
SKETCHES_KEPT = timedelta(days=1)
IMAGES_KEPT = timedelta(days=1)  # chosen: no attempt that fetched a file lasts so long
SWEEP_ROWS = 10_000


@shared_task(name="generation.wake_waiting")
def wake_waiting() -> int:
    """Wake a worker for each job that could run now: a lost message delays it by one tick."""
    shares_forget_idle()
    room = nodes_room()
    waiting = jobs_waiting(room) if room else []
    wake(*waiting)
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
    log.info(
        "swept",
        temporaries=temporaries_delete(),
        sketches=_sketches_sweep(),
        images=_images_sweep(),
    )


def _images_sweep() -> int:
    """Delete files of attempts that ended otherwise after they had fetched them."""
    count = 0
    for names in images_old(older_than=IMAGES_KEPT):
        found = GeneratedImage.objects.filter(job_id__in={image_job(name) for name in names})
        kept = {name for row in found.values_list("file", "thumbnail") for name in row}
        for name in set(names) - kept:
            blob_delete(name)
            count += 1
    return count


def _sketches_sweep() -> int:
    """Delete sketches that no job was made from: their requests were refused in the end."""
    count = 0
    for names in sketches_old(older_than=SKETCHES_KEPT):
        used = set(Job.objects.filter(sketch__in=names).values_list("sketch", flat=True))
        used |= set(BatchPicture.objects.filter(name__in=names).values_list("name", flat=True))
        for name in set(names) - used:
            blob_delete(name)
            count += 1
    return count
