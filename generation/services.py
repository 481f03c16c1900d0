"""Services: what a caller may do to jobs. Each writes in one transaction, or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import structlog
from django.db import connection, transaction
from django.utils import timezone

from generation.events import events_record
from generation.exceptions import (
    Busy,
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
from generation.shares import share_join, share_lock
from generation.states import ACTIVE, JobState, Lane
from generation.storage import sketch_write
from generation.transitions import job_cancel_queued, job_cancel_request
from generation.wakeups import wake
from usage.counts import count_add
from usage.models import User
from usage.plans import terms_of
from usage.quota import quota_check, quota_lock, quota_reserve

log = structlog.get_logger(__name__)

# A sketch of the largest size takes some 60 MB while it is read.
SKETCHES_AT_ONCE = 4
READING_WAIT_S = 10.0
_reading = threading.BoundedSemaphore(SKETCHES_AT_ONCE)


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
    user: User,
    submission: Submission,
    *,
    idempotency: Idempotency | None = None,
    caller_hash: str | None = None,
) -> dict[str, Any]:
    """Accept a request: keep the sketch, reserve quota, queue the jobs, and wake the workers.

    Returns the answer, `{"batch_id", "jobs"}`; a key that was used before gets its first answer.
    What is accepted is counted once under `caller_hash`, if there is one: see `usage.counts`.

    Raises:
        InvalidInput: the sketch is not an image that we take.
        KeyReused: the key was used with another body.
        QuotaExhausted: fewer images are left today than were asked for.
        TooManyWaiting: the caller's queue is full.
        Busy: too many sketches are being read right now.
        StorageFull: the sketch could not be kept.
    """
    if idempotency is None:
        # Only a look: the reservation decides. It spares the disk what would be refused anyway.
        quota_check(user, submission.count)
    name = _sketch_keep(user, _sketch_read(submission.sketch))
    return _once(user, idempotency, partial(_batch_create, user, submission, name, caller_hash))


def job_retry(
    user: User,
    job: Job,
    *,
    idempotency: Idempotency | None = None,
    caller_hash: str | None = None,
) -> dict[str, Any]:
    """Queue a new job with the sketch and parameters of one that failed or was cancelled.

    It is counted under `caller_hash`, as for `job_submit`.

    Raises:
        NotRetryable: the job did not fail.
        QuotaExhausted, TooManyWaiting, KeyReused: as for `job_submit`.
    """
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise NotRetryable
    again = Submission(b"", job.parameters, 1, Lane(job.lane))
    return _once(user, idempotency, partial(_batch_create, user, again, job.sketch, caller_hash))


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


def _sketch_read(data: bytes) -> bytes:
    """Decode and encode again, a few at a time: each takes memory while it lasts."""
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()  # back to the pool: others need it while this one waits
    if not _reading.acquire(timeout=READING_WAIT_S):
        raise Busy
    try:
        return sketch_normalise(data).data
    except InvalidImage as error:
        raise InvalidInput({"sketch": [str(error)]}) from error
    finally:
        _reading.release()


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


def _batch_create(
    user: User, submission: Submission, sketch: str, caller_hash: str | None
) -> dict[str, Any]:
    """Insert the batch with its jobs, reservation and events; on commit wake and count."""
    limit = terms_of(user).queue_limit
    now = timezone.now()
    if submission.lane == Lane.LIVE:
        _supersede_live(user)
    batch = Batch.objects.create(user=user, created_at=now)
    jobs = [
        Job(
            batch=batch,
            user=user,
            index=index,
            lane=submission.lane,
            mode=submission.params.mode,
            params=submission.params.variation(index).as_json(),
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
    share_join(user.pk, submission.lane)
    Job.objects.bulk_create(jobs)
    events_record(user.pk, "job.queued", jobs)
    for job in jobs:
        transaction.on_commit(partial(wake, job.id))
    if caller_hash is not None:
        transaction.on_commit(partial(count_add, caller_hash, len(jobs), now=now))
    payloads: list[JobPayload] = [job_payload(job) for job in jobs]
    return {"batch_id": str(batch.id), "jobs": payloads}


def _supersede_live(user: User) -> None:
    """Cancel the user's waiting live frames: a newer one takes their place.

    All are locked before the first is ended, then the day and the share, which the submission
    needs after the events of these ends: every transaction takes them in this order. A frame that a
    claim is just taking is left to run.
    """
    skip_locked = connection.features.has_select_for_update_skip_locked
    waiting = Job.objects.filter(user=user, lane=Lane.LIVE, state=JobState.QUEUED)
    jobs = list(waiting.select_for_update(skip_locked=skip_locked).order_by("created_at"))
    if not jobs:
        return
    quota_lock(user)
    share_lock(user.pk)
    for job in jobs:
        job_cancel_queued(job.id, job.attempt)
