"""The tasks: what a wake-up does, and what a doubled, late or lost one does not."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from generation.models import Job
from generation.scheduling import job_claim
from generation.states import JobState
from usage.models import User
from workers.attempt import draining
from workers.tasks import adopt, run
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
