"""What holds when things happen at once: real threads with connections of their own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from pytest_django import Settings

from conftest import params, sketch_png
from generation.exceptions import KeyReused, TooManyWaiting
from generation.keys import Idempotency
from generation.models import (
    Batch,
    Event,
    EventStream,
    GeneratedImage,
    Job,
    Node,
    NodeHealth,
    Share,
)
from generation.scheduling import Claim, job_claim
from generation.services import job_retry, job_submit, jobs_cancel
from generation.shares import shares_forget_idle
from generation.states import ON_NODE, JobState, Lane
from generation.submissions import Submission
from generation.tests.stages import IMAGE, bring, event_types, expire, ledger_kinds
from generation.transitions import (
    Lease,
    job_cancel_confirmed,
    job_fail,
    job_requeue,
    job_succeed,
    lease_take,
)
from usage.exceptions import QuotaExhausted
from usage.models import LedgerEntry, Plan, QuotaDay, User
from usage.quota import quota_reserve, usage_of

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

Submit = Callable[..., list[Job]]
PATIENCE_S = 60
NEVER = datetime(9000, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_daily_limit(settings: Settings) -> None:
    """What is not about quota is not stopped by it."""
    settings.PENCIL = replace(settings.PENCIL, daily_limit=None)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Make all calls at the same moment, each over its own connection.

    Returns what each returned or raised, in order.
    """
    barrier = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE_S)
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at what was raised
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls, timeout=PATIENCE_S))


def nothing_broke(results: Sequence[Any], *expected: type[Exception]) -> None:
    """Raise the first exception that was not to be expected."""
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, expected):
            raise result


def submission(count: int = 1) -> Submission:
    """An ordinary request."""
    return Submission(sketch_png(), params(), count, Lane.BATCH)


def assert_books_balance(user: User) -> None:
    """The counter is the ledger's sum, and no job has two outcomes."""
    total = LedgerEntry.objects.filter(user=user).aggregate(total=Sum("amount"))["total"] or 0
    counted = QuotaDay.objects.filter(user=user).aggregate(total=Sum("used"))["total"] or 0
    assert counted == total
    outcomes = LedgerEntry.objects.exclude(kind="reserve").values_list("job_id", flat=True)
    assert max(Counter(outcomes).values(), default=0) <= 1


def assert_no_gaps(user: User) -> None:
    """A user's events are numbered from 1 without gaps, and the stream knows the last."""
    seqs = list(Event.objects.filter(user=user).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert EventStream.objects.get(user=user).last_seq == len(seqs)


# --- Claims ---


def claims_until_none() -> list[Claim]:
    """Claim until there is nothing more to claim."""
    return list(iter(job_claim, None))


def test_no_job_is_claimed_twice(owner: User, node: Node, submit: Submit) -> None:
    Node.objects.create(
        name="two",
        url="http://127.0.0.1:2",
        depth=30,
        health=NodeHealth.HEALTHY,
        images_per_prompt=1,
    )
    Node.objects.filter(pk=node.pk).update(depth=30)
    jobs = submit(owner, count=50)

    results = together(*[claims_until_none] * 8)

    nothing_broke(results)
    claimed = [claim.job.id for claims in results for claim in claims]
    assert sorted(claimed) == sorted(job.id for job in jobs)
    assert Counter(event_type for job in jobs for event_type in event_types(job.id)) == {
        "job.queued": 50,
        "job.claimed": 50,
    }
    assert_no_gaps(owner)


def test_no_node_ever_holds_more_than_its_depth(owner: User, node: Node, submit: Submit) -> None:
    second = Node.objects.create(
        name="two",
        url="http://127.0.0.1:2",
        depth=3,
        health=NodeHealth.HEALTHY,
        images_per_prompt=1,
    )
    submit(owner, count=50)

    results = together(*[claims_until_none] * 8)

    nothing_broke(results)
    held = Counter(claim.node.pk for claims in results for claim in claims)
    assert held == {node.pk: 2, second.pk: 3}
    assert Job.objects.filter(state__in=ON_NODE).count() == 5


def test_fifty_jobs_go_through_two_slots_each_once(owner: User, node: Node, submit: Submit) -> None:
    jobs = submit(owner, count=50)
    too_many = []

    def work() -> int:
        made = 0
        while Job.objects.filter(state=JobState.QUEUED).exists():
            claim = job_claim()
            if claim is None:
                continue
            if Job.objects.filter(node=node, state__in=ON_NODE).count() > node.depth:
                too_many.append(claim)
            assert job_fail(claim.lease, code="node_failed", message="It broke.")
            made += 1
        return made

    results = together(*[work] * 8)

    nothing_broke(results)
    assert sum(results) == 50
    assert too_many == []
    assert all(event_types(job.id) == ["job.queued", "job.claimed", "job.failed"] for job in jobs)
    assert_no_gaps(owner)
    assert_books_balance(owner)


def test_claims_of_two_lanes_leave_no_live_job_waiting(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    Node.objects.filter(pk=node.pk).update(depth=5)
    submit(stranger, count=20)
    live = submit(owner, count=5, lane=Lane.LIVE)

    results = together(*[job_claim] * 5)

    nothing_broke(results)
    assert {claim.job.id for claim in results} == {job.id for job in live}


# --- Ends ---

ROUNDS = 15


def test_a_cancellation_and_a_success_at_once_end_in_one_of_the_two(
    owner: User, node: Node, submit: Submit
) -> None:
    for job in submit(owner, count=ROUNDS):
        lease = bring(job, node, JobState.SAVING)
        seen = Job.objects.get(id=job.id)

        _, succeeded = together(
            lambda: jobs_cancel([seen]),  # noqa: B023 - called within the round
            lambda: job_succeed(lease, [IMAGE], execution_s=1.0),  # noqa: B023 - likewise
        )

        nothing_broke([succeeded])
        job.refresh_from_db()
        if succeeded is None:
            assert (job.state, job.cancel_requested_at is None) == (JobState.SAVING, False)
            assert job_cancel_confirmed(lease)
            assert not GeneratedImage.objects.filter(job=job).exists()
        else:
            assert (job.state, job.cancel_requested_at) == (JobState.SUCCEEDED, None)
            assert GeneratedImage.objects.filter(job=job).count() == 1
        assert len(ledger_kinds(job.id)) == 2
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_a_cancellation_and_a_claim_at_once_lose_neither(
    owner: User, node: Node, submit: Submit
) -> None:
    Node.objects.filter(pk=node.pk).update(depth=100)
    for job in submit(owner, count=ROUNDS):
        seen = Job.objects.get(id=job.id)

        results = together(lambda: jobs_cancel([seen]), job_claim)  # noqa: B023 - within the round

        nothing_broke(results)
        job.refresh_from_db()
        if job.state == JobState.CANCELLED:
            assert ledger_kinds(job.id) == ["reserve", "refund"]
        else:
            assert job.state == JobState.CLAIMED
            assert job.cancel_requested_at is not None
    assert_books_balance(owner)


def test_a_cancellation_and_a_requeue_at_once_lose_neither(
    owner: User, node: Node, submit: Submit
) -> None:
    for job in submit(owner, count=ROUNDS):
        lease = bring(job, node, JobState.RUNNING)
        seen = Job.objects.get(id=job.id)

        results = together(
            lambda: jobs_cancel([seen]),  # noqa: B023 - called within the round
            lambda: job_requeue(lease, failure="infrastructure"),  # noqa: B023 - likewise
        )

        nothing_broke(results)
        job.refresh_from_db()
        assert job.cancel_requested_at is not None
        assert job.state in {JobState.CANCELLED, JobState.RUNNING}
        if job.state == JobState.RUNNING:
            assert job_cancel_confirmed(lease)
    assert_books_balance(owner)


def test_a_job_succeeds_once(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, JobState.SAVING)

    results = together(*[lambda: job_succeed(lease, [IMAGE], execution_s=1.0)] * 4)

    nothing_broke(results)
    assert len([result for result in results if result]) == 1
    assert GeneratedImage.objects.filter(job=job).count() == 1
    assert ledger_kinds(job.id) == ["reserve", "settle"]


def test_a_dead_workers_job_is_taken_over_by_one(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, JobState.RUNNING)
    expire(lease)

    results = together(*[lambda: lease_take(job.id)] * 4)

    nothing_broke(results)
    (taken,) = [result for result in results if result]
    assert Job.objects.get(id=job.id).lease_token == taken.token


# --- Newer live frames ---

MANY_ROUNDS = 50


def live_frame() -> Submission:
    """A frame of somebody who is drawing."""
    return Submission(sketch_png(), params(), 1, Lane.LIVE)


def end_everything() -> None:
    """Give back every slot, and empty the queue."""
    for job in Job.objects.filter(state__in=ON_NODE):
        lease = Lease(job.id, job.attempt, job.lease_token or uuid4())
        assert job_fail(lease, code="x", message="x")
    jobs_cancel(Job.objects.filter(state=JobState.QUEUED))


def test_a_frame_that_is_superseded_and_claimed_at_once_ends_once(
    owner: User, node: Node, submit: Submit
) -> None:
    for _ in range(MANY_ROUNDS):
        (old,) = submit(owner, lane=Lane.LIVE)

        claim, answer = together(job_claim, lambda: job_submit(owner, live_frame()))

        nothing_broke([claim, answer])
        old.refresh_from_db()
        new = Job.objects.get(id=answer["jobs"][0]["id"])
        if old.state == JobState.CLAIMED:
            assert claim.job.id == old.id
            assert event_types(old.id) == ["job.queued", "job.claimed"]
            assert ledger_kinds(old.id) == ["reserve"]
        else:
            assert old.state == JobState.CANCELLED
            assert event_types(old.id) == ["job.queued", "job.cancelled"]
            assert ledger_kinds(old.id) == ["reserve", "refund"]
            assert claim is None or claim.job.id == new.id
        # The newest frame is on a node, or the very next claim brings it there.
        if new.state == JobState.QUEUED:
            following = job_claim()
            assert following is not None
            assert following.job.id == new.id
        end_everything()
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_frames_that_are_submitted_at_once_each_end_once(owner: User, submit: Submit) -> None:
    """They may not see each other, but whichever comes next sees them all."""
    for _ in range(ROUNDS):
        (old,) = submit(owner, lane=Lane.LIVE)

        answers = together(*[lambda: job_submit(owner, live_frame())] * 4)

        nothing_broke(answers)
        last = job_submit(owner, live_frame())["jobs"][0]["id"]
        frames = [old.id, *(UUID(answer["jobs"][0]["id"]) for answer in answers)]
        for frame in frames:
            assert event_types(frame) == ["job.queued", "job.cancelled"]
            assert ledger_kinds(frame) == ["reserve", "refund"]
        waiting = Job.objects.filter(state=JobState.QUEUED).values_list("id", flat=True)
        assert list(waiting) == [UUID(last)]
        end_everything()
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_superseding_and_claiming_the_same_users_variations_block_neither_for_ever(
    owner: User, node: Node, submit: Submit
) -> None:
    """Both take the user's share and the user's event numbers; in one order, or they deadlock."""
    Node.objects.filter(pk=node.pk).update(depth=100)
    User.objects.filter(pk=owner.pk).update(
        plan=Plan.objects.create(name="studio", in_flight_limit=100)
    )
    owner.refresh_from_db()
    for _ in range(MANY_ROUNDS):
        submit(owner, count=4, lane=Lane.LIVE)
        submit(owner, count=3)

        results = together(
            lambda: [job_claim() for _ in range(3)], lambda: job_submit(owner, live_frame())
        )

        nothing_broke(results)
        end_everything()
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_superseding_and_requeueing_the_same_users_variations_block_neither_for_ever(
    owner: User, node: Node, submit: Submit
) -> None:
    """As above: a requeue takes the share, then the event numbers."""
    for _ in range(MANY_ROUNDS):
        (job,) = submit(owner)
        lease = bring(job, node, JobState.RUNNING)
        submit(owner, count=4, lane=Lane.LIVE)

        results = together(
            lambda: job_requeue(lease, failure="infrastructure"),  # noqa: B023 - within the round
            lambda: job_submit(owner, live_frame()),
        )

        nothing_broke(results)
        end_everything()
    assert_books_balance(owner)
    assert_no_gaps(owner)


# --- Back to the queue ---


@pytest.mark.parametrize("lane", list(Lane), ids=["live", "batch"])
def test_whatever_is_submitted_and_requeued_while_idle_shares_are_forgotten_can_be_claimed(
    owner: User, node: Node, submit: Submit, lane: Lane
) -> None:
    for _ in range(MANY_ROUNDS):
        (job,) = submit(owner, lane=lane)
        claim = job_claim()
        assert claim is not None

        _, requeued, answer = together(
            shares_forget_idle,
            lambda: job_requeue(claim.lease, failure="none"),  # noqa: B023 - within the round
            lambda: job_submit(owner, Submission(sketch_png(), params(), 1, lane)),
        )

        nothing_broke([_, requeued, answer])
        assert requeued is not None
        # A newer live frame ends the older one, if that waited again already.
        waiting = set(Job.objects.filter(state=JobState.QUEUED).values_list("id", flat=True))
        assert UUID(answer["jobs"][0]["id"]) in waiting
        assert lane == Lane.LIVE or job.id in waiting
        assert {claim.job.id for claim in claims_until_none()} == waiting
        end_everything()
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_a_job_that_is_cancelled_and_requeued_at_once_is_never_claimed_again(
    owner: User, node: Node, submit: Submit
) -> None:
    for job in submit(owner, count=MANY_ROUNDS):
        lease = bring(job, node, JobState.RUNNING)
        Job.objects.exclude(id=job.id).filter(state=JobState.QUEUED).update(not_before=NEVER)
        seen = Job.objects.get(id=job.id)

        results = together(
            lambda: jobs_cancel([seen]),  # noqa: B023 - called within the round
            lambda: job_requeue(lease, failure="none"),  # noqa: B023 - likewise
            lambda: [job_claim() for _ in range(2)],
        )

        nothing_broke(results)
        job.refresh_from_db()
        again = [claim for claim in results[2] if claim is not None]
        assert job.state == JobState.CANCELLED or job.cancel_requested_at is not None
        assert job.state != JobState.QUEUED
        if again:  # claimed before the cancellation: then that one knows of the wish
            assert (again[0].job.id, job.state) == (job.id, JobState.CLAIMED)
            assert job_requeue(again[0].lease, failure="none") is None
            assert job_cancel_confirmed(again[0].lease)
        elif job.state != JobState.CANCELLED:
            assert job_cancel_confirmed(lease)
        assert ledger_kinds(job.id) == ["reserve", "refund"]
    assert_books_balance(owner)
    assert_no_gaps(owner)


def test_a_job_that_is_cancelled_saved_and_adopted_at_once_ends_once(
    owner: User, node: Node, submit: Submit
) -> None:
    for job in submit(owner, count=MANY_ROUNDS):
        lease = bring(job, node, JobState.SAVING)
        expire(lease)
        seen = Job.objects.get(id=job.id)

        cancelled, succeeded, adopted = together(
            lambda: jobs_cancel([seen]),  # noqa: B023 - called within the round
            lambda: job_succeed(lease, [IMAGE], execution_s=1.0),  # noqa: B023 - likewise
            lambda: lease_take(job.id),  # noqa: B023 - likewise
        )

        nothing_broke([cancelled, succeeded, adopted])
        if succeeded is None:
            holder = adopted or lease
            second = job_succeed(holder, [IMAGE], execution_s=1.0)
            assert second is None  # the wish was first
            assert job_cancel_confirmed(holder)
            assert ledger_kinds(job.id) == ["reserve", "refund"]
        else:
            assert ledger_kinds(job.id) == ["reserve", "settle"]
        images = GeneratedImage.objects.filter(job=job).count()
        assert images == (0 if succeeded is None else 1)
        ends = {"job.succeeded", "job.cancelled", "job.failed"}
        assert len([type_ for type_ in event_types(job.id) if type_ in ends]) == 1
    assert_books_balance(owner)
    assert_no_gaps(owner)


# --- Requests ---


def test_one_key_makes_one_batch(owner: User) -> None:
    key = Idempotency("key", "digest")

    results = together(*[lambda: job_submit(owner, submission(2), idempotency=key)] * 6)

    nothing_broke(results)
    assert len({result["batch_id"] for result in results}) == 1
    assert all(result == results[0] for result in results)
    assert (Batch.objects.count(), Job.objects.count()) == (1, 2)
    assert usage_of(owner).used_today == 2


def test_one_key_with_two_bodies_is_taken_once(owner: User) -> None:
    results = together(
        *[
            lambda digest=digest: job_submit(
                owner, submission(), idempotency=Idempotency("key", digest)
            )
            for digest in "abcd"
        ]
    )

    nothing_broke(results, KeyReused)
    assert len([result for result in results if isinstance(result, KeyReused)]) == 3
    assert Job.objects.count() == 1


def test_one_key_retries_once(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.FAILED)
    key = Idempotency("key", "digest")

    results = together(*[lambda: job_retry(owner, job, idempotency=key)] * 4)

    nothing_broke(results)
    assert Job.objects.count() == 2


@pytest.mark.parametrize("at_once", [1, 3], ids=["one", "three"])
def test_parallel_reservations_never_pass_the_limit(owner: User, at_once: int) -> None:
    User.objects.filter(pk=owner.pk).update(daily_limit=7)
    owner.refresh_from_db()

    results = together(
        *[lambda: quota_reserve(owner, [uuid4() for _ in range(at_once)]).run()] * 10
    )

    nothing_broke(results, QuotaExhausted)
    taken = len([result for result in results if result == at_once]) * at_once
    assert taken == 7 // at_once * at_once
    assert usage_of(owner).used_today == taken
    assert_books_balance(owner)


def test_parallel_requests_never_overfill_the_queue(owner: User, settings: Settings) -> None:
    settings.PENCIL = replace(settings.PENCIL, queue_limit=7)

    results = together(*[lambda: job_submit(owner, submission(2))] * 8)

    nothing_broke(results, TooManyWaiting)
    assert Job.objects.count() == 6
    assert usage_of(owner).used_today == 6
    assert_books_balance(owner)


def test_parallel_requests_of_a_new_user_are_all_accepted_and_numbered_without_gaps(
    owner: User,
) -> None:
    results = together(*[lambda: job_submit(owner, submission(3))] * 8)

    nothing_broke(results)
    assert Event.objects.filter(user=owner).count() == 24
    assert_no_gaps(owner)
    assert_books_balance(owner)


def test_submitting_and_cancelling_at_once_blocks_neither_for_ever(
    owner: User, submit: Submit
) -> None:
    """Both take the user's day and the user's event numbers; in one order, or they deadlock."""
    waiting = [submit(owner, count=20) for _ in range(3)]

    results = together(
        *[lambda jobs=jobs: jobs_cancel(jobs) for jobs in waiting],
        *[lambda: [job_submit(owner, submission()) for _ in range(20)]] * 3,
    )

    nothing_broke(results)
    assert Job.objects.filter(state=JobState.CANCELLED).count() == 60
    assert Job.objects.filter(state=JobState.QUEUED).count() == 60
    assert_no_gaps(owner)
    assert_books_balance(owner)


def test_submitting_while_jobs_fail_blocks_neither_for_ever(
    owner: User, node: Node, submit: Submit
) -> None:
    Node.objects.filter(pk=node.pk).update(depth=100)
    leases = [bring(job, node, JobState.RUNNING) for job in submit(owner, count=20)]

    results = together(
        lambda: [job_fail(lease, code="x", message="x") for lease in leases],
        *[lambda: [job_submit(owner, submission()) for _ in range(20)]] * 3,
    )

    nothing_broke(results)
    assert_no_gaps(owner)
    assert_books_balance(owner)


# --- Locks ---


def lock_awaited() -> None:
    """Wait until somebody waits for a lock."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    ends_at = time.monotonic() + PATIENCE_S
    with connection.cursor() as cursor:
        while cursor.execute(asked).fetchone() == (0,):
            assert time.monotonic() < ends_at, "nobody waits"
            time.sleep(0.01)


@pytest.mark.parametrize("what", ["submission", "success"])
def test_the_share_is_locked_before_the_stream_though_one_statement_takes_both(
    owner: User, node: Node, submit: Submit, what: str
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, JobState.SAVING)
    calls: dict[str, Callable[[], Any]] = {
        "submission": lambda: job_submit(owner, submission()),
        "success": lambda: job_succeed(lease, [IMAGE], execution_s=1.0),
    }

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Share.objects.select_for_update().get(user=owner)
            called = pool.submit(together, calls[what])
            lock_awaited()
            # It would fail at once if the one who waits for the share had the stream already.
            EventStream.objects.select_for_update(nowait=True).get(user=owner)
        nothing_broke(called.result(PATIENCE_S))

    assert_no_gaps(owner)
