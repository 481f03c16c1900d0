"""The overview: what waits and runs for everybody, as the operator may see it.

People are named by their e-mail address, jobs by their ids. What they draw and write is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, Min, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from generation.models import Job, Node
from generation.states import ACTIVE, ON_NODE, JobState, Lane

ROWS = 20  # chosen: what a terminal shows; the sums are over everything


@dataclass(frozen=True, slots=True)
class LaneLine:
    """What is in a lane; `oldest_s` is how long its longest waiting job has waited, in seconds."""

    lane: str
    waiting: int
    on_nodes: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class UserLine:
    """What a user has in the queue and on nodes."""

    email: str
    waiting_live: int
    waiting_batch: int
    on_nodes: int


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node; `held` of its `depth` places are taken. `probed_s` is how old the last look is."""

    name: str
    health: str
    duty: str
    held: int
    depth: int
    probed_s: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job that has not ended.

    `lease_s` is how long its worker's lease still lasts: below 0 nobody renews it. `failures` are
    those of all kinds; a further attempt without one was an operator's doing, or a worker's end.
    """

    id: str
    email: str
    lane: str
    state: str
    age_s: float
    attempt: int
    failures: int
    node: str | None
    lease_s: float | None
    is_cancelling: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that has not ended: sums over all of it, and the first `ROWS` lines of lists."""

    at: str
    waiting: int
    on_nodes: int
    usable_nodes: int
    lanes: tuple[LaneLine, ...]
    nodes: tuple[NodeLine, ...]
    users: tuple[UserLine, ...]
    users_count: int
    oldest: tuple[JobLine, ...]
    held: tuple[JobLine, ...]
    retried: tuple[JobLine, ...]
    retried_count: int


def overview() -> Overview:
    """What waits and runs right now, by lane, node and user.

    A few queries one after the other: a job that moves between two may be missing from a list or
    stand in two. The sums of lanes and users are of one moment.
    """
    users = _users()
    lanes = _lanes()
    nodes = _nodes()
    active = Job.objects.filter(state__in=ACTIVE)
    retried = active.filter(attempt__gt=1)
    return Overview(
        at=timezone.now().isoformat(timespec="seconds"),
        waiting=sum(line.waiting for line in lanes),
        on_nodes=sum(line.on_nodes for line in lanes),
        usable_nodes=sum(line.health == "healthy" and line.duty == "active" for line in nodes),
        lanes=lanes,
        nodes=nodes,
        users=users[:ROWS],
        users_count=len(users),
        oldest=_lines(active.filter(state=JobState.QUEUED).order_by("created_at", "id")),
        held=_lines(active.filter(state__in=ON_NODE).order_by("lease_expires_at", "id")),
        retried=_lines(retried.order_by("-attempt", "created_at", "id")),
        retried_count=retried.count(),
    )


def jobs_unended(*, email: str = "") -> list[Job]:
    """The jobs of everybody, or of one user, that have not ended, the latest in the queue first.

    In this order a cancellation of all of them does not let one step forward only to be stopped.
    """
    jobs = Job.objects.filter(state__in=ACTIVE)
    if email:
        jobs = jobs.filter(user__email__iexact=email)
    return list(jobs.order_by("-lane", "-created_at", "-id"))


def jobs_named(job_ids: Iterable[UUID]) -> list[Job]:
    """Those of the jobs that there are, whosesoever, the latest in the queue first."""
    jobs = Job.objects.filter(id__in=list(job_ids))
    return list(jobs.order_by("-lane", "-created_at", "-id"))


def _lanes() -> tuple[LaneLine, ...]:
    waits = Q(state=JobState.QUEUED)
    rows = (
        Job.objects.filter(state__in=ACTIVE)
        .values("lane")
        .annotate(
            waiting=Count("id", filter=waits),
            on_nodes=Count("id", filter=~waits),
            oldest=Min("created_at", filter=waits),
            now=Now(),
        )
    )
    found = {row["lane"]: row for row in rows}
    lines = []
    for lane in Lane:
        row = found.get(lane)
        lines.append(
            LaneLine(
                lane=lane.name.lower(),
                waiting=row["waiting"] if row else 0,
                on_nodes=row["on_nodes"] if row else 0,
                oldest_s=_seconds(row["oldest"], row["now"]) if row else None,
            )
        )
    return tuple(lines)


def _users() -> tuple[UserLine, ...]:
    """Who has something, those with the most first."""
    waits = Q(state=JobState.QUEUED)
    rows = (
        Job.objects.filter(state__in=ACTIVE)
        .values("user_id", email=F("user__email"))
        .annotate(
            live=Count("id", filter=waits & Q(lane=Lane.LIVE)),
            batch=Count("id", filter=waits & Q(lane=Lane.BATCH)),
            on_nodes=Count("id", filter=~waits),
            count=Count("id"),
        )
        .order_by("-count", "email")
    )
    return tuple(UserLine(row["email"], row["live"], row["batch"], row["on_nodes"]) for row in rows)


def _nodes() -> tuple[NodeLine, ...]:
    rows = Node.objects.annotate(
        held=Count("jobs__prompt_id", filter=Q(jobs__state__in=ON_NODE), distinct=True), now=Now()
    ).order_by("name")
    return tuple(
        NodeLine(
            name=node.name,
            health=node.health,
            duty=node.duty,
            held=node.held,
            depth=node.depth,
            probed_s=_seconds(node.probed_at, node.now),
            problem=node.problem,
        )
        for node in rows
    )


def _lines(jobs: QuerySet[Job]) -> tuple[JobLine, ...]:
    # Never the whole row: `params` holds the prompt.
    rows = jobs.annotate(
        now=Now(),
        failures=F("infrastructure_failures")
        + F("memory_failures")
        + F("blank_failures")
        + F("refused_failures"),
    ).values(
        *("id", "user__email", "lane", "state", "created_at", "attempt", "failures"),
        *("node__name", "lease_expires_at", "cancel_requested_at", "now"),
    )[:ROWS]
    lines = []
    for row in rows:
        lease_s = _seconds(row["now"], row["lease_expires_at"])
        lines.append(
            JobLine(
                id=str(row["id"]),
                email=row["user__email"],
                lane=Lane(row["lane"]).name.lower(),
                state=row["state"],
                age_s=_seconds(row["created_at"], row["now"]) or 0.0,
                attempt=row["attempt"],
                failures=row["failures"],
                node=row["node__name"],
                lease_s=lease_s if row["state"] in ON_NODE else None,
                is_cancelling=row["cancel_requested_at"] is not None,
            )
        )
    return tuple(lines)


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else round((end - begin).total_seconds(), 1)
