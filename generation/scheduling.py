"""Scheduling: which job goes next to which node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import (
    Count,
    Exists,
    FloatField,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Coalesce, Now, NullIf

from generation.models import Job, Node, Share
from generation.nodes import images_fit, nodes_lock, nodes_with_room
from generation.pace import pace_of
from generation.params import prompt_id_for
from generation.shares import WAITS, clock_advance, share_charge
from generation.states import ON_NODE, JobState, Lane
from generation.transitions import Lease, job_take
from usage.statements import Select, SelectAll, Slot
from usage.writes import Write

_NO_LANE = -1
TURNS = 8  # chosen: how many users one claim looks at before it gives up
Foresee: TypeAlias = Callable[[Node, Job], None]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job, the node that is to make it, and the right to move it.

    `companions` are the variations after it that the node makes in the same prompt.
    """

    lease: Lease
    job: Job
    node: Node
    companions: tuple[tuple[Lease, Job], ...] = ()

    @property
    def members(self) -> tuple[tuple[Lease, Job], ...]:
        """All jobs of the prompt, in the order of its outputs."""
        return ((self.lease, self.job), *self.companions)


def job_claim(foresee: Foresee = lambda _node, _job: None) -> Claim | None:
    """Claim the next job for a node with a free slot, in one transaction; None when there is none.

    The live lane first; within a lane the user who has had the least GPU time for their weight and
    is not at their limit of prompts on nodes; of that user the longest waiting. With it go the
    variations that follow it, as many as the node can make at once.

    `foresee` is told of a job that is likely to be claimed for a node, as it waits, so that what it
    needs there can be under way when the claim is kept. It is called inside the transaction, and
    must neither wait nor ask the database.
    """
    with transaction.atomic():
        locked = nodes_lock()
        held, turns = _standing() if locked else ({}, [])
        nodes = nodes_with_room(locked, held)
        for turn in turns if nodes else ():
            claim = _claim_for(turn, nodes, foresee, is_only=len(locked) == 1)
            if claim is not None:
                return claim
    return None


def jobs_waiting(limit: int) -> list[UUID]:
    """The ids of up to `limit` jobs that could be claimed, to wake workers for."""
    return list(_claimable().values_list("id", flat=True)[:limit])


def jobs_expired(limit: int) -> list[UUID]:
    """The ids of jobs whose worker has let its lease run out."""
    expired = Job.objects.filter(state__in=ON_NODE, lease_expires_at__lte=Now())
    return list(expired.order_by("lease_expires_at").values_list("id", flat=True)[:limit])


def jobs_overdue(limit: int) -> list[tuple[UUID, int]]:
    """The ids and attempts of jobs that have waited longer than a job may, the oldest first."""
    allowed = timedelta(seconds=settings.PENCIL.queue_timeout_s)
    overdue = Job.objects.filter(state=JobState.QUEUED, created_at__lte=Now() - allowed)
    return list(overdue.order_by("created_at").values_list("id", "attempt")[:limit])


@dataclass(frozen=True, slots=True)
class _Turn:
    """A user whose turn it may be in a lane, with the weight of their plan."""

    lane: Lane
    user_id: int
    virtual_s: float
    weight: int


def _standing() -> tuple[dict[int, int], list[_Turn]]:
    """How many prompts each node holds, and the users whose turn it may be.

    The turns come lane by lane, the user with the least virtual time first. A few of each, not one:
    a job may be taken away between this question and the next.
    """
    held: dict[int, int] = {}
    turns: list[_Turn] = []
    for lane, subject, number, weight in _STANDING.rows(
        in_flight_limit=settings.PENCIL.in_flight_limit
    ):
        if lane == _NO_LANE:
            held[subject] = int(number)
        else:
            turns.append(_Turn(Lane(lane), subject, number, weight))
    lanes = list(Lane)
    turns.sort(key=lambda turn: (lanes.index(turn.lane), turn.virtual_s, turn.user_id))
    return held, turns


def _turns_query(lane: Lane) -> QuerySet[Share, tuple[str, int, float, int]]:
    own_jobs = _claimable().filter(user=OuterRef("user"), lane=lane)
    return (
        Share.objects.filter(Q(**{WAITS[lane]: True}), Exists(own_jobs))
        .exclude(user_id__in=_busy())
        .annotate(lane=Value(lane.value), weight=Coalesce("user__plan__weight", 1))
        .order_by("virtual_s", "user_id")
        .values_list("lane", "user_id", "virtual_s", "weight")[:TURNS]
    )


def _busy() -> QuerySet[Job, Any]:
    """The users who have as many prompts on nodes as they may."""
    own_limit = "user__plan__in_flight_limit"
    limit = Coalesce(NullIf(own_limit, 0), Slot("in_flight_limit", IntegerField()))
    on_nodes = Job.objects.filter(state__in=ON_NODE).order_by().values("user_id", own_limit)
    counted = on_nodes.annotate(prompts=Count("prompt_id", distinct=True))
    busy: QuerySet[Job, Any] = counted.filter(prompts__gte=limit).values("user_id")
    return busy


def _held_query() -> QuerySet[Job, tuple[int, int, float, int]]:
    """How many prompts each node holds; asked of nodes, it would read their past jobs too."""
    prompts = Cast(Count("prompt_id", distinct=True), FloatField())
    on_nodes = Job.objects.filter(state__in=ON_NODE).order_by().values("node_id")
    return on_nodes.annotate(lane=Value(_NO_LANE), prompts=prompts, weight=Value(0)).values_list(
        "lane", "node_id", "prompts", "weight"
    )


# Two questions in one message: each is asked after the nodes are locked.
_STANDING: SelectAll[Any] = SelectAll(
    *(Select(partial(_turns_query, lane)) for lane in Lane), Select(_held_query)
)


def _claim_for(
    turn: _Turn, nodes: Sequence[Node], foresee: Foresee, *, is_only: bool
) -> Claim | None:
    for node in nodes:
        job = _next_for(turn, node, is_only=is_only)
        if job is None:
            continue
        foresee(node, job)
        charge = pace_of(job.parameters) / turn.weight
        jobs = [job, *_companions(job, node)]
        charged = share_charge(turn.user_id, charge * len(jobs))
        members = _take(jobs, node, charge, [charged, clock_advance(turn.virtual_s)])
        if len(members) < len(jobs):
            share_charge(turn.user_id, -charge * (len(jobs) - len(members))).run()
        if members:
            (lease, lead), *companions = members
            return Claim(lease, lead, node, tuple(companions))
    return None


def _take(
    jobs: Sequence[Job], node: Node, charge: float, writes: Sequence[Write]
) -> list[tuple[Lease, Job]]:
    """Take the first job and, into its prompt, those that follow it, up to one that is gone.

    `writes` are done in any case.
    """
    prompt_id = prompt_id_for(jobs[0].id, jobs[0].attempt + 1)
    members: list[tuple[Lease, Job]] = []
    for index, job in enumerate(jobs):
        taken = job_take(
            job,
            *(writes if index == 0 else ()),
            node_id=node.pk,
            charged_virtual_s=charge,
            prompt_id=prompt_id,
            prompt_index=index,
        )
        if taken is None:
            break
        members.append(taken)
    return members


def prompt_is_wanted(prompt_id: UUID, *, besides: Iterable[UUID]) -> bool:
    """Whether a job that is none of these still wants what a node makes under this id."""
    wanted = Job.objects.filter(
        prompt_id=prompt_id, state__in=ON_NODE, cancel_requested_at__isnull=True
    )
    return wanted.exclude(id__in=list(besides)).exists()


def prompt_jobs_expired(prompt_id: UUID) -> list[UUID]:
    """The jobs of a prompt whose worker has let their leases run out, in the prompt's order."""
    jobs = Job.objects.filter(prompt_id=prompt_id, state__in=ON_NODE, lease_expires_at__lte=Now())
    return list(jobs.order_by("prompt_index").values_list("id", flat=True))


def _companions(lead: Job, node: Node) -> list[Job]:
    """The variations that follow a job without a gap and fit beside it, their rows locked.

    Jobs of a batch differ in seed and variation alone. What failed before goes alone: it may need
    more memory than there is together, and what ails one must not end the others.
    """
    room = min(images_fit(node, lead.parameters), lead.batch.size - lead.index) - 1
    if room < 1 or lead.has_failed:
        return []
    after = _claimable().filter(
        batch_id=lead.batch_id, index__range=(lead.index + 1, lead.index + room)
    )
    skip_locked = connection.features.has_select_for_update_skip_locked
    locked = after.select_for_update(skip_locked=skip_locked, of=("self",)).order_by("index")
    companions: list[Job] = []
    for job in locked.exclude(avoid_node=node):
        previous = companions[-1] if companions else lead
        if job.has_failed or not job.parameters.is_next_of(previous.parameters):
            break
        companions.append(job)
    return companions


def _claimable() -> QuerySet[Job]:
    return Job.objects.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=Now()),
        state=JobState.QUEUED,
        cancel_requested_at__isnull=True,
    )


def _next_for(turn: _Turn, node: Node, *, is_only: bool) -> Job | None:
    """The user's longest waiting job that the node may make, locked."""
    if not node.workflows:
        return None
    offered = {f"workflow_{number}": name for number, name in enumerate(node.workflows)}
    statement = _next_statement(turn.lane, len(offered), is_only=is_only)
    found = statement.objects(user_id=turn.user_id, node_id=node.pk, **offered)
    return found[0] if found else None


@cache
def _next_statement(lane: Lane, workflows: int, *, is_only: bool) -> Select[Job]:
    return Select(lambda: _next_query(lane, workflows, is_only=is_only))


def _next_query(lane: Lane, workflows: int, *, is_only: bool) -> QuerySet[Job]:
    offered = [Slot(f"workflow_{number}", TextField()) for number in range(workflows)]
    user_id = Slot("user_id", IntegerField())
    jobs = _claimable().filter(user_id=user_id, lane=lane, workflow__in=offered)
    if not is_only:
        jobs = jobs.exclude(avoid_node_id=Slot("node_id", IntegerField()))
    skip_locked = connection.features.has_select_for_update_skip_locked
    locked = jobs.select_for_update(skip_locked=skip_locked, of=("self",))
    return locked.select_related("batch").order_by("created_at", "id")[:1]
