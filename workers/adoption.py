"""Adoption: the jobs of a worker that died are taken up by another, a prompt at a time."""

from __future__ import annotations

from uuid import UUID

import structlog

from generation.models import Job
from generation.scheduling import prompt_jobs_expired
from generation.transitions import lease_take
from workers.attempt import attempt_hold
from workers.chores import Chore
from workers.failures import Failure, FailureKind
from workers.members import members_held

log = structlog.get_logger(__name__)


def attempt_adopt(job_id: UUID) -> list[Chore] | None:
    """Take up a job whose worker has died, with those that share its prompt.

    Returns what is left to do, for which nobody waits; None when there is nothing to take up.
    """
    lease = lease_take(job_id)
    job = Job.objects.select_related("node").filter(id=job_id).first() if lease else None
    if lease is None or job is None:
        return None
    log.info("job adopted", job_id=str(job_id), state=job.state, attempt=lease.attempt)
    pairs = [(lease, job)]
    if job.prompt_id is not None:
        for other_id in prompt_jobs_expired(job.prompt_id):
            taken = lease_take(other_id)
            if taken is not None:
                pairs.append((taken, Job.objects.get(id=other_id)))
    pairs.sort(key=lambda pair: pair[1].prompt_index)
    if job.node is None or job.prompt_id is None:
        # Its node's row was deleted: nobody can be asked what became of the prompt.
        failure = Failure("node_failed", "the node is gone", FailureKind.INFRASTRUCTURE)
        with members_held(pairs) as members:
            for member in members:
                member.end(failure, node_id=None)
        return []
    return attempt_hold(pairs, job.node, job.prompt_id, is_adopted=True)
