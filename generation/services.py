"""Services: what a caller may do to jobs. Each writes in one transaction, or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from generation.events import events_record
from generation.exceptions import (
    InvalidImage,
    InvalidInput,
    KeyReused,
    NotRetryable,
    StorageFull,
    TooManyWaiting,
)
from generation.images import sketch_normalise
from generation.models import Batch, IdempotencyKey, Job
from generation.params import SEED_MAX, JobParams
from generation.payloads import JobPayload, job_payload
from generation.states import ACTIVE, JobState, Lane
from generation.storage import sketch_write
from generation.transitions import job_cancel_queued, job_cancel_request
from generation.wakeups import wake
from usage.models import User
from usage.quota import quota_reserve

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request for images: one sketch, one set of parameters, `count` seeds."""

    sketch: bytes
    params: JobParams
    count: int
    lane: Lane


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The caller's name for a request, and a digest of its body."""

    key: str
    body_digest: str


def body_digest(body: object) -> str:
    """A digest that is the same for the same JSON value, however it was written."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def seed_draw() -> int:
    """A seed for a caller who gave none."""
    return secrets.randbelow(SEED_MAX + 1)


def job_submit(
    user: User, submission: Submission, *, idempotency: Idempotency | None = None
) -> dict[str, Any]:
    """Accept a request: keep the sketch, reserve quota, queue the jobs, and wake the workers.

    Returns the answer, `{"batch_id", "jobs"}`; a key that was used before gets its first answer.

    Raises:
        InvalidInput: the sketch is not an image that we take.
        KeyReused: the key was used with another body.
        QuotaExhausted: fewer images are left today than were asked for.
        TooManyWaiting: the caller's queue is full.
        StorageFull: the sketch could not be kept.
    """
    try:
        sketch = sketch_normalise(submission.sketch)
    except InvalidImage as error:
        raise InvalidInput({"sketch": [str(error)]}) from error
    name = _sketch_keep(user, sketch.data)
    return _once(user, idempotency, partial(_batch_create, user, submission, name))


def job_retry(user: User, job: Job, *, idempotency: Idempotency | None = None) -> dict[str, Any]:
    """Queue a new job with the sketch and parameters of one that failed or was cancelled.

    Raises:
        NotRetryable: the job did not fail.
        QuotaExhausted, TooManyWaiting, KeyReused: as for `job_submit`.
    """
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise NotRetryable
    again = Submission(b"", job.parameters, 1, Lane(job.lane))
    return _once(user, idempotency, partial(_batch_create, user, again, job.sketch))


def jobs_cancel(jobs: Iterable[Job]) -> None:
    """Cancel jobs: those that wait end now, those on a node as soon as the node has let go.

    One transaction a job, so that a batch of 128 locks nobody out. Repeating it does no harm.
    """
    for job in jobs:
        # A job may be claimed between the two, or given back to the queue: then look again.
        for _ in range(3):
            if job_cancel_queued(job.id, job.attempt) or job_cancel_request(job.id):
                break
            job.refresh_from_db()
            if job.state not in ACTIVE or job.cancel_requested_at:
                break


def _sketch_keep(user: User, data: bytes) -> str:
    try:
        return sketch_write(user.pk, data)
    except OSError as error:
        log.exception("sketch not kept", user_id=user.pk)
        raise StorageFull from error


def _once(
    user: User, idempotency: Idempotency | None, create: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Run `create` in a transaction, at most once for a key; a used key gets its first answer."""
    with transaction.atomic():
        if idempotency is None:
            return create()
        # A parallel request with the same key waits here for the first one's commit.
        row, is_new = IdempotencyKey.objects.get_or_create(
            user=user, key=idempotency.key, defaults={"body_digest": idempotency.body_digest}
        )
        if not is_new and row.body_digest != idempotency.body_digest:
            raise KeyReused
        if not is_new:
            return cast("dict[str, Any]", row.answer)
        answer = create()
        IdempotencyKey.objects.filter(pk=row.pk).update(answer=answer)
        return answer


def _batch_create(user: User, submission: Submission, sketch: str) -> dict[str, Any]:
    """Insert the batch with its jobs, their reservation and their events, and wake on commit."""
    limit = settings.PENCIL.queue_limit
    now = timezone.now()
    batch = Batch.objects.create(user=user, created_at=now)
    jobs = [
        Job(
            batch=batch,
            user=user,
            index=index,
            lane=submission.lane,
            params=submission.params.with_seed(submission.params.seed + index).as_json(),
            sketch=sketch,
            # A microsecond apart, so that the queue and the history keep the batch's order.
            created_at=now + timedelta(microseconds=index),
        )
        for index in range(submission.count)
    ]
    # The reservation locks the user's day, so two requests count the queue one after the other.
    quota_reserve(user, [job.id for job in jobs], now=now)
    if Job.objects.filter(user=user, state__in=ACTIVE).count() + len(jobs) > limit:
        raise TooManyWaiting(limit=limit)
    Job.objects.bulk_create(jobs)
    events_record(user.pk, "job.queued", jobs)
    for job in jobs:
        transaction.on_commit(partial(wake, job.id))
    payloads: list[JobPayload] = [job_payload(job) for job in jobs]
    return {"batch_id": str(batch.id), "jobs": payloads}
