"""Events: numbered per user, kept whole, published only once they are true."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoCaptureOnCommitCallbacks

from generation.events import events_record
from generation.models import Event, EventStream, Job
from usage.models import User

Submit = Callable[..., list[Job]]


def seqs_of(user: User) -> list[int]:
    """The numbers of a user's events, in order."""
    return list(Event.objects.filter(user=user).order_by("seq").values_list("seq", flat=True))


def test_the_first_event_is_number_one(owner: User, submit: Submit) -> None:
    submit(owner)

    assert seqs_of(owner) == [1]


def test_a_batchs_events_have_the_order_of_its_jobs(owner: User, submit: Submit) -> None:
    jobs = submit(owner, count=5)

    events = Event.objects.filter(user=owner).order_by("seq")
    assert [event.job_id for event in events] == [job.id for job in jobs]
    assert seqs_of(owner) == [1, 2, 3, 4, 5]


def test_each_user_has_numbers_of_their_own(owner: User, stranger: User, submit: Submit) -> None:
    submit(owner, count=2)
    submit(stranger, count=3)
    submit(owner)

    assert seqs_of(owner) == [1, 2, 3]
    assert seqs_of(stranger) == [1, 2, 3]


def test_recording_nothing_takes_no_number(owner: User, submit: Submit) -> None:
    submit(owner)

    events_record(owner.pk, "job.queued", [])

    assert seqs_of(owner) == [1]
    assert EventStream.objects.get(user=owner).last_seq == 1


def test_a_rollback_leaves_neither_event_nor_gap(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)

    with transaction.atomic():
        events_record(owner.pk, "job.running", [job])
        transaction.set_rollback(True)
    events_record(owner.pk, "job.running", [job])

    assert seqs_of(owner) == [1, 2]


def test_nothing_is_published_before_the_commit(
    owner: User,
    submit: Submit,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    (job,) = submit(owner)

    with django_capture_on_commit_callbacks() as published, transaction.atomic():
        events_record(owner.pk, "job.running", [job, job])

    assert len(published) == 2


def test_numbering_costs_the_same_for_many_jobs(owner: User, submit: Submit) -> None:
    jobs = submit(owner, count=50)

    with CaptureQueriesContext(connection) as one:
        events_record(owner.pk, "job.running", jobs[:1])
    with CaptureQueriesContext(connection) as many:
        events_record(owner.pk, "job.running", jobs)

    assert len(many) == 2
    assert len(one) == (1 if connection.vendor == "postgresql" else 2)
