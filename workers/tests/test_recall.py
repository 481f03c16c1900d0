"""Recalls: a job comes back from its node while its worker lives, and nothing counts."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connections

from generation.exceptions import NotFound
from generation.models import Job, Node, NodeHealth
from generation.scheduling import job_claim
from generation.states import ON_NODE, TERMINAL, JobState
from generation.tests.stages import bring, event_types, expire, ledger_kinds, row_of, traces_of
from generation.transitions import job_advance, job_cancel_request, job_succeed, leases_renew
from usage.models import User
from workers.attempt import _Attempt
from workers.failures import Failure, FailureKind
from workers.members import members_held
from workers.recall import NotRecallable, job_recall
from workers.tests.conftest import Simulator, adopt, attempt, node_for

Submit = Callable[..., list[Job]]
PATIENCE_S = 20.0


def failures_of(job: Job) -> int:
    row = row_of(job.id)
    return sum(value for name, value in row.items() if name.endswith("_failures"))


@pytest.mark.parametrize("state", sorted(ON_NODE), ids=str)
def test_a_recalled_job_waits_again_and_nothing_counts(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)

    job_recall(job.id)

    job.refresh_from_db()
    node.refresh_from_db()
    assert (job.state, job.node, job.prompt_id) == (JobState.QUEUED, None, None)
    assert (failures_of(job), node.failures) == (0, 0)
    assert event_types(job.id)[-1] == "job.requeued"
    assert ledger_kinds(job.id) == ["reserve"]


def test_the_old_workers_next_move_finds_nothing(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, JobState.SAVING)
    job_recall(job.id)
    before = traces_of(job.id)

    assert leases_renew([lease.token]) == set()
    assert job_succeed(lease, [], execution_s=1.0) is None
    assert job_advance(lease, {JobState.SUBMITTED}, JobState.RUNNING) is None

    assert traces_of(job.id) == before


@pytest.mark.parametrize("state", sorted(TERMINAL), ids=str)
def test_what_has_ended_is_refused_and_stays(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)
    before = traces_of(job.id)

    with pytest.raises(NotRecallable, match=f"ended already: {state}"):
        job_recall(job.id)

    assert traces_of(job.id) == before


def test_what_waits_is_refused_and_stays(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)
    before = traces_of(job.id)

    with pytest.raises(NotRecallable, match="waits"):
        job_recall(job.id)

    assert traces_of(job.id) == before


def test_what_is_to_be_cancelled_does_not_come_back(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)
    job_cancel_request(job.id)
    before = traces_of(job.id)

    with pytest.raises(NotRecallable, match="cancelled"):
        job_recall(job.id)

    assert traces_of(job.id) == before


def test_an_unknown_job_is_refused(db: None) -> None:
    with pytest.raises(NotFound):
        job_recall(uuid4())


def test_a_job_whose_worker_has_died_comes_back_and_is_not_adopted(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    expire(bring(job, node, JobState.RUNNING))

    job_recall(job.id)

    assert adopt(job.id) is False


def test_a_job_whose_nodes_row_is_gone_comes_back(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)
    node.delete()

    job_recall(job.id)

    assert row_of(job.id)["state"] == JobState.QUEUED


@pytest.mark.django_db(transaction=True)
def test_a_running_job_leaves_its_node_and_the_next_attempt_makes_the_image(
    owner: User, submit: Submit, faulty: Callable[..., Simulator]
) -> None:
    simulator = faulty(step_s=0.5)
    node = node_for(simulator)
    (job,) = submit(owner, steps=20)
    first = _claimed_in_thread()
    _wait_for(lambda: bool(simulator.state()["running"]))
    (prompt_id,) = simulator.state()["running"]

    job_recall(job.id)

    first.join(PATIENCE_S)
    assert not first.is_alive()
    # The worker lets go at once, the node at its next step.
    _wait_for(lambda: prompt_id not in simulator.state()["running"])
    node.refresh_from_db()
    assert (node.failures, failures_of(job)) == (0, 0)
    Job.objects.filter(id=job.id).update(params={**job.params, "steps": 2})
    claim = job_claim()
    assert claim is not None
    attempt(claim)
    row = row_of(job.id)
    assert (row["state"], row["attempt"]) == (JobState.SUCCEEDED, 2)
    assert ledger_kinds(job.id) == ["reserve", "settle"]


def test_a_worker_that_sees_its_recalled_prompt_end_blames_nobody(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, JobState.RUNNING)
    assert job.prompt_id is not None
    failure = Failure("node_failed", "interrupted", FailureKind.INFRASTRUCTURE, avoids_node=True)

    with members_held([(lease, job)]) as members:
        attempt = _Attempt(members, node, job.prompt_id, is_adopted=False)
        job_recall(job.id)
        before = traces_of(job.id)
        attempt._failed(failure)

    node.refresh_from_db()
    assert (node.failures, node.health) == (0, NodeHealth.HEALTHY)
    assert traces_of(job.id) == before


def test_the_command_says_what_became_of_each(owner: User, node: Node, submit: Submit) -> None:
    back, waits = submit(owner, count=2)
    bring(back, node, JobState.RUNNING)
    out, err = io.StringIO(), io.StringIO()

    with pytest.raises(SystemExit) as end:
        call_command("job_requeue", str(back.id), str(waits.id), stdout=out, stderr=err)

    assert end.value.code == 1
    assert out.getvalue() == f"{back.id}: waits in the queue again.\n"
    assert err.getvalue().strip() == f"{waits.id}: It waits in the queue already."


def _claimed_in_thread() -> threading.Thread:
    claim = job_claim()
    assert claim is not None

    def work() -> None:
        attempt(claim)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _wait_for(happens: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < ends_at
        time.sleep(0.02)
