"""Selectors: what a caller may see; each takes the owner and finds nothing of anybody else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import IntegerField, Q, QuerySet, UUIDField

from generation.exceptions import InvalidInput, NotFound
from generation.models import Event, EventStream, GeneratedImage, Job
from generation.payloads import JobPayload, job_payload
from generation.places import queue_places
from generation.previews import progress_get
from generation.states import ACTIVE, ON_NODE, TERMINAL, JobState
from usage.models import User
from usage.statements import Select, Slot

PAGE = 50
REPLAY_MAX = 500  # past it the snapshot says as much in less

STATE_FILTERS: dict[str, frozenset[JobState]] = {
    "active": ACTIVE,
    "finished": TERMINAL,
    **{state.value: frozenset({state}) for state in JobState},
}


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursor of the next page."""

    jobs: list[JobPayload]
    next: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A user's jobs as of event `seq`, and the events after the one they last saw."""

    seq: int
    jobs: list[JobPayload]
    missed: list[tuple[int, object]]


def job_get(user: User, job_id: UUID) -> Job:
    """The caller's job.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    job = Job.objects.filter(user=user, id=job_id).first()
    if job is None:
        raise NotFound("job")
    return job


_IMAGE = Select(
    lambda: GeneratedImage.objects.filter(
        job__user_id=Slot("user_id", IntegerField()), id=Slot("image_id", UUIDField())
    )
)


def image_get(user: User, image_id: UUID) -> GeneratedImage:
    """The caller's image.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    images = _IMAGE.objects(user_id=user.pk, image_id=image_id)
    if not images:
        raise NotFound("image")
    return images[0]


def job_describe(job: Job) -> JobPayload:
    """A job as its owner sees it right now."""
    return jobs_describe([job])[0]


def jobs_describe(jobs: Sequence[Job]) -> list[JobPayload]:
    """Jobs as their owner sees them right now: progress, places and images in a few queries."""
    images: dict[UUID, list[GeneratedImage]] = {}
    finished = [job.id for job in jobs if job.state == JobState.SUCCEEDED]
    for image in GeneratedImage.objects.filter(job_id__in=finished).order_by("job_id", "index"):
        images.setdefault(image.job_id, []).append(image)
    progress = progress_get(job.id for job in jobs if job.state in ON_NODE)
    places = queue_places(jobs)
    described = []
    for job in jobs:
        place = places.get(job.id)
        described.append(
            job_payload(
                job,
                images.get(job.id, ()),
                progress=progress.get(job.id),
                position=place.position if place else None,
                eta_s=place.eta_s if place else None,
            )
        )
    return described


def job_list(user: User, *, state: str = "", cursor: str = "") -> Page:
    """A page of the caller's jobs, newest first.

    Raises:
        InvalidInput: the state or the cursor is none that we know.
    """
    jobs = Job.objects.filter(user=user).order_by("-created_at", "-id")
    if state:
        if state not in STATE_FILTERS:
            raise InvalidInput({"state": [f"Give one of {', '.join(sorted(STATE_FILTERS))}."]})
        jobs = jobs.filter(state__in=STATE_FILTERS[state])
    if cursor:
        jobs = _after(jobs, cursor)
    rows = list(jobs[: PAGE + 1])
    more = len(rows) > PAGE
    return Page(jobs_describe(rows[:PAGE]), _cursor(rows[PAGE - 1]) if more else None)


def jobs_active(user: User) -> list[Job]:
    """The caller's jobs that have not ended, the latest in the queue first.

    In this order a cancellation of all of them does not let one step forward only to be stopped.
    """
    return list(
        Job.objects.filter(user=user, state__in=ACTIVE).order_by("-lane", "-created_at", "-id")
    )


def jobs_queued(user: User) -> list[Job]:
    """The caller's waiting jobs, those that will be first at the front."""
    return list(
        Job.objects.filter(user=user, state=JobState.QUEUED).order_by("lane", "created_at", "id")
    )


def snapshot(user: User, *, since: int | None) -> Snapshot:
    """The caller's active and latest jobs, with what they missed since event `since`."""
    # First the number, then the rows: a job may be newer than the number says, never older.
    seq = EventStream.objects.filter(user=user).values_list("last_seq", flat=True).first() or 0
    active = Job.objects.filter(user=user, state__in=ACTIVE)
    latest = Job.objects.filter(user=user).order_by("-created_at", "-id")[:PAGE]
    jobs = {job.id: job for job in (*active, *latest)}
    ordered = sorted(jobs.values(), key=lambda job: (job.created_at, job.id), reverse=True)
    missed: list[tuple[int, object]] = []
    if since is not None and seq - since <= REPLAY_MAX:
        missed = events_after(user, since, until=seq)
        if [number for number, _ in missed] != list(range(since + 1, seq + 1)):
            missed = []  # swept meanwhile: the snapshot says what came of them
    return Snapshot(seq, jobs_describe(ordered), missed)


def events_after(user: User, seq: int, *, until: int | None = None) -> list[tuple[int, object]]:
    """The caller's events numbered above `seq`, in order, at most `REPLAY_MAX`."""
    events = Event.objects.filter(user=user, seq__gt=seq)
    if until is not None:
        events = events.filter(seq__lte=until)
    return list(events.order_by("seq").values_list("seq", "payload")[:REPLAY_MAX])


def batch_jobs(user: User, batch_id: UUID) -> list[Job]:
    """The jobs of the caller's batch, in order."""
    return list(Job.objects.filter(user=user, batch_id=batch_id).order_by("index"))


def jobs_by_id(user: User, job_ids: Iterable[UUID]) -> list[Job]:
    """Those of the jobs that are the caller's."""
    return list(Job.objects.filter(user=user, id__in=list(job_ids)).order_by("created_at", "id"))


def _cursor(job: Job) -> str:
    text = f"{job.created_at.isoformat()} {job.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(jobs: QuerySet[Job], cursor: str) -> QuerySet[Job]:
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        created, _, job_id = base64.urlsafe_b64decode(padded.encode()).decode().partition(" ")
        moment, last_id = datetime.fromisoformat(created), UUID(job_id)
        # Without a zone it is none of ours: it would be read as the server's own.
        created_at = moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError, binascii.Error) as error:
        raise _no_cursor() from error
    if created_at is None:
        raise _no_cursor()
    return jobs.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=last_id))


def _no_cursor() -> InvalidInput:
    return InvalidInput({"cursor": ["This is not a cursor of a list. Begin again without one."]})
