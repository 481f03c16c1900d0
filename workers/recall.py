"""A recall: an operator takes a job back from its node, and it waits in the queue again."""

from __future__ import annotations

from uuid import UUID

import structlog

from generation.exceptions import NotFound
from generation.models import Job
from generation.scheduling import prompt_is_wanted
from generation.states import ON_NODE, TERMINAL
from generation.transitions import Lease, job_requeue
from workers.clients import client_for
from workers.failures import FailureKind
from workers.prompts import prompt_supersede

log = structlog.get_logger(__name__)

LOOKS = 3  # a worker may move the job, or die and lose it, between our look and our write


class NotRecallable(Exception):
    """The job is on no node, or is to stop anyway; the message is for the operator."""


def job_recall(job_id: UUID) -> Job:
    """Give a job on a node back to the queue, counted as nothing, and drop its prompt there.

    Safe while its worker lives. The requeue is one compare-and-swap on the very lease that the
    worker holds: either the worker's last move was first, and this looks again; or the lease is
    void, and whatever the worker tries next finds nothing and ends without effects. Only then is
    the prompt cancelled, so its worker cannot count that as the node's failure; and should this
    process die in between, the node makes a picture that nobody fetches.

    A prompt that its worker is sending at this very moment may run to its end on the node, as
    after any takeover, and so does one that makes other variations too. The next attempt has a
    prompt of its own.

    Raises:
        NotFound: there is no such job.
        NotRecallable: it has ended, waits already, or is being cancelled.
    """
    for _ in range(LOOKS):
        job = Job.objects.select_related("node").filter(id=job_id).first()
        if job is None:
            raise NotFound("job")
        _check(job)
        assert job.lease_token is not None
        lease = Lease(job.id, job.attempt, job.lease_token)
        requeued = job_requeue(lease, failure=FailureKind.NONE)
        if requeued is None:
            continue
        node_name = job.node.name if job.node else None
        log.info("job recalled", job_id=str(job.id), attempt=job.attempt, node=node_name)
        if job.node is None or job.prompt_id is None:
            return requeued
        if not prompt_is_wanted(job.prompt_id, besides=[job.id]):
            prompt_supersede(client_for(job.node.url), job.prompt_id)
        return requeued
    raise NotRecallable("It moves too fast to be taken back. Look at the queue, then try again.")


def _check(job: Job) -> None:
    if job.state in TERMINAL:
        raise NotRecallable(f"It has ended already: {job.state}.")
    if job.state not in ON_NODE:
        raise NotRecallable("It waits in the queue already.")
    if job.cancel_requested_at is not None:
        raise NotRecallable("It is being cancelled, so it does not go back to the queue.")
