"""Scheduling: which job goes next to which node, and how long the others will wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from generation.models import Job, Node
from generation.nodes import nodes_usable, nodes_with_room
from generation.states import ON_NODE, JobState
from generation.transitions import Lease, job_take

RECENT_JOBS = 20  # chosen: follows a change of workload within a minute
FIRST_GUESS_S = 3.0  # chosen: shown until a job has finished
PLACES_MAX = 20  # places are counted for a caller's first jobs; the others only wait


@dataclass(frozen=True, slots=True)
class Claim:
    """A job, the node that is to make it, and the right to move it."""

    lease: Lease
    job: Job
    node: Node


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting job stands: 1 is next; `eta_s` until its image, in seconds."""

    position: int
    eta_s: float


def job_claim() -> Claim | None:
    """Claim the next job for a node with a free slot, in one transaction; None when there is none.

    The live lane first, then the longest waiting.
    """
    with transaction.atomic():
        nodes = nodes_with_room()
        for node in nodes:
            job = _next_for(node, is_only=len(nodes) == 1)
            lease = job_take(job, node_id=node.pk) if job else None
            if job and lease:
                job.refresh_from_db()
                return Claim(lease, job, node)
    return None


def jobs_waiting(limit: int) -> list[UUID]:
    """The ids of the first `limit` jobs that could be claimed."""
    return list(_claimable().order_by(*_ORDER).values_list("id", flat=True)[:limit])


def jobs_expired(limit: int) -> list[UUID]:
    """The ids of jobs whose worker has let its lease run out."""
    expired = Job.objects.filter(state__in=ON_NODE, lease_expires_at__lte=Now())
    return list(expired.order_by("lease_expires_at").values_list("id", flat=True)[:limit])


def jobs_overdue(limit: int) -> list[tuple[UUID, int]]:
    """The ids and attempts of jobs that have waited longer than a job may, the oldest first."""
    allowed = timedelta(seconds=settings.PENCIL.queue_timeout_s)
    overdue = Job.objects.filter(state=JobState.QUEUED, created_at__lte=Now() - allowed)
    return list(overdue.order_by("created_at").values_list("id", "attempt")[:limit])


def queue_places(jobs: Iterable[Job]) -> dict[UUID, Place]:
    """The places of those of the jobs that wait, at most the first `PLACES_MAX` of them."""
    waiting = [job for job in jobs if job.state == JobState.QUEUED]
    waiting.sort(key=lambda job: (job.lane, job.created_at, job.id))
    if not waiting:
        return {}
    seconds_per_job = _seconds_per_job()
    on_nodes = Job.objects.filter(state__in=ON_NODE).count()
    places = {}
    for job in waiting[:PLACES_MAX]:
        position = 1 + _ahead_of(job).count()
        places[job.id] = Place(position, round((on_nodes + position) * seconds_per_job, 1))
    return places


_ORDER = ("lane", "created_at", "id")


def _claimable() -> QuerySet[Job]:
    return Job.objects.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=Now()),
        state=JobState.QUEUED,
        cancel_requested_at__isnull=True,
    )


def _next_for(node: Node, *, is_only: bool) -> Job | None:
    jobs = _claimable()
    if not is_only:
        jobs = jobs.exclude(avoid_node=node)
    skip_locked = connection.features.has_select_for_update_skip_locked
    return jobs.select_for_update(skip_locked=skip_locked, of=("self",)).order_by(*_ORDER).first()


def _ahead_of(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(state=JobState.QUEUED).filter(
        Q(lane__lt=job.lane)
        | Q(lane=job.lane, created_at__lt=job.created_at)
        | Q(lane=job.lane, created_at=job.created_at, id__lt=job.id)
    )


def _seconds_per_job() -> float:
    """Seconds from one finished job to the next, from the latest ones and the nodes there are."""
    recent = Job.objects.filter(state=JobState.SUCCEEDED, execution_s__isnull=False)
    durations = list(
        recent.order_by("-finished_at").values_list("execution_s", flat=True)[:RECENT_JOBS]
    )
    nodes = nodes_usable().count()
    mean = (
        fmean(float(value) for value in durations if value is not None)
        if durations
        else FIRST_GUESS_S
    )
    return mean / max(1, nodes)
