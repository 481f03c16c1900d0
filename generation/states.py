"""The states of a job, the ways between them, and its lanes."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"  # waits for a node
    CLAIMED = "claimed"  # a worker holds it; its prompt is just being sent to a node
    SUBMITTED = "submitted"  # the node has taken its prompt
    RUNNING = "running"  # the node works on it
    SAVING = "saving"  # the node is done, and its files take a moment to come
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Lane(IntEnum):
    """Which jobs go first: a smaller number before a larger one."""

    LIVE = 0  # somebody watches while drawing
    BATCH = 1


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
ON_NODE = frozenset({JobState.CLAIMED, JobState.SUBMITTED, JobState.RUNNING, JobState.SAVING})
ACTIVE = ON_NODE | {JobState.QUEUED}

# From each state to the states that may follow it. A job goes back to `queued` when an attempt
# ended through no fault of its own.
NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.CLAIMED, JobState.FAILED, JobState.CANCELLED}),
    JobState.CLAIMED: frozenset(
        {JobState.SUBMITTED, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.SUBMITTED: frozenset(
        {
            JobState.RUNNING,
            JobState.SAVING,
            JobState.SUCCEEDED,
            JobState.QUEUED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.SAVING,
            JobState.SUCCEEDED,
            JobState.QUEUED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    JobState.SAVING: frozenset(
        {JobState.SUCCEEDED, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def is_terminal(state: JobState) -> bool:
    """Whether a job in this state stays as it is for ever."""
    return state in TERMINAL


def can_follow(state: JobState, to: JobState) -> bool:
    """Whether a job may go from `state` to `to` in one step."""
    return to in NEXT[state]
