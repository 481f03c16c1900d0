"""Scheduling: who goes next, to which node, and what the others are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from generation.models import Job, Node, NodeDuty, NodeHealth
from generation.scheduling import job_claim, jobs_expired, jobs_overdue, jobs_waiting
from generation.states import ON_NODE, JobState, Lane
from generation.tests.stages import age, bring, event_types, expire
from generation.transitions import job_requeue
from usage.models import User

Submit = Callable[..., list[Job]]


@pytest.fixture
def second_node(node: Node) -> Node:
    """Another node that answers."""
    return Node.objects.create(
        name="two", url="http://127.0.0.1:2", health=NodeHealth.HEALTHY, images_per_prompt=1
    )


def claimed_ids() -> list[object]:
    """Claim until nothing more can be claimed; the jobs in the order of their claims."""
    claims = iter(job_claim, None)
    return [claim.job.id for claim in itertools.islice(claims, 100) if claim]


def test_nothing_waits_nothing_is_claimed(node: Node) -> None:
    assert job_claim() is None


def test_without_nodes_nothing_is_claimed(owner: User, submit: Submit) -> None:
    submit(owner)

    assert job_claim() is None


def test_a_claim_holds_the_job_its_node_and_its_lease(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)

    claim = job_claim()

    assert claim is not None
    assert (claim.job.id, claim.node.pk, claim.lease.job_id) == (job.id, node.pk, job.id)
    assert (claim.job.state, claim.job.lease_token) == (JobState.CLAIMED, claim.lease.token)
    assert event_types(job.id) == ["job.queued", "job.claimed"]


def test_a_claim_is_foreseen_as_it_waits(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    foreseen: list[tuple[int, UUID, str]] = []

    claim = job_claim(lambda node, job: foreseen.append((node.pk, job.id, job.state)))

    assert claim is not None
    assert foreseen == [(node.pk, job.id, JobState.QUEUED)]


def test_a_live_job_goes_before_a_batch_that_waits_longer(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    (batch,) = submit(stranger)
    (live,) = submit(owner, lane=Lane.LIVE)
    age(batch, 600)

    assert claimed_ids() == [live.id, batch.id]


def test_a_batch_is_made_in_its_order(owner: User, node: Node, submit: Submit) -> None:
    node.depth = 10
    node.save()
    jobs = submit(owner, count=10)

    assert claimed_ids() == [job.id for job in jobs]


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_a_node_holds_no_more_prompts_than_its_depth(
    owner: User, node: Node, submit: Submit, depth: int
) -> None:
    node.depth = depth
    node.save()
    submit(owner, count=8)

    assert len(claimed_ids()) == depth


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_a_job_takes_up_room_until_it_has_ended(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    node.depth = 1
    node.save()
    first, _ = submit(owner, count=2)
    bring(first, node, state)

    assert job_claim() is None


@pytest.mark.parametrize(
    "state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED], ids=str
)
def test_a_job_that_ended_makes_room(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    node.depth = 1
    node.save()
    first, second = submit(owner, count=2)
    bring(first, node, state)

    claim = job_claim()

    assert claim is not None
    assert claim.job.id == second.id


@pytest.mark.parametrize(
    "changes",
    [
        {"health": NodeHealth.UNREACHABLE},
        {"health": NodeHealth.STUCK},
        {"health": NodeHealth.UNKNOWN},
        {"health": NodeHealth.PROVING},
        {"health": NodeHealth.QUARANTINED},
        {"duty": NodeDuty.DRAINING},
        {"duty": NodeDuty.DISABLED},
        {"workflows": []},
    ],
    ids=[
        "unreachable",
        "stuck",
        "not asked yet",
        "proving",
        "quarantined",
        "draining",
        "disabled",
        "lacks the model",
    ],
)
def test_a_node_that_cannot_work_gets_nothing(
    owner: User, node: Node, submit: Submit, changes: dict[str, object]
) -> None:
    submit(owner)
    Node.objects.filter(pk=node.pk).update(**changes)

    assert job_claim() is None


def test_the_emptier_node_gets_the_next_job(
    owner: User, node: Node, second_node: Node, submit: Submit
) -> None:
    first, *_ = submit(owner, count=3)
    bring(first, node, JobState.RUNNING)

    claim = job_claim()

    assert claim is not None
    assert claim.node.pk == second_node.pk


def test_a_job_goes_to_another_node_than_the_one_it_avoids(
    owner: User, node: Node, second_node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    Job.objects.filter(id=job.id).update(avoid_node=node)

    claim = job_claim()

    assert claim is not None
    assert claim.node.pk == second_node.pk


def test_a_job_goes_to_the_node_it_avoids_when_there_is_no_other(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    Job.objects.filter(id=job.id).update(avoid_node=node)

    assert job_claim() is not None


def test_a_job_waits_while_every_node_but_the_one_it_avoids_is_full(
    owner: User, node: Node, second_node: Node, submit: Submit
) -> None:
    second_node.depth = 1
    second_node.save()
    busy, avoiding = submit(owner, count=2)
    bring(busy, second_node, JobState.RUNNING)
    Job.objects.filter(id=avoiding.id).update(avoid_node=node)

    assert job_claim() is None


def test_a_job_that_avoids_a_node_holds_up_nobody_behind_it(
    owner: User, node: Node, second_node: Node, submit: Submit
) -> None:
    Node.objects.filter(pk=second_node.pk).update(depth=1)
    busy, avoiding, behind = submit(owner, count=3)
    bring(busy, second_node, JobState.RUNNING)
    Job.objects.filter(id=avoiding.id).update(avoid_node=node)

    claim = job_claim()

    assert claim is not None
    assert (claim.job.id, claim.node.pk) == (behind.id, node.pk)


@pytest.mark.parametrize(
    ("seconds", "is_claimed"), [(-1, True), (60, False)], ids=["past", "future"]
)
def test_a_job_rests_until_its_time(
    owner: User, node: Node, submit: Submit, seconds: int, is_claimed: bool
) -> None:
    (job,) = submit(owner)
    Job.objects.filter(id=job.id).update(not_before=timezone.now() + timedelta(seconds=seconds))

    assert (jobs_waiting(9) == [job.id]) is is_claimed
    assert (job_claim() is not None) is is_claimed


def test_a_job_whose_cancellation_was_asked_for_is_not_claimed(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    Job.objects.filter(id=job.id).update(cancel_requested_at=timezone.now())

    assert jobs_waiting(9) == []
    assert job_claim() is None


def test_a_requeued_job_keeps_its_place(owner: User, node: Node, submit: Submit) -> None:
    first, second = submit(owner, count=2)
    lease = bring(first, node, JobState.RUNNING)
    assert job_requeue(lease, failure="infrastructure")
    Job.objects.filter(id=first.id).update(not_before=None)

    assert claimed_ids() == [first.id, second.id]


def test_a_claim_costs_the_same_however_many_wait(owner: User, node: Node, submit: Submit) -> None:
    Node.objects.update(depth=9)
    submit(owner, count=2)
    assert job_claim()  # the first one ever starts the clock
    with CaptureQueriesContext(connection) as few:
        assert job_claim()
    submit(owner, count=60)
    with CaptureQueriesContext(connection) as many:
        assert job_claim()

    assert len(many) == len(few)
    assert len(few) <= 24


def test_a_claim_that_finds_nothing_costs_little(owner: User, node: Node) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert job_claim() is None

    assert len(queries) <= 8


# --- What is found late ---


def test_jobs_whose_lease_ran_out_are_found_the_longest_dead_first(
    owner: User, node: Node, submit: Submit
) -> None:
    alive, dead, longer_dead, waiting = submit(owner, count=4)
    bring(alive, node, JobState.RUNNING)
    for job in (dead, longer_dead):
        expire(bring(job, node, JobState.SAVING))
    Job.objects.filter(id=longer_dead.id).update(
        lease_expires_at=timezone.now() - timedelta(hours=1)
    )

    assert jobs_expired(9) == [longer_dead.id, dead.id]
    assert jobs_expired(1) == [longer_dead.id]
    assert waiting.id not in jobs_expired(9)


def test_only_waiting_jobs_are_overdue(
    owner: User, node: Node, submit: Submit, settings: Settings
) -> None:
    fresh, old, older, running = submit(owner, count=4)
    limit_s = settings.PENCIL.queue_timeout_s
    age(old, limit_s + 5)
    age(older, limit_s + 50)
    bring(running, node, JobState.RUNNING)
    age(running, limit_s + 500)

    assert jobs_overdue(9) == [(older.id, 0), (old.id, 0)]
    assert jobs_overdue(1) == [(older.id, 0)]
    assert fresh.id not in [job_id for job_id, _ in jobs_overdue(9)]
