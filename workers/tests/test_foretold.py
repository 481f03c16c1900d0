"""What events foretell on a real simulator: kept only where the prompt's record says the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections

from generation.events import events_record
from generation.models import Job
from generation.services import jobs_cancel
from generation.states import JobState
from usage.models import User
from workers import foretold
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.records import PromptStatus, Verdict
from workers.saver import image_succeed
from workers.tests.conftest import Simulator, node_for
from workers.tests.test_attempt import kinds_of, run_to_the_end

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., list[Job]]
PATIENCE_S = 20.0  # far longer than anything takes: it ends a test that is stuck


@pytest.fixture
def on_postgres() -> None:
    """Run on PostgreSQL alone: on SQLite nothing is written before the record is known."""
    if not connection.features.has_select_for_update:
        pytest.skip("on SQLite the record is asked for first")


Told = Callable[[Verdict], Verdict]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Told], list[Verdict]]]:
    """Change what nodes' records say; returns a list of what they would have said."""

    def change(told: Told) -> list[Verdict]:
        verdict, heard = ComfyClient.verdict, []

        def ask(client: ComfyClient, prompt_id: UUID) -> Verdict:
            heard.append(verdict(client, prompt_id))
            return told(heard[-1])

        monkeypatch.setattr(ComfyClient, "verdict", ask)
        return heard

    foretold._took_s.clear()  # what was measured in another test
    yield change
    foretold._took_s.clear()


@pytest.mark.usefixtures("on_postgres")
def test_a_job_ends_once_its_record_says_what_its_events_said(
    owner: User,
    submit: Submit,
    well: Simulator,
    record: Callable[[Told], list[Verdict]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foretold, "CONFIRMED_WITHIN_S", PATIENCE_S)
    node_for(well)
    (job,) = submit(owner)
    written, states = threading.Event(), []

    def note(*arguments: Any, **named: Any) -> Any:
        result = events_record(*arguments, **named)
        if arguments[1] == "job.succeeded":
            written.set()
        return result

    def once_written(verdict: Verdict) -> Verdict:
        if verdict.status is PromptStatus.COMPLETED:
            assert written.wait(PATIENCE_S)  # all is written before the record is known
            states.append(Job.objects.get(id=job.id).state)
            connections.close_all()
        return verdict

    monkeypatch.setattr("generation.transitions.events_record", note)
    record(once_written)

    run_to_the_end(job)

    assert states == [JobState.RUNNING]  # and nobody has seen it
    assert (job.state, job.attempt, job.images.count()) == (JobState.SUCCEEDED, 1, 1)
    assert kinds_of(job) == ["reserve", "settle"]
    assert job.execution_s is not None


@pytest.mark.usefixtures("on_postgres")
@pytest.mark.parametrize(
    ("lie", "attempts"),
    [
        pytest.param(lambda v: replace(v, status=PromptStatus.FAILED), 2, id="failed after all"),
        pytest.param(lambda v: replace(v, files=()), 2, id="no files"),
        pytest.param(lambda v: replace(v, execution_s=99.0), 1, id="another time"),
    ],
)
def test_a_record_that_says_another_thing_than_the_events_is_believed(
    owner: User,
    submit: Submit,
    well: Simulator,
    record: Callable[[Told], list[Verdict]],
    lie: Told,
    attempts: int,
) -> None:
    node_for(well)
    (job,) = submit(owner)
    heard = record(lambda v: lie(v) if len(heard) == 1 else v)

    run_to_the_end(job)

    assert (job.state, job.attempt) == (JobState.SUCCEEDED, attempts)
    assert job.images.count() == 1
    assert kinds_of(job) == ["reserve", "settle"]
    assert (job.execution_s == 99.0) is (attempts == 1)


@pytest.mark.usefixtures("on_postgres")
def test_a_record_that_comes_late_ends_the_job_once_and_the_node_counts_as_far(
    owner: User, submit: Submit, well: Simulator, record: Callable[[Told], list[Verdict]]
) -> None:
    node = node_for(well)
    (job,) = submit(owner)

    def late(verdict: Verdict) -> Verdict:
        time.sleep(foretold.CONFIRMED_WITHIN_S * 2)
        return verdict

    record(late)

    run_to_the_end(job)

    assert (job.state, job.attempt, job.images.count()) == (JobState.SUCCEEDED, 1, 1)
    assert kinds_of(job) == ["reserve", "settle"]
    assert not foretold.is_near(client_for(node.url))


@pytest.mark.usefixtures("on_postgres")
def test_a_job_that_is_cancelled_while_its_record_is_asked_for_has_no_image(
    owner: User, submit: Submit, well: Simulator, record: Callable[[Told], list[Verdict]]
) -> None:
    node_for(well)
    (job,) = submit(owner)

    def cancel(verdict: Verdict) -> Verdict:
        if verdict.status is PromptStatus.COMPLETED:
            jobs_cancel([Job.objects.get(id=job.id)])  # once the attempt lets go of the row
            connections.close_all()
        return verdict

    record(cancel)

    run_to_the_end(job)

    assert (job.state, job.images.count()) == (JobState.CANCELLED, 0)
    assert kinds_of(job) == ["refund", "reserve"]


@pytest.mark.usefixtures("on_postgres")
def test_variations_end_one_by_one_once_their_record_is_known(
    owner: User, submit: Submit, well: Simulator, record: Callable[[Told], list[Verdict]]
) -> None:
    node_for(well)
    jobs = submit(owner, count=2)
    heard = record(lambda verdict: verdict)

    run_to_the_end(jobs[0])

    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.images.count()) == (JobState.SUCCEEDED, 1)
        assert kinds_of(job) == ["reserve", "settle"]
    assert len({job.images.get().file for job in jobs}) == 2
    assert [verdict.status for verdict in heard] == [PromptStatus.COMPLETED]


@pytest.mark.usefixtures("on_postgres")
def test_an_image_that_comes_late_is_waited_for_in_one_transaction(
    owner: User,
    submit: Submit,
    simulated: Callable[..., Simulator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []

    def count(*arguments: Any, **named: Any) -> Job | None:
        begun.append(named)
        return image_succeed(*arguments, **named)

    monkeypatch.setattr("workers.attempt.image_succeed", count)
    node_for(simulated("--pack", "--encode-seconds", "0.6"))
    (job,) = submit(owner)

    run_to_the_end(job)

    assert (job.state, job.attempt, job.images.count()) == (JobState.SUCCEEDED, 1, 1)
    assert len(begun) == 1
