"""Places: what those who wait are told. Their order across users is in `test_fairness.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from generation.models import Job, Node, NodeHealth
from generation.pace import FIRST_GUESS_S, pace_note, pace_of
from generation.places import queue_places
from generation.states import JobState
from generation.tests.stages import bring
from usage.models import User

Submit = Callable[..., list[Job]]


@pytest.fixture
def second_node(node: Node) -> Node:
    """Another node that answers."""
    return Node.objects.create(
        name="two", url="http://127.0.0.1:2", health=NodeHealth.HEALTHY, images_per_prompt=1
    )


def test_only_waiting_jobs_have_a_place(owner: User, node: Node, submit: Submit) -> None:
    running, waiting = submit(owner, count=2)
    bring(running, node, JobState.RUNNING)

    places = queue_places([running, waiting])

    assert list(places) == [waiting.id]
    assert places[waiting.id].position == 1


def test_the_first_guess_counts_what_runs_and_what_waits(
    owner: User, node: Node, submit: Submit
) -> None:
    running, first, second = submit(owner, count=3)
    bring(running, node, JobState.RUNNING)

    places = queue_places([first, second])

    assert places[first.id].eta_s == 1.5 * FIRST_GUESS_S
    assert places[second.id].eta_s == 2.5 * FIRST_GUESS_S


def test_the_wait_is_guessed_from_the_latest_jobs_and_the_nodes_there_are(
    owner: User, node: Node, second_node: Node, submit: Submit
) -> None:
    (waiting,) = submit(owner)
    pace_note(waiting.parameters, 1.5)

    places = queue_places([waiting])

    assert places[waiting.id].eta_s == pytest.approx(0.75, abs=0.06)


def test_without_any_node_there_still_is_a_guess(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)

    assert queue_places([job])[job.id].eta_s == FIRST_GUESS_S


def test_places_of_nothing_cost_nothing(db: None, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]  # a fixture without types
        assert queue_places([]) == {}


def test_a_pace_that_was_asked_for_follows_what_is_noted(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)
    pace_note(job.parameters, 1.0)
    assert pace_of(job.parameters) == 1.0

    pace_note(job.parameters, 2.0)

    assert pace_of(job.parameters) == 1.2
