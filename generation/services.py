"""Services: what a caller may do to jobs. Each writes in one transaction, or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Count, IntegerField
from django.utils import timezone

from generation.events import events_record
from generation.exceptions import (
    Busy,
    GenerationError,
    InvalidImage,
    InvalidInput,
    NotRetryable,
    StorageFull,
    TooManyWaiting,
)
from generation.images import Encoded, sketch_normalise
from generation.keys import Idempotency, key_answer, key_take
from generation.models import Batch, BatchPicture, GeneratedImage, Job
from generation.nodes import is_offered
from generation.params import (
    ENLARGEMENT,
    ENLARGING,
    SEED_MAX,
    SIDE_MAX,
    SIDE_MULTIPLE,
    JobParams,
)
from generation.payloads import JobPayload, job_payload
from generation.shares import share_join, share_lock
from generation.states import ACTIVE, JobState, Lane
from generation.storage import blob_read, sketch_keep, sketch_name
from generation.transitions import job_cancel_queued, job_cancel_request
from generation.wakeups import wake
from usage.connections import connection_lend
from usage.count_writer import count_later
from usage.models import User
from usage.plans import terms_of
from usage.quota import quota_check, quota_lock, quota_reserve
from usage.statements import Select, Slot
from usage.upserts import insert_all

log = structlog.get_logger(__name__)

# A sketch of the largest size takes some 60 MB while it is read.
SKETCHES_AT_ONCE = 4
READING_WAIT_S = 10.0
QUICK_BYTES_MAX = 256 * 1024  # chosen: a drawing of 1024², read in some 20 ms
_reading = threading.BoundedSemaphore(SKETCHES_AT_ONCE)
WRITTEN_WITHIN_S = 10.0  # chosen: a disk that takes longer is as good as full
_writing = ThreadPoolExecutor(16, thread_name_prefix="sketches")

_ACTIVE = Select(
    lambda: (
        Job.objects.filter(user_id=Slot("user_id", IntegerField()), state__in=ACTIVE)
        .order_by()
        .values("user_id")
        .annotate(count=Count("id"))
        .values_list("count")
    )
)


@dataclass(frozen=True, slots=True)
class OwnImage:
    """One of the caller's images, to be used as a picture."""

    id: UUID


Picture: TypeAlias = bytes | OwnImage


@dataclass(frozen=True, slots=True)
class Anchor:
    """What stays as it is: where the mask is white, the image."""

    image: Picture
    mask: Picture


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request for images: one sketch, one set of parameters, `count` variations.

    The parameters name no pictures yet: the service keeps these and fills the names in.
    """

    sketch: Picture
    params: JobParams
    count: int
    lane: Lane
    references: tuple[Picture, ...] = ()
    anchor: Anchor | None = None


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
    sketch = _sketch_begin(user.pk, submission)
    if sketch is not None:
        return accept(draft_of(submission.params, sketch=""), [sketch.written], sketch=sketch)
    try:
        pictures = _pictures_read(user, submission)
    except GenerationError:
        # A picture may be gone since the request was accepted under this key.
        first = key_answer(user.pk, idempotency) if idempotency else None
        if first is None:
            raise
        return first
    # The disk and the database take their time side by side.
    writes = [_writing.submit(sketch_keep, name, data) for name, data in pictures.data.items()]
    return accept(draft_of(pictures.params, sketch=pictures.sketch), writes)


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


class _Sketch:
    """A sketch that is being read and written, while the database does what needs no name of it.

    Attributes:
        named: its name in storage, once it was read, or why it cannot be.
        written: ends once it is in storage.
    """

    written: Future[None]

    def __init__(self, user_id: int, data: bytes) -> None:
        self.named: Future[str] = Future()
        self._user_id = user_id
        self._data = data

    def begin(self) -> None:
        """Have a thread do it. The caller holds one of `_reading`, which is released then."""
        self.written = _writing.submit(self._bring)

    def _bring(self) -> None:
        try:
            picture = _normalised(self._data, field="sketch")
            name = sketch_name(self._user_id, picture.data)
        except BaseException as error:
            self.named.set_exception(error)
            raise
        finally:
            _reading.release()
        self.named.set_result(name)
        sketch_keep(name, picture.data)


def _sketch_begin(user_id: int, submission: Submission) -> _Sketch | None:
    """Begin to read the sketch of a request; None where all pictures are to be read first.

    That is so where they decide about the job's parameters, where others wait to be read, and
    where it takes long: rows are locked meanwhile.
    """
    data, params = submission.sketch, submission.params
    if isinstance(data, OwnImage) or len(data) > QUICK_BYTES_MAX or params.mode in ENLARGING:
        return None
    if submission.references or submission.anchor or not _reading.acquire(blocking=False):
        return None
    sketch = _Sketch(user_id, data)
    sketch.begin()
    return sketch


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of a request, named but not written; `params` has the names of the others."""

    sketch: str
    params: JobParams
    data: dict[str, bytes]


def _pictures_read(user: User, submission: Submission) -> _Pictures:
    """Decode all pictures of a request and name them."""
    params = submission.params
    data: dict[str, bytes] = {}

    def named(picture: Encoded) -> str:
        name = sketch_name(user.pk, picture.data)
        data[name] = picture.data
        return name

    sketch = _picture_read(user, submission.sketch, field="sketch")
    if params.mode in ENLARGING:
        params = _enlarged(params, sketch)
    size = (params.width, params.height)
    references = [
        named(_picture_read(user, picture, field="references")) for picture in submission.references
    ]
    anchor_image = anchor_mask = ""
    if submission.anchor is not None:
        image = _picture_read(user, submission.anchor.image, field="anchor.image")
        mask = _picture_read(user, submission.anchor.mask, field="anchor.mask")
        for field, picture in (("anchor.image", image), ("anchor.mask", mask)):
            if (picture.width, picture.height) != size:
                sentence = f"Give a picture of the image's size, {size[0]}×{size[1]} pixels."
                raise InvalidInput({field: [sentence]})
        anchor_image, anchor_mask = named(image), named(mask)
    params = replace(
        params, references=tuple(references), anchor_image=anchor_image, anchor_mask=anchor_mask
    )
    return _Pictures(named(sketch), params, data)


def _enlarged(params: JobParams, source: Encoded) -> JobParams:
    """The parameters with twice the source's size, to a multiple that the model takes."""
    if max(source.width, source.height) > SIDE_MAX:
        sentence = f"The image is larger than {SIDE_MAX} pixels on a side already."
        raise InvalidInput({"sketch": [sentence]})
    width, height = (
        max(1, round(side * ENLARGEMENT / SIDE_MULTIPLE)) * SIDE_MULTIPLE
        for side in (source.width, source.height)
    )
    return replace(params, width=width, height=height)


def _picture_read(user: User, picture: Picture, *, field: str) -> Encoded:
    """Decode and encode again, a few at a time: each takes memory while it lasts."""
    if isinstance(picture, OwnImage):
        image = GeneratedImage.objects.filter(job__user=user, id=picture.id).first()
        if image is None:
            raise InvalidInput({field: ["You have no such image."]})
        try:
            data = blob_read(image.file)
        except FileNotFoundError as error:
            raise InvalidInput({field: ["This image is gone from the server."]}) from error
    else:
        data = picture
    if not _reading.acquire(blocking=False):
        connection_lend()
        if not _reading.acquire(timeout=READING_WAIT_S):
            raise Busy
    try:
        return _normalised(data, field=field)
    finally:
        _reading.release()


def _normalised(data: bytes, *, field: str) -> Encoded:
    try:
        return sketch_normalise(data)
    except InvalidImage as error:
        raise InvalidInput({field: [str(error)]}) from error


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
    sketch: _Sketch | None = None,
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
        transaction.on_commit(partial(wake, *[job.id for job in draft.jobs]))
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


def _draft_insert(user: User, draft: _Draft, sketch: _Sketch | None) -> None:
    """Insert the batch with its jobs, reservation and events.

    What is checked here is not checked of a request that was accepted under its key before.
    """
    _check_offered(draft.jobs[0].parameters)
    limit = terms_of(user).queue_limit
    jobs = draft.jobs
    if draft.lane == Lane.LIVE:
        _supersede_live(user)
    insert_all([draft.batch])
    # The reservation locks the user's day, so two requests count the queue one after the other.
    quota_reserve(user, [job.id for job in jobs], now=draft.batch.created_at)
    active = sum(count for (count,) in _ACTIVE.rows(user_id=user.pk))
    if active + len(jobs) > limit:
        raise TooManyWaiting(limit=limit)
    share_join(user.pk, draft.lane, is_idle=active == 0)
    insert_all(draft.pictures)
    if sketch is not None:
        try:
            name = sketch.named.result(READING_WAIT_S)
        except TimeoutError as error:
            raise Busy from error
        for job in jobs:
            job.sketch = name
    insert_all(jobs)
    events_record(user.pk, "job.queued", jobs)


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
