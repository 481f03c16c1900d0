"""Transitions: the only writer of a job's state.

Each is one compare-and-swap UPDATE on (id, attempt, state) and, for a worker, on its lease. No row
changed means that somebody else was first: the caller stops, without effects. The event, the
ledger's line and the images of a transition are written in its transaction.

Rows are locked in one order everywhere, so that no two transactions wait for each other: node, job,
the user's day in the ledger, the user's share, the user's event stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F, FloatField, IntegerField, QuerySet, UUIDField
from django.db.models.functions import Coalesce, Now

from generation.events import events_record
from generation.models import GeneratedImage, Job
from generation.params import prompt_id_for
from generation.shares import share_charge, share_correct, share_want
from generation.states import ON_NODE, JobState, Lane, can_follow
from usage.models import LedgerEntry
from usage.quota import quota_refund, quota_settle
from usage.statements import Slot, Update, update_returning
from usage.upserts import inserted
from usage.writes import Write

LEASE_TTL = timedelta(seconds=15)
LEASE_RENEWAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to move one attempt of a job; void once `token` is no longer the row's."""

    job_id: UUID
    attempt: int
    token: UUID


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that lies in storage and waits for its row; sizes in pixels."""

    file: str
    thumbnail: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    method: str = ""


_ID = Slot("job_id", UUIDField())
_ATTEMPT = Slot("attempt", IntegerField())
_TOKEN = Slot("token", UUIDField())
_HELD = {"id": _ID, "attempt": _ATTEMPT, "lease_token": _TOKEN}
_TAKE = Update(
    lambda: (
        Job.objects.filter(
            id=_ID, attempt=_ATTEMPT, cancel_requested_at__isnull=True, state=JobState.QUEUED
        ),
        {
            "state": JobState.CLAIMED,
            "attempt": Slot("next_attempt", IntegerField()),
            "node_id": Slot("node_id", IntegerField()),
            "prompt_id": Slot("prompt_id", UUIDField()),
            "prompt_index": Slot("prompt_index", IntegerField()),
            "lease_token": _TOKEN,
            "lease_expires_at": Now() + LEASE_TTL,
            "not_before": None,
            "charged_virtual_s": Slot("charged_virtual_s", FloatField()),
            "started_at": None,
        },
    )
)
# What a job may be when its image is there: one that comes at once was never `saving` here.
_HAS_IMAGE = frozenset({JobState.SUBMITTED, JobState.RUNNING, JobState.SAVING})
_SUCCEED = Update(
    lambda: (
        Job.objects.filter(**_HELD, cancel_requested_at__isnull=True, state__in=_HAS_IMAGE),
        {
            "state": JobState.SUCCEEDED,
            "started_at": Coalesce(F("started_at"), Now()),
            "finished_at": Now(),
            "execution_s": Slot("execution_s", FloatField()),
            "lease_token": None,
            "lease_expires_at": None,
        },
    )
)


@cache
def _advance_statement(origins: frozenset[JobState], to: JobState) -> Update[Job]:
    _check_way(origins, to)
    changes: dict[str, Any] = {"state": to}
    if to in {JobState.RUNNING, JobState.SAVING}:
        # A prompt that was faster than our look at it never was `running` here.
        changes["started_at"] = Coalesce(F("started_at"), Now())
    return Update(lambda: (Job.objects.filter(**_HELD, state__in=origins), changes))


def job_take(
    job: Job,
    *writes: Write,
    node_id: int,
    charged_virtual_s: float = 0.0,
    prompt_id: UUID | None = None,
    prompt_index: int = 0,
) -> tuple[Lease, Job] | None:
    """Claim a queued job for a node: `queued → claimed`, the next attempt, with a fresh lease.

    `charged_virtual_s` is what the caller has added to the owner's share for it. A job that is to
    share another's prompt is given that and its place in it; otherwise it gets one of its own.
    `writes` go with it, whether it can be claimed or not.

    Returns the job as it is then, but for the moment when the lease runs out, which the database
    alone knows; None when it does not wait any more as it was.
    """
    lease = Lease(job.id, job.attempt + 1, uuid4())
    claimed = copy(job)
    claimed.state, claimed.attempt = JobState.CLAIMED, lease.attempt
    claimed.prompt_id = prompt_id or prompt_id_for(job.id, lease.attempt)
    claimed.prompt_index, claimed.node_id = prompt_index, node_id
    claimed.charged_virtual_s, claimed.lease_token = charged_virtual_s, lease.token
    claimed.started_at = claimed.not_before = claimed.lease_expires_at = None
    take = _TAKE.write(
        job_id=job.id,
        attempt=job.attempt,
        next_attempt=lease.attempt,
        node_id=node_id,
        prompt_id=claimed.prompt_id,
        prompt_index=prompt_index,
        token=lease.token,
        charged_virtual_s=charged_virtual_s,
    )
    with transaction.atomic(savepoint=False):
        counts = events_record(
            job.user_id,
            f"job.{JobState.CLAIMED}",
            [claimed],
            writes=[*writes, take],
            provided=len(writes),
        )
    return (lease, claimed) if counts[-1] else None


def job_advance(lease: Lease, origins: Iterable[JobState], to: JobState) -> Job | None:
    """Move a held job to `submitted`, `running` or `saving`; None when it is not ours any more."""
    statement = _advance_statement(frozenset(origins), to)
    with transaction.atomic(savepoint=False):
        changed = statement.objects(job_id=lease.job_id, attempt=lease.attempt, token=lease.token)
        return _recorded(changed[0], to) if changed else None


def job_succeed(
    lease: Lease,
    images: Iterable[StoredImage],
    *,
    execution_s: float | None,
    settle: Callable[[], None] = lambda: None,
) -> Job | None:
    """End a job well: images, state, settlement and event in one transaction.

    `images` are asked for once the job's row is taken, and `settle` is called last, before all that
    is kept. Both may raise, where the images do not come or are not in storage after all, and
    nothing is written. Rows are locked meanwhile, so they may wait for a moment only.

    None when it is not ours any more, or when its cancellation was asked for: then nothing is
    written, and the caller looks again.
    """
    with transaction.atomic():
        changed = _SUCCEED.objects(
            job_id=lease.job_id,
            attempt=lease.attempt,
            token=lease.token,
            execution_s=execution_s,
        )
        if not changed:
            return None
        (job,) = changed
        rows = [
            GeneratedImage(
                job_id=lease.job_id,
                index=index,
                file=image.file,
                thumbnail=image.thumbnail,
                content_type=image.content_type,
                width=image.width,
                height=image.height,
                size_bytes=image.size_bytes,
                method=image.method,
            )
            for index, image in enumerate(images)
        ]
        writes = [quota_settle(lease.job_id), *([inserted(rows)] if rows else [])]
        if execution_s is not None:
            charged = job.charged_virtual_s
            writes.append(share_correct(job.user_id, charged_virtual_s=charged, took_s=execution_s))
        settled, *_ = events_record(job.user_id, "job.succeeded", [job], rows, writes=writes)
        if not settled:
            raise LedgerEntry.DoesNotExist(f"Nothing was reserved for job {job.id}.")
        settle()
        return job


def job_fail(lease: Lease, *, code: str, message: str) -> Job | None:
    """End a held job badly, refunded, with a sentence for its owner."""
    return _end(
        lease.job_id, _held(lease), ON_NODE, JobState.FAILED, error_code=code, error_message=message
    )


def job_cancel_confirmed(lease: Lease) -> Job | None:
    """End a held job as cancelled, refunded, once its node does nothing for it any more."""
    return _end(lease.job_id, _held(lease), ON_NODE, JobState.CANCELLED)


def job_cancel_queued(job_id: UUID, attempt: int) -> Job | None:
    """End a waiting job as cancelled, refunded; None when it does not wait any more."""
    return _end(
        job_id,
        Job.objects.filter(id=job_id, attempt=attempt),
        {JobState.QUEUED},
        JobState.CANCELLED,
        cancel_requested_at=Now(),
    )


def job_expire_queued(job_id: UUID, attempt: int, *, code: str, message: str) -> Job | None:
    """End a job that waited too long as failed, refunded; None when it does not wait now."""
    return _end(
        job_id,
        Job.objects.filter(id=job_id, attempt=attempt),
        {JobState.QUEUED},
        JobState.FAILED,
        error_code=code,
        error_message=message,
    )


def job_cancel_request(job_id: UUID) -> Job | None:
    """Note on a job that is on a node that its owner wants it to stop; None if noted or ended."""
    with transaction.atomic():
        on_node = Job.objects.filter(id=job_id, state__in=ON_NODE, cancel_requested_at__isnull=True)
        if not on_node.update(cancel_requested_at=Now()):
            return None
        return _recorded(Job.objects.get(id=job_id), "cancel_requested")


def job_requeue(
    lease: Lease,
    *,
    failure: str,
    delay: timedelta = timedelta(0),
    avoid_node_id: int | None = None,
) -> Job | None:
    """Give a held job back to the queue after an attempt that was not its fault.

    `failure` names what is counted: infrastructure, memory, blank or refused; or `none`, for a
    worker that stops in an orderly way. A job whose cancellation was asked for does not go back.
    """
    fields: dict[str, Any] = {
        "not_before": Now() + delay,
        "node_id": None,
        "prompt_id": None,
        "started_at": None,
    }
    if failure != "none":
        fields[f"{failure}_failures"] = F(f"{failure}_failures") + 1
    if avoid_node_id is not None:
        fields["avoid_node_id"] = avoid_node_id
    return _swap(
        _held(lease).filter(cancel_requested_at__isnull=True),
        ON_NODE,
        JobState.QUEUED,
        event="requeued",
        lease_token=None,
        lease_expires_at=None,
        **fields,
    )


def leases_renew(tokens: Iterable[UUID]) -> set[UUID]:
    """Renew the leases that are still held and return their tokens."""
    held = Job.objects.filter(lease_token__in=list(tokens), state__in=ON_NODE)
    held.update(lease_expires_at=Now() + LEASE_TTL)
    return {token for token in held.values_list("lease_token", flat=True) if token is not None}


def lease_release(lease: Lease) -> None:
    """Let a lease run out now, so that another worker adopts the job at once."""
    _held(lease).filter(state__in=ON_NODE).update(lease_expires_at=Now())


def lease_take(job_id: UUID) -> Lease | None:
    """Take over a job whose lease has run out; None when its worker lives or it has ended."""
    token = uuid4()
    expired = Job.objects.filter(id=job_id, state__in=ON_NODE, lease_expires_at__lte=Now())
    if not expired.update(lease_token=token, lease_expires_at=Now() + LEASE_TTL):
        return None
    attempt = (
        Job.objects.filter(id=job_id, lease_token=token).values_list("attempt", flat=True).first()
    )
    return None if attempt is None else Lease(job_id, attempt, token)


def _held(lease: Lease) -> QuerySet[Job]:
    return Job.objects.filter(id=lease.job_id, attempt=lease.attempt, lease_token=lease.token)


def _end(
    job_id: UUID, rows: QuerySet[Job], origins: Iterable[JobState], to: JobState, **fields: Any
) -> Job | None:
    ending = {"finished_at": Now(), "lease_token": None, "lease_expires_at": None, **fields}
    _check_way(origins, to)
    with transaction.atomic(savepoint=False):
        job = _set_state(rows, origins, to, **ending)
        if job is None:
            return None
        quota_refund(job_id)
        if to == JobState.FAILED or job.started_at is None:
            _share_give_back(job)
        return _recorded(job, to)


def _swap(
    rows: QuerySet[Job],
    origins: Iterable[JobState],
    to: JobState,
    *,
    event: str = "",
    **fields: Any,
) -> Job | None:
    _check_way(origins, to)
    with transaction.atomic(savepoint=False):
        job = _set_state(rows, origins, to, **fields)
        if job is None:
            return None
        if to == JobState.QUEUED:
            share_want(job.user_id, Lane(job.lane))
            _share_give_back(job)
        return _recorded(job, event or to)


def _set_state(
    rows: QuerySet[Job], origins: Iterable[JobState], to: JobState, **fields: Any
) -> Job | None:
    """Set the state of at most one row if it is in one of `origins`; return it as it is then."""
    changed = update_returning(rows.filter(state__in=set(origins)), state=to, **fields)
    return changed[0] if changed else None


def _check_way(origins: Iterable[JobState], to: JobState) -> None:
    forbidden = [origin for origin in origins if not can_follow(origin, to)]
    if forbidden:
        raise ValueError(f"A job cannot go from {', '.join(sorted(forbidden))} to {to}.")


def _share_give_back(job: Job) -> None:
    """Take back what the claim added to the owner's share: the attempt was not their doing."""
    if job.charged_virtual_s:
        share_charge(job.user_id, -job.charged_virtual_s).run()
        Job.objects.filter(id=job.id).update(charged_virtual_s=0.0)


def _recorded(job: Job, event: str) -> Job:
    events_record(job.user_id, f"job.{event}", [job])
    return job
