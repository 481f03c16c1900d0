"""Services: what a caller may do to jobs. Each writes in one transaction, or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import IntegerField
from django.utils import timezone

from generation.events import events_record
from generation.exceptions import (
    GenerationError,
    InvalidInput,
    NotRetryable,
    StorageFull,
    TooManyWaiting,
)
from generation.keys import Idempotency, key_answer, key_take
from generation.models import Batch, BatchPicture, Job
from generation.nodes import is_offered
from generation.params import (
    SEED_MAX,
    JobParams,
)
from generation.payloads import JobPayload, job_payload
from generation.pictures import Sketch, pictures_read, sketch_begin
from generation.shares import share_join, share_lock, share_make
from generation.states import ACTIVE, JobState, Lane
from generation.submissions import Submission
from generation.transitions import job_cancel_queued, job_cancel_request
from generation.wakeups import notice_jobs, wake
from usage.count_writer import count_later
from usage.models import User
from usage.plans import terms_of
from usage.quota import quota_check, quota_lock, quota_reserve
from usage.statements import Select, Slot
from usage.upserts import inserted

log = structlog.get_logger(__name__)

WRITTEN_WITHIN_S = 10.0  # chosen: a disk that takes longer is as good as full

_ACTIVE = Select(
    lambda: (
        Job.objects.filter(user_id=Slot("user_id", IntegerField()), state__in=ACTIVE)
        .order_by()
        .values_list("id")
    )
)


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
    What is accepted is counted once, a moment later, under `caller_hash`, if there is one: see
    `usage.counts`.

    Raises:
        InvalidInput: a picture is none that we take, or no node has the model.
        KeyReused: the key was used with another body.
        QuotaExhausted: fewer images are left today than were asked for.
        TooManyWaiting: the caller's queue is full.
        Busy: too many sketches are being read right now.
        StorageFull: the sketch could not be kept.
    """
    if idempotency is None:
        # Only a look: the reservation decides. It spares the disk what would be refused anyway.
        quota_check(user, submission.count)
    draft_of = partial(_drafted, user, count=submission.count, lane=submission.lane)
    accept = partial(_accept, user, idempotency=idempotency, caller_hash=caller_hash)
    sketch = sketch_begin(user.pk, submission)
    if sketch is not None:
        return accept(draft_of(submission.params, sketch=""), [sketch.written], sketch=sketch)
    try:
        pictures = pictures_read(user, submission)
    except GenerationError:
        # A picture may be gone since the request was accepted under this key.
        first = key_answer(user.pk, idempotency) if idempotency else None
        if first is None:
            raise
        return first
    # The disk and the database take their time side by side.
    return accept(draft_of(pictures.params, sketch=pictures.sketch), pictures.write())


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
    draft = _drafted(user, job.parameters, sketch=job.sketch, count=1, lane=Lane(job.lane))
    return _accept(user, draft, (), idempotency=idempotency, caller_hash=caller_hash)


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


def _check_offered(params: JobParams) -> None:
    """Refuse what no node that works now can make; while none works, it may wait for one."""
    if is_offered(params.workflow):
        return
    field = "model" if params.model == "base" else "mode"
    sentence = "No image machine can make this right now. Choose another, or try again later."
    raise InvalidInput({field: [sentence]})


@dataclass(frozen=True, slots=True)
class _Draft:
    """A batch with its jobs, not kept yet, and the answer that says that they are."""

    batch: Batch
    jobs: list[Job]
    pictures: list[BatchPicture]
    lane: Lane

    @property
    def answer(self) -> dict[str, Any]:
        payloads: list[JobPayload] = [job_payload(job) for job in self.jobs]
        return {"batch_id": str(self.batch.id), "jobs": payloads}


def _drafted(user: User, params: JobParams, *, sketch: str, count: int, lane: Lane) -> _Draft:
    now = timezone.now()
    batch = Batch(user=user, size=count, created_at=now)
    jobs = [
        Job(
            batch=batch,
            user=user,
            index=index,
            lane=lane,
            workflow=params.workflow,
            params=params.variation_after(index).as_json(),
            sketch=sketch,
            # A microsecond apart, so that the queue and the history keep the batch's order.
            created_at=now + timedelta(microseconds=index),
        )
        for index in range(count)
    ]
    pictures = [BatchPicture(batch=batch, name=name) for name in params.blobs]
    return _Draft(batch, jobs, pictures, lane)


def _accept(
    user: User,
    draft: _Draft,
    writes: Iterable[Future[None]],
    *,
    idempotency: Idempotency | None,
    caller_hash: str | None,
    sketch: Sketch | None = None,
) -> dict[str, Any]:
    """Keep a draft, at most once for a key, and answer; a used key gets its first answer.

    `writes` bring its pictures to the disk, and must have ended well before it is kept. A `sketch`
    that is still being read gives the jobs its name.
    """
    answer = draft.answer
    with transaction.atomic():
        if idempotency is not None:
            first = key_take(user.pk, idempotency, answer)
            if first is not None:
                return first
        # Before the events, which are published on commit too: workers first.
        transaction.on_commit(partial(wake, *[job.id for job in draft.jobs], are_noticed=True))
        _draft_insert(user, draft, sketch)
        for write in writes:
            try:
                write.result(WRITTEN_WITHIN_S)
            except OSError as error:  # a disk that takes too long is a TimeoutError, so one too
                log.exception("picture not kept", user_id=user.pk)
                raise StorageFull from error
        if caller_hash is not None:
            now, count = draft.batch.created_at, len(draft.jobs)
            transaction.on_commit(partial(count_later, caller_hash, count, now=now))
    return answer


def _draft_insert(user: User, draft: _Draft, sketch: Sketch | None) -> None:
    """Insert the batch with its jobs, reservation and events.

    What is checked here is not checked of a request that was accepted under its key before.
    """
    _check_offered(draft.jobs[0].parameters)
    limit = terms_of(user).queue_limit
    jobs = draft.jobs
    if draft.lane == Lane.LIVE:
        _supersede_live(user)
    # The reservation locks the user's day, so two requests count the queue one after the other.
    reserved = quota_reserve(user, [job.id for job in jobs], now=draft.batch.created_at)
    if len(jobs) > 1 and len(_ACTIVE.rows(user_id=user.pk)) + len(jobs) > limit:
        raise TooManyWaiting(limit=limit)  # before all their rows are written
    if sketch is not None:
        name = sketch.name()
        for job in jobs:
            job.sketch = name
    pictures = [inserted(draft.pictures)] if draft.pictures else []
    join = share_join(user.pk, draft.lane)
    counted = (_ACTIVE.write(user_id=user.pk), join)
    rows = (*counted, inserted([draft.batch]), reserved, *pictures, inserted(jobs), *notice_jobs())
    active, joined, *_ = events_record(user.pk, "job.queued", jobs, writes=rows)
    if active + len(jobs) > limit:
        raise TooManyWaiting(limit=limit)  # and nothing of all that is kept
    if not joined:  # after the stream's lock: nobody can hold what there was not
        share_make(user.pk)
        join.run()


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
