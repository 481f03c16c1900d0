"""What the operator sees of everybody's jobs, and what they never see."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from pytest_django import DjangoAssertNumQueries

from generation.models import Job, Node, NodeDuty, NodeHealth
from generation.overview import ROWS, jobs_named, jobs_unended, overview
from generation.states import JobState, Lane
from generation.tests.stages import age, bring, expire
from generation.transitions import job_cancel_request, job_requeue
from usage.models import User

Submit = Callable[..., list[Job]]


def test_an_empty_database_has_lanes_and_nothing_in_them(db: None) -> None:
    seen = overview()

    assert [(line.lane, line.waiting, line.on_nodes) for line in seen.lanes] == [
        ("live", 0, 0),
        ("batch", 0, 0),
    ]
    assert (seen.waiting, seen.on_nodes, seen.usable_nodes) == (0, 0, 0)
    assert (seen.nodes, seen.users, seen.oldest, seen.held, seen.retried) == ((), (), (), (), ())


def test_sums_are_over_lanes_and_users_whoever_has_most_first(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    submit(owner, count=2)
    submit(stranger, lane=Lane.LIVE)
    running, *_ = submit(stranger, count=3)
    bring(running, node, JobState.RUNNING)
    ended, *_ = submit(owner)
    bring(ended, node, JobState.SUCCEEDED)

    seen = overview()

    assert [(line.lane, line.waiting, line.on_nodes) for line in seen.lanes] == [
        ("live", 1, 0),
        ("batch", 4, 1),
    ]
    assert [dataclasses.astuple(line) for line in seen.users] == [
        ("stranger@example.com", 1, 2, 1),
        ("owner@example.com", 0, 2, 0),
    ]


def test_the_longest_waiting_comes_first_with_its_age(
    owner: User, stranger: User, submit: Submit
) -> None:
    submit(owner)
    (old,) = submit(stranger)
    age(old, 100)

    seen = overview()

    assert seen.oldest[0].id == str(old.id)
    assert 100 <= seen.oldest[0].age_s < 130
    assert 100 <= (seen.lanes[Lane.BATCH].oldest_s or 0) < 130


def test_a_lease_that_nobody_renews_comes_first_and_is_below_zero(
    owner: User, node: Node, submit: Submit
) -> None:
    kept, orphan = submit(owner, count=2)
    bring(kept, node, JobState.RUNNING)
    expire(bring(orphan, node, JobState.SUBMITTED))

    first, second = overview().held

    assert (first.id, second.id) == (str(orphan.id), str(kept.id))
    assert -90 < (first.lease_s or 0) <= -60
    assert 10 < (second.lease_s or 0) <= 15


def test_a_node_shows_what_it_holds_and_what_ails_it(
    owner: User, node: Node, submit: Submit
) -> None:
    for job, state in zip(
        submit(owner, count=3),
        (JobState.RUNNING, JobState.SAVING, JobState.SUCCEEDED),
        strict=True,
    ):
        bring(job, node, state)
    Node.objects.create(
        name="two",
        url="http://127.0.0.1:2",
        health=NodeHealth.STUCK,
        duty=NodeDuty.DRAINING,
        problem="a prompt does not move",
    )

    one, two = overview().nodes

    assert (one.name, one.held, one.depth, one.health, one.duty) == (
        *("one", 2, 2),
        *("healthy", "active"),
    )
    assert (two.held, two.health, two.duty, two.problem, two.probed_s) == (
        *(0, "stuck", "draining"),
        *("a prompt does not move", None),
    )
    assert overview().usable_nodes == 1


def test_a_job_of_several_attempts_is_listed_with_its_failures(
    owner: User, node: Node, submit: Submit
) -> None:
    again, _ = submit(owner, count=2)
    for failure in ("blank", "none", "infrastructure"):
        assert job_requeue(bring(again, node, JobState.RUNNING), failure=failure)
        again.refresh_from_db()

    (line,) = overview().retried

    assert (line.id, line.attempt, line.failures) == (str(again.id), 3, 2)


def test_a_job_that_is_to_be_cancelled_says_so(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)
    assert job_cancel_request(job.id)

    assert [line.is_cancelling for line in overview().held] == [True]


def test_lists_end_and_sums_do_not(
    owner: User, submit: Submit, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit(owner, count=ROWS + 5)

    with django_assert_num_queries(7):
        seen = overview()

    assert (len(seen.oldest), seen.waiting) == (ROWS, ROWS + 5)


def test_neither_prompts_nor_sketches_are_seen(owner: User, node: Node, submit: Submit) -> None:
    running, waiting = submit(owner, count=2, prompt="a confidential house")
    assert job_requeue(bring(running, node, JobState.RUNNING), failure="none")
    running.refresh_from_db()
    bring(running, node, JobState.RUNNING)

    text = json.dumps(dataclasses.asdict(overview()))

    assert str(waiting.id) in text
    assert "confidential" not in text
    assert waiting.sketch not in text
    assert node.url not in text


def test_unended_jobs_of_one_user_or_all_come_last_in_the_queue_first(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    first, second = submit(owner, count=2)
    (live,) = submit(owner, lane=Lane.LIVE)
    (others,) = submit(stranger)
    (ended,) = submit(owner)
    bring(ended, node, JobState.FAILED)

    assert jobs_unended() == [others, second, first, live]
    assert jobs_unended(email="OWNER@example.com") == [second, first, live]
    assert jobs_named([first.id, ended.id]) == [ended, first]
