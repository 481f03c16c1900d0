"""The tasks: what a wake-up does, and what a doubled, late or lost one does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
import structlog
from django.db.models.functions import Now

from generation.models import Job
from generation.scheduling import job_claim
from generation.states import JobState
from usage import notices
from usage.models import User
from workers import tasks
from workers.attempt import draining
from workers.ears import Ears
from workers.tasks import adopt, run, run_heard
from workers.tests.conftest import Simulator, node_for

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., list[Job]]


def test_a_doubled_wake_up_makes_one_image(owner: User, submit: Submit, well: Simulator) -> None:
    node_for(well)
    (job,) = submit(owner)

    run(str(job.id))
    run(str(job.id))

    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert job.images.count() == 1


def test_a_wake_up_for_a_job_that_is_gone_runs_the_next(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)

    run(str(uuid4()))

    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED


def test_a_worker_that_stops_takes_nothing_new(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)
    draining.set()
    try:
        run(str(job.id))
    finally:
        draining.clear()

    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_a_doubled_adoption_takes_the_job_once(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)
    job_claim()
    Job.objects.filter(id=job.id).update(lease_expires_at=Now())

    adopt(str(job.id))
    adopt(str(job.id))

    job.refresh_from_db()
    assert job.infrastructure_failures == 1


def test_adopting_a_job_that_never_was_does_nothing() -> None:
    adopt(str(uuid4()))

    assert not Job.objects.exists()


def test_a_job_that_was_heard_of_needs_no_message(
    owner: User, submit: Submit, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ears.REMEMBERED_S", 60.0)
    node_for(well)
    (first,) = submit(owner)
    run_heard()
    (second,) = submit(owner)

    run(str(first.id))  # the message that came after the notice
    second.refresh_from_db()
    state_after_that = second.state
    run(str(first.id))  # another, as after an attempt that failed

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.state == JobState.SUCCEEDED
    assert state_after_that == JobState.QUEUED
    assert second.state == JobState.SUCCEEDED


def test_variations_that_were_heard_of_need_no_messages(
    owner: User, submit: Submit, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ears.REMEMBERED_S", 60.0)
    node_for(well)
    jobs = submit(owner, count=3)
    run_heard()
    (later,) = submit(owner)

    for job in jobs:
        run(str(job.id))

    later.refresh_from_db()
    assert later.state == JobState.QUEUED
    assert not Job.objects.filter(id__in=[job.id for job in jobs]).exclude(
        state=JobState.SUCCEEDED
    ).exists()  # fmt: skip


def test_a_worker_that_stops_hears_nothing(owner: User, submit: Submit, well: Simulator) -> None:
    node_for(well)
    (job,) = submit(owner)
    draining.set()
    try:
        run_heard()
    finally:
        draining.clear()

    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_what_fails_when_a_notice_comes_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def job_claim_failing(_foresee: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(tasks, "job_claim", job_claim_failing)

    with structlog.testing.capture_logs() as logs:
        run_heard()

    assert [log["event"] for log in logs] == ["job not run"]


def handed_in_by(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Open ears that hear nothing by themselves; what they have run is counted."""
    runs: list[None] = []
    monkeypatch.setattr("workers.ears.has_notices", lambda: True)
    monkeypatch.setattr("workers.ears.notices_hear", lambda *_, **__: None)
    ears.open(lambda: runs.append(None))
    return runs


def handed_in(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """`handed_in_by`, by the tasks' own ears."""
    ears = Ears()
    monkeypatch.setattr(tasks, "_ears", ears)
    return handed_in_by(ears, monkeypatch)


def test_where_one_was_claimed_the_next_is_looked_for(
    owner: User, submit: Submit, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = handed_in(monkeypatch)
    node_for(well)
    submit(owner, count=6)

    run_heard()
    assert runs
    runs.clear()
    run_heard()
    run_heard()

    assert not Job.objects.exclude(state=JobState.SUCCEEDED).exists()


def test_where_there_is_no_other_none_is_looked_for(
    owner: User, submit: Submit, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = handed_in(monkeypatch)
    node_for(well)
    submit(owner)

    run_heard()

    assert not runs


def test_after_an_attempt_what_waits_needs_no_broker(
    owner: User, submit: Submit, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = handed_in(monkeypatch)
    node_for(well)
    first, second = submit(owner)[0], submit(owner)[0]

    run(str(first.id))
    assert len(runs) == 1
    run_heard()

    second.refresh_from_db()
    assert second.state == JobState.SUCCEEDED


def test_notices_that_come_together_are_one_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    runs = handed_in_by(ears, monkeypatch)

    ears.claim_next()
    assert not ears.begin()
    ears.claim_next()
    ears.claim_next()
    assert len(runs) == 2

    assert ears.begin()  # there may be a second job
    ears.claim_next()
    assert len(runs) == 3
    assert not ears.begin()


def test_ears_that_are_closed_have_nothing_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    runs = handed_in_by(ears, monkeypatch)
    ears.close()

    ears.claim_next()

    assert not runs


def test_threads_that_have_ended_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    handed_in_by(ears, monkeypatch)

    def run_nowhere() -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    ears.open(run_nowhere)
    with structlog.testing.capture_logs() as logs:
        ears.claim_next()
        ears.claim_next()

    # Both were tried: the first is not taken for one that will begin.
    assert [log["event"] for log in logs] == ["notice not followed"] * 2


def test_what_was_claimed_long_ago_is_another_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ears, job_id = Ears(), uuid4()
    ears.note([job_id])
    assert ears.forget(str(job_id))
    assert not ears.forget(str(job_id))

    ears.note([job_id])
    monkeypatch.setattr("workers.ears.REMEMBERED_S", 0.0)
    assert not ears.forget(str(job_id))


@pytest.mark.postgres
def test_an_accepted_job_is_heard_of(
    owner: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "ASK_EVERY_S", 0.1)
    heard, ears = threading.Event(), Ears()
    ears.open(heard.set)  # which begins nothing
    try:
        ends_at = time.monotonic() + 30
        # Whoever does not listen yet does not hear.
        while not heard.wait(0.2) and time.monotonic() < ends_at:
            submit(owner)
        assert heard.is_set()
    finally:
        ears.close()
        for thread in threading.enumerate():
            if thread.name == "ears":
                thread.join(30)


def test_without_notices_there_is_nothing_to_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.ears.has_notices", lambda: False)

    Ears().open(lambda: None)

    assert "ears" not in {thread.name for thread in threading.enumerate()}
