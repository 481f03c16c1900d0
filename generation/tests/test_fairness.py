"""Fairness: who gets GPU time when several want it, and what those who wait are told."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest

from generation.models import Job, Node, NodeHealth, Share
from generation.places import queue_places, queue_shape_forget
from generation.scheduling import Claim, job_claim
from generation.shares import shares_forget_idle
from generation.states import JobState, Lane
from generation.transitions import job_advance, job_cancel_confirmed, job_requeue, job_succeed
from usage.models import LedgerEntry, Plan, User

Submit = Callable[..., list[Job]]


@pytest.fixture(autouse=True)
def _patient(settings: object) -> None:
    """Let one user hold every slot, where a test does not say otherwise."""

    settings.PENCIL = dataclasses.replace(  # type: ignore[attr-defined]  # Django's settings
        settings.PENCIL,  # type: ignore[attr-defined]  # Django's settings
        daily_limit=None,
        in_flight_limit=100,
    )


def finish(claim: Claim, *, seconds: float = 1.0) -> None:
    """End a claimed job well, after so many seconds on its node."""
    job_advance(claim.lease, {JobState.CLAIMED}, JobState.SUBMITTED)
    job_advance(claim.lease, {JobState.SUBMITTED}, JobState.SAVING)
    assert job_succeed(claim.lease, [], execution_s=seconds) is not None


def serve(count: int, *, seconds: Callable[[Job], float] = lambda _: 1.0) -> list[int]:
    """Claim and finish one job after another; whose each was."""
    served = []
    for _ in range(count):
        claim = job_claim()
        assert claim is not None
        finish(claim, seconds=seconds(claim.job))
        served.append(claim.job.user_id)
    return served


def test_two_users_take_turns_whatever_one_has_queued(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    submit(owner, count=20)
    submit(stranger, count=3)

    served = serve(6)

    assert Counter(served) == {owner.pk: 3, stranger.pk: 3}


def test_gpu_time_counts_not_the_number_of_jobs(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    submit(owner, count=20)
    submit(stranger, count=20)

    served = serve(16, seconds=lambda job: 3.0 if job.user_id == owner.pk else 1.0)

    count = Counter(served)
    assert count[stranger.pk] == pytest.approx(3 * count[owner.pk], abs=2)


def test_a_plan_of_weight_three_gets_three_times_as_much(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    owner.plan = Plan.objects.create(name="studio", weight=3)
    owner.save()
    submit(owner, count=30)
    submit(stranger, count=30)

    count = Counter(serve(20))

    assert count[owner.pk] == pytest.approx(15, abs=1)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_user_who_was_idle_brings_no_credit(
    owner: User, stranger: User, node: Node, submit: Submit, is_new: bool
) -> None:
    if not is_new:
        submit(stranger)
        serve(1)
    submit(owner, count=30)
    serve(20)
    submit(stranger, count=30)

    served = serve(10)

    assert Counter(served)[stranger.pk] == pytest.approx(5, abs=1)


def test_the_live_lane_goes_first_whoever_waits_longer(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    submit(owner, count=10)
    (live,) = submit(stranger, lane=Lane.LIVE)

    claim = job_claim()

    assert claim is not None
    assert claim.job.id == live.id


def test_a_user_at_their_limit_on_nodes_lets_others_by(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    owner.plan = Plan.objects.create(name="small", in_flight_limit=1)
    owner.save()
    submit(owner, count=5)
    (other,) = submit(stranger)
    first = job_claim()
    assert first is not None

    second = job_claim()

    assert second is not None
    assert {first.job.user_id, second.job.user_id} == {owner.pk, stranger.pk}
    assert job_claim() is None
    assert other.state == JobState.QUEUED


def test_a_newer_live_frame_takes_the_waiting_ones_place_uncharged(
    owner: User, node: Node, submit: Submit
) -> None:
    (running,) = submit(owner, lane=Lane.LIVE)
    claim = job_claim()
    (older,) = submit(owner, lane=Lane.LIVE)
    (batch,) = submit(owner)

    (newer,) = submit(owner, lane=Lane.LIVE)

    states = {job.id: Job.objects.get(id=job.id).state for job in (running, older, newer, batch)}
    assert claim is not None
    assert states == {
        running.id: JobState.CLAIMED,
        older.id: JobState.CANCELLED,
        newer.id: JobState.QUEUED,
        batch.id: JobState.QUEUED,
    }
    kinds = LedgerEntry.objects.filter(job_id=older.id).values_list("kind", flat=True)
    assert sorted(kinds) == ["refund", "reserve"]


def test_somebody_elses_live_frame_stays(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    (theirs,) = submit(stranger, lane=Lane.LIVE)

    submit(owner, lane=Lane.LIVE)

    theirs.refresh_from_db()
    assert theirs.state == JobState.QUEUED


def test_an_attempt_that_was_not_their_doing_costs_nobody_a_turn(
    owner: User, node: Node, submit: Submit
) -> None:
    submit(owner)
    before = Share.objects.get(user=owner).virtual_s
    claim = job_claim()
    assert claim is not None
    assert Share.objects.get(user=owner).virtual_s > before

    job_requeue(claim.lease, failure="infrastructure")

    assert Share.objects.get(user=owner).virtual_s == pytest.approx(before)


def test_a_cancelled_job_that_never_began_costs_no_turn(
    owner: User, node: Node, submit: Submit
) -> None:
    submit(owner)
    before = Share.objects.get(user=owner).virtual_s
    claim = job_claim()
    assert claim is not None

    job_cancel_confirmed(claim.lease)

    assert Share.objects.get(user=owner).virtual_s == pytest.approx(before)


@pytest.mark.parametrize("weight", [1, 3])
def test_places_say_in_which_order_jobs_will_go(
    owner: User, stranger: User, node: Node, submit: Submit, weight: int
) -> None:
    owner.plan = Plan.objects.create(name="some", weight=weight)
    owner.save()
    submit(stranger, count=7)
    submit(owner, count=6)
    submit(stranger, lane=Lane.LIVE)
    queue_shape_forget()
    told = {
        job_id: place.position
        for user in (owner, stranger)
        for job_id, place in queue_places(Job.objects.filter(user=user)).items()
    }

    went = []
    for _ in range(14):
        claim = job_claim()
        assert claim is not None
        went.append(claim.job.id)
        finish(claim, seconds=3.0)

    assert [told[job_id] for job_id in went] == list(range(1, 15))


def test_a_job_that_waits_again_is_not_forgotten(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    shares_forget_idle()

    job_requeue(claim.lease, failure="infrastructure")

    again = job_claim()
    assert again is not None
    assert again.job.id == job.id


def test_flags_of_those_who_wait_for_nothing_go(owner: User, node: Node, submit: Submit) -> None:
    submit(owner)
    claim = job_claim()
    assert claim is not None
    finish(claim)

    shares_forget_idle()

    share = Share.objects.get(user=owner)
    assert not share.waits_batch


def test_two_nodes_are_filled_evenly(owner: User, node: Node, submit: Submit) -> None:
    Node.objects.create(
        name="two", url="http://127.0.0.1:2", health=NodeHealth.HEALTHY, images_per_prompt=1
    )
    submit(owner, count=4)

    nodes = [claim.node.name for claim in iter(job_claim, None) if claim]

    assert sorted(nodes) == ["one", "one", "two", "two"]
