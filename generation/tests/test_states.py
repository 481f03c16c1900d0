"""The states and the ways between them, as one explicit table."""

from __future__ import annotations

import itertools

import pytest

from generation.states import ACTIVE, NEXT, ON_NODE, TERMINAL, JobState, can_follow, is_terminal

# Rows: from. Columns, in the order of JobState: queued claimed submitted running saving
# succeeded failed cancelled.
TABLE = {
    JobState.QUEUED: "-x----xx",
    JobState.CLAIMED: "x-x---xx",
    JobState.SUBMITTED: "x--xxxxx",
    JobState.RUNNING: "x---xxxx",
    JobState.SAVING: "x----xxx",
    JobState.SUCCEEDED: "--------",
    JobState.FAILED: "--------",
    JobState.CANCELLED: "--------",
}
PAIRS = list(itertools.product(JobState, JobState))


@pytest.mark.parametrize(("origin", "to"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_only_the_ways_of_the_table_are_open(origin: JobState, to: JobState) -> None:
    is_open = TABLE[origin][list(JobState).index(to)] == "x"

    assert can_follow(origin, to) is is_open


@pytest.mark.parametrize("state", JobState, ids=str)
def test_every_state_has_its_ways(state: JobState) -> None:
    assert state in NEXT


@pytest.mark.parametrize("state", JobState, ids=str)
def test_a_state_is_terminal_exactly_when_nothing_follows(state: JobState) -> None:
    assert is_terminal(state) is not any(can_follow(state, to) for to in JobState)


def test_every_state_is_either_active_or_terminal() -> None:
    assert set(JobState) == ACTIVE | TERMINAL
    assert not ACTIVE & TERMINAL
    assert {JobState.QUEUED} == ACTIVE - ON_NODE
