"""Members: the jobs of one prompt that this process still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import structlog

from generation.models import Job
from generation.states import JobState
from generation.transitions import (
    Lease,
    job_advance,
    job_cancel_confirmed,
    job_fail,
    job_requeue,
    lease_release,
)
from workers.failures import BACKOFF, MESSAGES, Failure, FailureKind
from workers.leases import HeldLease, LeaseLost, keeper

log = structlog.get_logger(__name__)


class Member:
    """A job, its lease, and what was last known of it."""

    def __init__(self, lease: Lease, held: HeldLease, job: Job) -> None:
        self.lease = lease
        self.held = held
        self.job = job

    def advance(self, origins: Iterable[JobState], to: JobState) -> bool:
        """Move the job on; False when it is not ours any more."""
        job = job_advance(self.lease, origins, to)
        self.job = job or self.job
        return job is not None

    def is_held(self) -> bool:
        """Whether the lease is good as far as this process knows."""
        try:
            self.held.check()
        except LeaseLost:
            return False
        return True

    def let_go(self) -> None:
        """Give back what was never sent; leave what a node has to be adopted."""
        is_unsent = Job.objects.filter(id=self.job.id, state=JobState.CLAIMED).exists()
        if not (is_unsent and job_requeue(self.lease, failure=FailureKind.NONE)):
            lease_release(self.lease)

    def end(self, failure: Failure, *, node_id: int | None) -> None:
        """Give the job back to the queue, end it, or do what its owner asked for meanwhile."""
        if failure.is_final_for(self.job):
            job_fail(self.lease, code=failure.code, message=MESSAGES[failure.code])
            return
        requeued = job_requeue(
            self.lease,
            failure=failure.kind or FailureKind.INFRASTRUCTURE,
            delay=BACKOFF if failure.kind is FailureKind.INFRASTRUCTURE else timedelta(0),
            avoid_node_id=node_id if failure.avoids_node else None,
        )
        if requeued is None:
            # Its owner wants it cancelled; or it is not ours any more, and this does nothing.
            job_cancel_confirmed(self.lease)


class Members:
    """The members in the order of the prompt's outputs; they only get fewer."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = list(members)

    def __iter__(self) -> Iterator[Member]:
        """Those that are left, so that some may be dropped meanwhile."""
        return iter(list(self._members))

    def __len__(self) -> int:
        """How many are left."""
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        """Whether one is left."""
        return member in self._members

    @property
    def jobs(self) -> list[Job]:
        """The jobs of those that are left."""
        return [member.job for member in self._members]

    def drop(self, member: Member, *, why: str) -> None:
        """Have nothing more to do with a job: it has ended, or is somebody else's."""
        self._members.remove(member)
        log.info(why, job_id=str(member.job.id), attempt=member.lease.attempt)

    def advance(self, origins: Iterable[JobState], to: JobState) -> None:
        """Move on all that are in one of `origins`, and drop those that are not ours any more."""
        origins = set(origins)
        for member in self:
            if member.job.state in origins and not member.advance(origins, to):
                self.drop(member, why="lease lost")


@contextmanager
def members_held(pairs: Sequence[tuple[Lease, Job]]) -> Iterator[Members]:
    """Renew the leases until the block ends."""
    with ExitStack() as stack:
        yield Members(
            [Member(lease, stack.enter_context(keeper.keep(lease)), job) for lease, job in pairs]
        )
