"""The reconciler: finds jobs that nobody works on although somebody should, and sees to it."""

from __future__ import annotations

import structlog

from generation.scheduling import jobs_expired, jobs_overdue
from generation.transitions import job_expire_queued
from generation.wakeups import TASK_ADOPT, wake
from workers.failures import MESSAGES

log = structlog.get_logger(__name__)

JOBS_AT_ONCE = 100


def reconcile() -> None:
    """Have orphaned jobs adopted and end those that have waited too long.

    Running twice at once does no harm: an adoption takes the lease, an end is a compare-and-swap.
    """
    for job_id in jobs_expired(JOBS_AT_ONCE):
        log.info("job orphaned", job_id=str(job_id))
        wake(job_id, task=TASK_ADOPT)
    for job_id, attempt in jobs_overdue(JOBS_AT_ONCE):
        code = "waited_too_long"
        job_expire_queued(job_id, attempt, code=code, message=MESSAGES[code])
