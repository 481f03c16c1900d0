"""Jobs at every stage of their way, brought there by the transitions themselves."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from generation.models import Event, GeneratedImage, Job, Node
from generation.states import JobState
from generation.transitions import (
    Lease,
    StoredImage,
    job_advance,
    job_cancel_confirmed,
    job_fail,
    job_succeed,
    job_take,
)
from usage.models import LedgerEntry

IMAGE = StoredImage("images/a.png", "images/a.thumbnail.webp", "image/png", 512, 512, 1000)

# The way a job takes, and where it may leave it.
_WAY = (JobState.CLAIMED, JobState.SUBMITTED, JobState.RUNNING, JobState.SAVING)
_LAST_STEP_FROM = {
    JobState.SUCCEEDED: JobState.SAVING,
    JobState.FAILED: JobState.RUNNING,
    JobState.CANCELLED: JobState.RUNNING,
}


def lease_of_nobody(job: Job) -> Lease:
    """A lease that was never given out."""
    return Lease(job.id, job.attempt, uuid4())


def bring(job: Job, node: Node, state: JobState) -> Lease:
    """Bring a queued job to a state and return the (last) lease on it."""
    if state == JobState.QUEUED:
        return lease_of_nobody(job)
    taken = job_take(job, node_id=node.pk)
    lease = taken[0] if taken else None
    assert lease is not None
    stop = _LAST_STEP_FROM.get(state, state)
    for before, after in pairwise(_WAY):
        if before == stop:
            break
        assert job_advance(lease, {before}, after)
    if state == JobState.SUCCEEDED:
        assert job_succeed(lease, [IMAGE], execution_s=1.5)
    elif state == JobState.FAILED:
        assert job_fail(lease, code="node_failed", message="It broke.")
    elif state == JobState.CANCELLED:
        assert job_cancel_confirmed(lease)
    job.refresh_from_db()
    assert job.state == state
    return lease


def expire(lease: Lease) -> None:
    """Let a lease run out, as if its worker had died a while ago."""
    past = timezone.now() - timedelta(seconds=60)
    Job.objects.filter(id=lease.job_id).update(lease_expires_at=past)


def age(job: Job, seconds: float) -> None:
    """Make a job that much older."""
    job.created_at -= timedelta(seconds=seconds)
    job.save(update_fields=["created_at"])


def row_of(job_id: UUID) -> dict[str, Any]:
    """Everything that the database says of a job."""
    return dict(Job.objects.filter(id=job_id).values().get())


def traces_of(job_id: UUID) -> dict[str, Any]:
    """A job's row with all that hangs on it: two equal values mean that nothing was written."""
    return {
        "row": row_of(job_id),
        "events": list(Event.objects.filter(job_id=job_id).order_by("seq").values("seq", "type")),
        "ledger": list(LedgerEntry.objects.filter(job_id=job_id).order_by("id").values()),
        "images": list(GeneratedImage.objects.filter(job_id=job_id).order_by("index").values()),
    }


def event_types(job_id: UUID) -> list[str]:
    """The types of a job's events, in order."""
    return list(Event.objects.filter(job_id=job_id).order_by("seq").values_list("type", flat=True))


def ledger_kinds(job_id: UUID) -> list[str]:
    """What the ledger says of a job, in order."""
    return list(
        LedgerEntry.objects.filter(job_id=job_id).order_by("id").values_list("kind", flat=True)
    )
