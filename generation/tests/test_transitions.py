"""Every transition from every state: what it writes where it may, and that it writes nothing else.

The table says from which states a transition does something, and what.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from generation.models import Event, EventStream, GeneratedImage, Job, Node
from generation.params import prompt_id_for
from generation.states import ON_NODE, TERMINAL, JobState
from generation.tests.stages import (
    IMAGE,
    bring,
    event_types,
    expire,
    ledger_kinds,
    row_of,
    traces_of,
)
from generation.transitions import (
    Lease,
    StoredImage,
    job_advance,
    job_cancel_confirmed,
    job_cancel_queued,
    job_cancel_request,
    job_expire_queued,
    job_fail,
    job_requeue,
    job_succeed,
    job_take,
    lease_release,
    lease_take,
    leases_renew,
)
from usage.models import LedgerEntry, User
from usage.quota import usage_of

Submit = Callable[..., list[Job]]
QUEUED, CLAIMED, SUBMITTED, RUNNING, SAVING, SUCCEEDED, FAILED, CANCELLED = JobState


@dataclass(frozen=True)
class Move:
    """A transition; `to` is None where the state stays; `outcome` is the ledger's line."""

    call: Callable[[Job, Lease, Node], object]
    origins: Iterable[JobState]
    to: JobState | None
    event: str
    outcome: str | None = None


MOVES = {
    "take": Move(
        lambda job, _, node: job_take(job, node_id=node.pk), {QUEUED}, CLAIMED, "job.claimed"
    ),
    "submit": Move(
        lambda _, lease, __: job_advance(lease, {CLAIMED}, SUBMITTED),
        {CLAIMED},
        SUBMITTED,
        "job.submitted",
    ),
    "run": Move(
        lambda _, lease, __: job_advance(lease, {SUBMITTED}, RUNNING),
        {SUBMITTED},
        RUNNING,
        "job.running",
    ),
    "save": Move(
        lambda _, lease, __: job_advance(lease, {SUBMITTED, RUNNING}, SAVING),
        {SUBMITTED, RUNNING},
        SAVING,
        "job.saving",
    ),
    "succeed": Move(
        lambda _, lease, __: job_succeed(lease, [IMAGE], execution_s=2.0),
        {SUBMITTED, RUNNING, SAVING},
        SUCCEEDED,
        "job.succeeded",
        "settle",
    ),
    "fail": Move(
        lambda _, lease, __: job_fail(lease, code="node_failed", message="It broke."),
        ON_NODE,
        FAILED,
        "job.failed",
        "refund",
    ),
    "confirm cancel": Move(
        lambda _, lease, __: job_cancel_confirmed(lease),
        ON_NODE,
        CANCELLED,
        "job.cancelled",
        "refund",
    ),
    "cancel queued": Move(
        lambda job, _, __: job_cancel_queued(job.id, job.attempt),
        {QUEUED},
        CANCELLED,
        "job.cancelled",
        "refund",
    ),
    "expire queued": Move(
        lambda job, _, __: job_expire_queued(job.id, job.attempt, code="late", message="Late."),
        {QUEUED},
        FAILED,
        "job.failed",
        "refund",
    ),
    "requeue": Move(
        lambda _, lease, __: job_requeue(lease, failure="infrastructure"),
        ON_NODE,
        QUEUED,
        "job.requeued",
    ),
    "request cancel": Move(
        lambda job, _, __: job_cancel_request(job.id), ON_NODE, None, "job.cancel_requested"
    ),
}
NEEDS_LEASE = ("submit", "run", "save", "succeed", "fail", "confirm cancel", "requeue")
CASES = list(itertools.product(MOVES, JobState))
ALLOWED = [(name, state) for name, state in CASES if state in MOVES[name].origins]
FORBIDDEN = [(name, state) for name, state in CASES if state not in MOVES[name].origins]


def _ids(cases: list[tuple[str, JobState]]) -> list[str]:
    return [f"{name} from {state}" for name, state in cases]


@pytest.mark.parametrize(("name", "state"), ALLOWED, ids=_ids(ALLOWED))
def test_an_allowed_transition_writes_its_state_event_and_ledger_line(
    owner: User, node: Node, submit: Submit, name: str, state: JobState
) -> None:
    move = MOVES[name]
    (job,) = submit(owner)
    lease = bring(job, node, state)
    events, ledger = event_types(job.id), ledger_kinds(job.id)

    result = move.call(job, lease, node)

    assert result is not None
    row = row_of(job.id)
    assert row["state"] == (move.to or state)
    assert event_types(job.id) == [*events, move.event]
    assert ledger_kinds(job.id) == [*ledger, *([move.outcome] if move.outcome else [])]
    assert (row["finished_at"] is not None) is (move.to in TERMINAL)
    assert (row["lease_token"] is not None) is (row["state"] in ON_NODE)
    assert GeneratedImage.objects.filter(job=job).count() == (name == "succeed")


@pytest.mark.parametrize(("name", "state"), FORBIDDEN, ids=_ids(FORBIDDEN))
def test_a_forbidden_transition_writes_nothing(
    owner: User, node: Node, submit: Submit, name: str, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    before, used = traces_of(job.id), usage_of(owner).used_today

    result = MOVES[name].call(job, lease, node)

    assert result is None
    assert traces_of(job.id) == before
    assert usage_of(owner).used_today == used


@pytest.mark.parametrize(("name", "state"), ALLOWED, ids=_ids(ALLOWED))
def test_the_event_shows_the_job_as_it_became(
    owner: User, node: Node, submit: Submit, name: str, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)

    MOVES[name].call(job, lease, node)

    event = Event.objects.filter(job_id=job.id).latest("seq")
    job.refresh_from_db()
    assert event.payload["type"] == event.type
    assert event.payload["job"]["id"] == str(job.id)
    assert event.payload["job"]["state"] == job.state
    assert len(event.payload["job"]["images"]) == (job.state == SUCCEEDED)
    assert event.payload["job"]["charged"] is (job.state == SUCCEEDED)


WITH_LEASE = [case for case in ALLOWED if case[0] in NEEDS_LEASE]


@pytest.mark.parametrize(("name", "state"), WITH_LEASE, ids=_ids(WITH_LEASE))
@pytest.mark.parametrize("wrong", ["token", "earlier attempt", "later attempt"])
def test_a_worker_whose_lease_is_not_the_rows_does_nothing(
    owner: User, node: Node, submit: Submit, name: str, state: JobState, wrong: str
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    stale = {
        "token": Lease(job.id, lease.attempt, uuid4()),
        "earlier attempt": Lease(job.id, lease.attempt - 1, lease.token),
        "later attempt": Lease(job.id, lease.attempt + 1, lease.token),
    }[wrong]
    before = traces_of(job.id)

    result = MOVES[name].call(job, stale, node)

    assert result is None
    assert traces_of(job.id) == before


@pytest.mark.parametrize(("name", "state"), WITH_LEASE, ids=_ids(WITH_LEASE))
def test_after_a_takeover_only_the_new_lease_moves_the_job(
    owner: User, node: Node, submit: Submit, name: str, state: JobState
) -> None:
    (job,) = submit(owner)
    old = bring(job, node, state)
    expire(old)
    new = lease_take(job.id)
    assert new is not None
    before = traces_of(job.id)

    assert MOVES[name].call(job, old, node) is None
    assert traces_of(job.id) == before

    assert MOVES[name].call(job, new, node) is not None


@pytest.mark.parametrize("name", ["take", "cancel queued", "expire queued"])
def test_a_stale_look_at_a_waiting_job_does_nothing(
    owner: User, node: Node, submit: Submit, name: str
) -> None:
    (job,) = submit(owner)
    stale = Job.objects.get(id=job.id)
    lease = bring(job, node, RUNNING)
    assert job_requeue(lease, failure="none")
    before = traces_of(job.id)

    result = MOVES[name].call(stale, lease, node)

    assert result is None
    assert traces_of(job.id) == before


def test_a_move_that_no_state_allows_is_a_programming_error(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, CLAIMED)
    before = traces_of(job.id)

    with pytest.raises(ValueError, match="claimed"):
        job_advance(lease, {CLAIMED}, SAVING)

    assert traces_of(job.id) == before


# --- The claim ---


def test_a_claim_begins_the_next_attempt_under_its_own_prompt_id(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)

    taken = job_take(job, node_id=node.pk)

    assert taken is not None
    lease, as_it_is = taken
    assert as_it_is.state == CLAIMED
    row = row_of(job.id)
    assert (lease.attempt, row["attempt"], row["node_id"]) == (1, 1, node.pk)
    assert row["prompt_id"] == prompt_id_for(job.id, 1)
    assert row["lease_token"] == lease.token
    left = row["lease_expires_at"] - timezone.now()
    assert timedelta(seconds=10) < left <= timedelta(seconds=15.1)


def test_a_second_claim_with_the_same_knowledge_gets_nothing(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    same = Job.objects.get(id=job.id)
    assert job_take(job, node_id=node.pk)

    assert job_take(same, node_id=node.pk) is None

    assert event_types(job.id) == ["job.queued", "job.claimed"]


def test_no_two_attempts_share_a_prompt_id(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    prompt_ids = set()
    for _ in range(3):
        lease = bring(job, node, SUBMITTED)
        prompt_ids.add(job.prompt_id)
        assert job_requeue(lease, failure="none")
        job.refresh_from_db()

    assert len(prompt_ids) == 3


# --- The end ---


def test_success_writes_each_image_once_in_order(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    images = [
        StoredImage(f"images/{i}.png", f"images/{i}.webp", "image/png", 512, 512, i + 1)
        for i in range(3)
    ]

    first = job_succeed(lease, images, execution_s=2.5)
    again = job_succeed(lease, images, execution_s=9.9)

    assert first is not None
    assert again is None
    rows = GeneratedImage.objects.filter(job=job).order_by("index")
    assert [(row.index, row.file) for row in rows] == [(i, f"images/{i}.png") for i in range(3)]
    assert row_of(job.id)["execution_s"] == 2.5
    assert ledger_kinds(job.id) == ["reserve", "settle"]


def test_a_success_whose_images_are_not_there_after_all_writes_nothing(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    before = traces_of(job.id)

    def settle() -> None:
        raise FileNotFoundError("images/a.png")

    with pytest.raises(FileNotFoundError):
        job_succeed(lease, [IMAGE], execution_s=2.0, settle=settle)

    assert traces_of(job.id) == before
    assert job_succeed(lease, [IMAGE], execution_s=2.0) is not None


def test_a_success_for_which_nothing_was_reserved_writes_nothing(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    LedgerEntry.objects.filter(job_id=job.id).delete()
    before = traces_of(job.id)

    with pytest.raises(LedgerEntry.DoesNotExist, match=str(job.id)):
        job_succeed(lease, [IMAGE], execution_s=2.0)

    assert traces_of(job.id) == before


def test_success_after_cancellation_was_asked_for_writes_nothing(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    assert job_cancel_request(job.id)
    before = traces_of(job.id)

    result = job_succeed(lease, [IMAGE], execution_s=2.0)

    assert result is None
    assert traces_of(job.id) == before


def test_a_success_that_cannot_be_written_whole_is_not_written_at_all(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    GeneratedImage.objects.create(
        job=job, index=0, file="x", thumbnail="x", width=1, height=1, size_bytes=1
    )
    before = traces_of(job.id)

    with pytest.raises(IntegrityError), transaction.atomic():
        job_succeed(lease, [IMAGE], execution_s=2.0)

    assert traces_of(job.id) == before


def test_a_failure_tells_its_owner_why(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    failed = job_fail(lease, code="out_of_memory", message="Try a smaller size.")

    assert failed is not None
    event = Event.objects.filter(job_id=job.id).latest("seq")
    assert event.payload["job"]["error"] == {
        "code": "out_of_memory",
        "message": "Try a smaller size.",
    }
    assert event.payload["job"]["charged"] is False


@pytest.mark.parametrize("end", ["fail", "confirm cancel", "succeed"])
def test_the_count_is_given_back_unless_the_job_succeeded(
    owner: User, node: Node, submit: Submit, end: str
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SAVING)
    assert usage_of(owner).used_today == 1

    MOVES[end].call(job, lease, node)

    assert usage_of(owner).used_today == (end == "succeed")


# --- Cancelling ---


def test_a_second_request_to_cancel_writes_nothing(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, RUNNING)
    assert job_cancel_request(job.id)
    before = traces_of(job.id)

    result = job_cancel_request(job.id)

    assert result is None
    assert traces_of(job.id) == before


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_a_job_that_is_to_be_cancelled_never_goes_back_to_the_queue(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    assert job_cancel_request(job.id)
    before = traces_of(job.id)

    result = job_requeue(lease, failure="infrastructure")

    assert result is None
    assert traces_of(job.id) == before


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_a_requested_cancellation_is_confirmed_from_wherever_the_job_is(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    assert job_cancel_request(job.id)

    assert job_cancel_confirmed(lease)

    assert event_types(job.id)[-2:] == ["job.cancel_requested", "job.cancelled"]
    assert ledger_kinds(job.id) == ["reserve", "refund"]


def test_a_waiting_job_whose_cancellation_is_noted_is_not_claimed(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    Job.objects.filter(id=job.id).update(cancel_requested_at=timezone.now())

    assert job_take(job, node_id=node.pk) is None


# --- Back to the queue ---

COUNTERS = (
    "infrastructure_failures",
    "memory_failures",
    "blank_failures",
    "refused_failures",
)


@pytest.mark.parametrize("failure", ["infrastructure", "memory", "blank", "refused", "none"])
def test_a_requeue_counts_its_own_failure_and_no_other(
    owner: User, node: Node, submit: Submit, failure: str
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    assert job_requeue(lease, failure=failure)

    row = row_of(job.id)
    assert {name: row[name] for name in COUNTERS} == {
        name: int(name == f"{failure}_failures") for name in COUNTERS
    }


def test_a_requeue_forgets_the_attempts_node_lease_and_prompt(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    assert job_requeue(lease, failure="memory", delay=timedelta(seconds=30))

    row = row_of(job.id)
    assert (row["node_id"], row["prompt_id"], row["lease_token"]) == (None, None, None)
    assert row["lease_expires_at"] is None
    assert row["not_before"] > timezone.now() + timedelta(seconds=20)
    assert row["attempt"] == 1


def test_a_requeue_remembers_the_node_to_avoid_until_another_is_named(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    assert job_requeue(lease, failure="blank", avoid_node_id=node.pk)

    assert row_of(job.id)["avoid_node_id"] == node.pk


def test_a_waiting_job_has_not_begun_whatever_an_earlier_attempt_did(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    requeued = job_requeue(lease, failure="infrastructure")

    assert requeued is not None
    assert requeued.started_at is None


# --- When the node began ---


def test_a_job_begins_when_its_prompt_runs(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SUBMITTED)
    assert row_of(job.id)["started_at"] is None

    job_advance(lease, {SUBMITTED}, RUNNING)

    assert row_of(job.id)["started_at"] is not None


def test_a_prompt_that_was_never_seen_running_has_begun_when_it_is_saved(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, SUBMITTED)

    job_advance(lease, {SUBMITTED}, SAVING)

    assert row_of(job.id)["started_at"] is not None


@pytest.mark.parametrize("state", [SUBMITTED, RUNNING, SAVING], ids=str)
def test_a_job_that_succeeds_has_begun_whatever_was_seen_of_it(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    began = row_of(job.id)["started_at"]

    job_succeed(lease, [IMAGE], execution_s=2.0)

    row = row_of(job.id)
    assert row["started_at"] == (began or row["finished_at"])


def test_saving_does_not_change_when_the_job_began(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)
    began = row_of(job.id)["started_at"]

    job_advance(lease, {RUNNING}, SAVING)

    assert row_of(job.id)["started_at"] == began


# --- Leases ---


def test_a_living_workers_job_cannot_be_taken_over(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    assert lease_take(job.id) is None

    assert row_of(job.id)["lease_token"] == lease.token


def test_an_expired_lease_is_taken_over_once(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)
    expire(lease)

    first, second = lease_take(job.id), lease_take(job.id)

    assert first is not None
    assert (first.attempt, second) == (lease.attempt, None)
    assert first.token != lease.token


@pytest.mark.parametrize("state", [QUEUED, *sorted(TERMINAL)], ids=str)
def test_a_job_that_nobody_holds_cannot_be_taken_over(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)
    expire(lease)
    before = traces_of(job.id)

    assert lease_take(job.id) is None

    assert traces_of(job.id) == before


def test_a_released_lease_can_be_taken_at_once(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)

    lease_release(lease)

    assert lease_take(job.id) is not None


def test_releasing_somebody_elses_lease_does_nothing(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)
    before = traces_of(job.id)

    lease_release(Lease(job.id, lease.attempt, uuid4()))

    assert traces_of(job.id) == before


def test_renewing_says_which_leases_are_still_held(owner: User, node: Node, submit: Submit) -> None:
    held, taken, ended = submit(owner, count=3)
    leases = [bring(job, node, RUNNING) for job in (held, taken, ended)]
    expire(leases[1])
    lease_take(taken.id)
    job_fail(leases[2], code="x", message="x")

    kept = leases_renew([lease.token for lease in leases] + [uuid4()])

    assert kept == {leases[0].token}


def test_renewing_gives_a_lease_its_whole_time_again(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, RUNNING)
    expire(lease)

    assert leases_renew([lease.token]) == {lease.token}

    assert row_of(job.id)["lease_expires_at"] > timezone.now() + timedelta(seconds=10)
    assert lease_take(job.id) is None


def test_renewing_nothing_is_nothing(db: None) -> None:
    assert leases_renew([]) == set()


# --- Numbers ---


def test_each_users_events_are_numbered_without_gaps(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    for user in (owner, stranger, owner):
        jobs = submit(user, count=3)
        for job, state in zip(jobs, (SUCCEEDED, FAILED, CANCELLED), strict=True):
            lease = bring(job, node, state)
            job_requeue(lease, failure="none")

    for user, jobs_count in ((owner, 6), (stranger, 3)):
        seqs = list(Event.objects.filter(user=user).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        assert EventStream.objects.get(user=user).last_seq == len(seqs)
        assert Event.objects.filter(user=user, type="job.queued").count() == jobs_count


def test_a_rolled_back_transition_takes_no_number(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, CLAIMED)

    with transaction.atomic():
        job_advance(lease, {CLAIMED}, SUBMITTED)
        transaction.set_rollback(True)
    job_advance(lease, {CLAIMED}, SUBMITTED)

    assert list(Event.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3]
