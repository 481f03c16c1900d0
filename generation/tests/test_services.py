"""What a caller may do to jobs: all of it in one transaction, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries, Settings

from conftest import params, sketch_png
from generation.exceptions import (
    InvalidInput,
    KeyReused,
    NotRetryable,
    StorageFull,
    TooManyWaiting,
)
from generation.keys import Idempotency
from generation.models import Batch, Event, EventStream, IdempotencyKey, Job, Node
from generation.params import SEED_MAX
from generation.services import (
    body_digest,
    job_retry,
    job_submit,
    jobs_cancel,
    seed_draw,
)
from generation.states import ON_NODE, TERMINAL, JobState, Lane
from generation.storage import blob_path, blob_read
from generation.submissions import Submission
from generation.tests.stages import bring, event_types, ledger_kinds, traces_of
from generation.transitions import job_requeue
from usage.exceptions import QuotaExhausted
from usage.models import LedgerEntry, User
from usage.quota import usage_of

Submit = Callable[..., list[Job]]


def submission(*, count: int = 1, sketch: bytes = b"", **changes: object) -> Submission:
    """An ordinary request."""
    return Submission(sketch or sketch_png(), params(**changes), count, Lane.BATCH)


def rows_counted() -> dict[str, int]:
    """How many rows there are of all that a submission writes."""
    models = (Job, Batch, Event, EventStream, IdempotencyKey, LedgerEntry)
    return {model.__name__: model.objects.count() for model in models}


def limited(settings: Settings, **limits: object) -> None:
    """Set limits of the server."""
    settings.PENCIL = replace(settings.PENCIL, **limits)


# --- Submitting ---


def test_four_variations_share_a_seed_and_the_next_follow_in_order(owner: User) -> None:
    answer = job_submit(owner, submission(count=6, seed=40))

    named = [(job["seed"], job["params"]["variation"]) for job in answer["jobs"]]
    assert named == [(40, 0), (40, 1), (40, 2), (40, 3), (41, 0), (41, 1)]
    jobs = Job.objects.filter(batch_id=answer["batch_id"]).order_by("index")
    assert [(job.parameters.seed, job.parameters.variation) for job in jobs] == named
    assert [str(job.id) for job in jobs] == [job["id"] for job in answer["jobs"]]
    created = [job.created_at for job in jobs]
    assert created == sorted(set(created))


def test_variations_share_all_but_the_seed(owner: User) -> None:
    job_submit(owner, submission(count=3, prompt="an owl", denoise=0.3))

    rows = Job.objects.all()
    assert len({row.sketch for row in rows}) == 1
    assert {dataclasses.replace(row.parameters, seed=0, variation=0) for row in rows} == {
        params(seed=0, prompt="an owl", denoise=0.3)
    }


def test_an_accepted_job_is_reserved_recorded_and_its_sketch_kept(owner: User) -> None:
    answer = job_submit(owner, submission())

    job = Job.objects.get(id=answer["jobs"][0]["id"])
    assert job.state == JobState.QUEUED
    assert event_types(job.id) == ["job.queued"]
    assert ledger_kinds(job.id) == ["reserve"]
    assert usage_of(owner).used_today == 1
    assert blob_read(job.sketch).startswith(b"\x89PNG")


def test_the_largest_seed_leaves_room_for_the_largest_batch(
    owner: User, settings: Settings
) -> None:
    limited(settings, daily_limit=1000)

    answer = job_submit(owner, submission(count=128, seed=SEED_MAX))

    assert answer["jobs"][-1]["seed"] <= 2**53 - 1


def test_drawn_seeds_lie_within_the_limits() -> None:
    assert all(0 <= seed_draw() <= SEED_MAX for _ in range(1000))


def test_something_that_is_no_sketch_leaves_nothing(owner: User) -> None:
    before = rows_counted()

    with pytest.raises(InvalidInput) as refusal:
        job_submit(owner, submission(sketch=b"not an image"))

    assert list(refusal.value.extra["fields"]) == ["sketch"]  # type: ignore[call-overload]  # a dict
    assert rows_counted() == before


def test_a_full_day_leaves_nothing_behind(owner: User) -> None:
    owner.daily_limit = 3
    before = rows_counted()

    with pytest.raises(QuotaExhausted):
        job_submit(owner, submission(count=4), idempotency=Idempotency("key", "digest"))

    assert rows_counted() == before
    assert usage_of(owner).used_today == 0


def test_a_full_queue_leaves_nothing_behind(
    owner: User, submit: Submit, settings: Settings
) -> None:
    limited(settings, queue_limit=3)
    submit(owner, count=2)
    before = rows_counted()

    with pytest.raises(TooManyWaiting) as refusal:
        job_submit(owner, submission(count=2), idempotency=Idempotency("key", "digest"))

    assert refusal.value.extra == {"limit": 3}
    assert rows_counted() == before
    assert usage_of(owner).used_today == 2


def test_a_queue_may_be_filled_to_the_brim(owner: User, submit: Submit, settings: Settings) -> None:
    limited(settings, queue_limit=3)
    submit(owner, count=2)

    job_submit(owner, submission(count=1))

    assert Job.objects.count() == 3


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_what_is_on_a_node_counts_as_waiting(
    owner: User, node: Node, submit: Submit, settings: Settings, state: JobState
) -> None:
    limited(settings, queue_limit=1)
    (job,) = submit(owner)
    bring(job, node, state)

    with pytest.raises(TooManyWaiting):
        job_submit(owner, submission())


@pytest.mark.parametrize("state", sorted(TERMINAL), ids=str)
def test_what_has_ended_does_not_count_as_waiting(
    owner: User, node: Node, submit: Submit, settings: Settings, state: JobState
) -> None:
    limited(settings, queue_limit=1)
    (job,) = submit(owner)
    bring(job, node, state)

    assert job_submit(owner, submission())


def test_somebody_elses_full_queue_is_not_the_callers(
    owner: User, stranger: User, submit: Submit, settings: Settings
) -> None:
    limited(settings, queue_limit=2)
    submit(stranger, count=2)

    assert job_submit(owner, submission(count=2))


def test_a_disk_that_takes_nothing_refuses_the_job(
    owner: User, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings.MEDIA_ROOT = tmp_path / "file" / "media"
    before = rows_counted()

    with pytest.raises(StorageFull):
        job_submit(owner, submission(), idempotency=Idempotency("key", "digest"))

    assert rows_counted() == before
    assert usage_of(owner).used_today == 0


@pytest.mark.parametrize("count", [1, 20])
def test_accepting_costs_the_same_few_statements_for_many_jobs(
    owner: User, submit: Submit, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit(owner)
    submit(owner)  # as somebody whose jobs wait; SQLite is asked once how it quotes

    # What nodes offer; then, within a savepoint here, the key, the day, and the queue's length with
    # the share, the batch, the ledger and the jobs; a single event goes with these. Several take
    # the stream and then their rows, and are refused before anything is written.
    together = 3 if count == 1 else 6
    apart = 9 if count == 1 else 10
    is_postgres = connection.vendor == "postgresql"
    with django_assert_num_queries(1 + 2 + (together if is_postgres else apart)):
        job_submit(owner, submission(count=count), idempotency=Idempotency("key", "digest"))


def test_a_used_key_costs_no_more_than_a_look(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job_submit(owner, submission(), idempotency=Idempotency("key", "digest"))

    with django_assert_num_queries(2 + 2):
        job_submit(owner, submission(), idempotency=Idempotency("key", "digest"))


def test_a_failure_in_the_middle_rolls_everything_back(owner: User, submit: Submit) -> None:
    submit(owner)
    # The next event's number is taken already: the insert breaks after jobs and quota.
    Event.objects.filter(seq=1).update(seq=2)
    before = rows_counted()

    with pytest.raises(IntegrityError), transaction.atomic():
        job_submit(owner, submission(count=2), idempotency=Idempotency("key", "digest"))

    assert rows_counted() == before
    assert usage_of(owner).used_today == 1


# --- The same request twice ---


def test_the_same_key_and_body_get_the_first_answer(owner: User) -> None:
    key = Idempotency("key", body_digest({"a": 1}))

    first = job_submit(owner, submission(count=2), idempotency=key)
    again = job_submit(owner, submission(count=2), idempotency=key)

    assert again == first
    assert Job.objects.count() == 2
    assert usage_of(owner).used_today == 2


def test_the_first_answer_stays_the_same_after_the_job_has_moved_on(
    owner: User, node: Node
) -> None:
    key = Idempotency("key", "digest")
    first = job_submit(owner, submission(), idempotency=key)
    bring(Job.objects.get(), node, JobState.SUCCEEDED)

    assert job_submit(owner, submission(), idempotency=key) == first


def test_the_same_key_with_another_body_is_refused(owner: User) -> None:
    job_submit(owner, submission(), idempotency=Idempotency("key", "one"))
    before = rows_counted()

    with pytest.raises(KeyReused):
        job_submit(owner, submission(), idempotency=Idempotency("key", "another"))

    assert rows_counted() == before


def test_a_key_belongs_to_its_user(owner: User, stranger: User) -> None:
    key = Idempotency("key", "digest")

    first = job_submit(owner, submission(), idempotency=key)
    other = job_submit(stranger, submission(), idempotency=key)

    assert first["batch_id"] != other["batch_id"]


def test_a_key_whose_request_was_refused_is_free_again(owner: User) -> None:
    key = Idempotency("key", "digest")
    owner.daily_limit = 0
    with pytest.raises(QuotaExhausted):
        job_submit(owner, submission(), idempotency=key)
    owner.daily_limit = 5

    assert job_submit(owner, submission(), idempotency=key)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": "é"}, {"a": "é"}, True),
        ({}, {"a": None}, False),
    ],
    ids=["order", "value", "type", "not ASCII", "null"],
)
def test_a_digest_is_of_the_value_not_of_how_it_was_written(
    one: object, other: object, is_same: bool
) -> None:
    assert (body_digest(one) == body_digest(other)) is is_same


# --- Retrying ---


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED], ids=str)
def test_what_failed_or_was_cancelled_can_be_tried_again(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner, seed=9, lane=Lane.LIVE, prompt="an owl")
    bring(job, node, state)
    before = traces_of(job.id)

    answer = job_retry(owner, job)

    (again,) = Job.objects.filter(batch_id=answer["batch_id"])
    assert again.id != job.id
    assert (again.params, again.sketch, again.lane) == (job.params, job.sketch, job.lane)
    assert again.state == JobState.QUEUED
    assert usage_of(owner).used_today == 1
    assert traces_of(job.id) == before


@pytest.mark.parametrize(
    "state", sorted(set(JobState) - {JobState.FAILED, JobState.CANCELLED}), ids=str
)
def test_nothing_else_can_be_tried_again(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)
    before = rows_counted()

    with pytest.raises(NotRetryable):
        job_retry(owner, job)

    assert rows_counted() == before


def test_a_retry_with_the_same_key_happens_once(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.FAILED)
    key = Idempotency("key", "digest")

    first, again = (job_retry(owner, job, idempotency=key) for _ in range(2))

    assert first == again
    assert Job.objects.count() == 2


def test_a_retry_needs_quota(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.FAILED)
    owner.daily_limit = 0

    with pytest.raises(QuotaExhausted):
        job_retry(owner, job)


# --- Cancelling ---


def test_cancelling_a_waiting_job_ends_it_and_gives_its_image_back(
    owner: User, submit: Submit
) -> None:
    (job,) = submit(owner)

    jobs_cancel([job])

    job.refresh_from_db()
    assert (job.state, job.finished_at is not None) == (JobState.CANCELLED, True)
    assert ledger_kinds(job.id) == ["reserve", "refund"]
    assert usage_of(owner).used_today == 0


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_cancelling_a_job_on_a_node_notes_it_once(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)

    jobs_cancel([job])
    noted = traces_of(job.id)
    jobs_cancel([Job.objects.get(id=job.id)])

    assert noted["row"]["state"] == state
    assert noted["row"]["cancel_requested_at"] is not None
    assert event_types(job.id)[-1] == "job.cancel_requested"
    assert traces_of(job.id) == noted
    assert usage_of(owner).used_today == 1


@pytest.mark.parametrize("state", sorted(TERMINAL), ids=str)
def test_cancelling_what_has_ended_changes_nothing(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)
    before = traces_of(job.id)

    jobs_cancel([job])

    assert traces_of(job.id) == before


def test_a_cancellation_that_saw_an_older_job_still_reaches_it(
    owner: User, node: Node, submit: Submit
) -> None:
    claimed_since, requeued_since = submit(owner, count=2)
    seen = [Job.objects.get(id=job.id) for job in (claimed_since, requeued_since)]
    bring(claimed_since, node, JobState.RUNNING)
    lease = bring(requeued_since, node, JobState.RUNNING)
    assert job_requeue(lease, failure="infrastructure")

    jobs_cancel(seen)

    claimed_since.refresh_from_db()
    requeued_since.refresh_from_db()
    assert claimed_since.cancel_requested_at is not None
    assert requeued_since.state == JobState.CANCELLED


def test_cancelling_a_whole_batch_gives_everything_back(owner: User, submit: Submit) -> None:
    jobs = submit(owner, count=10)

    jobs_cancel(jobs)

    assert set(Job.objects.values_list("state", flat=True)) == {JobState.CANCELLED}
    assert usage_of(owner).used_today == 0


# --- Whose sketch ---


def test_the_same_drawing_of_two_people_lies_in_two_places(
    owner: User, stranger: User, submit: Submit
) -> None:
    (own,), (other,) = submit(owner), submit(stranger)

    assert own.sketch != other.sketch
    blob_path(other.sketch).unlink()
    assert blob_read(own.sketch)
