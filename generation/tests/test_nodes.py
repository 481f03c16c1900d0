"""Nodes: kept in step with the environment, and what is noted about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.cache import cache
from django.db import transaction

from generation.models import Job, Node, NodeDuty, NodeHealth
from generation.nodes import (
    is_offered,
    node_failed,
    node_lost,
    node_made_blank,
    node_made_image,
    node_prove,
    node_seen,
    node_stuck,
    nodes_lock,
    nodes_room,
    nodes_sync,
    nodes_usable,
    nodes_with_room,
)
from generation.states import JobState
from generation.tests.stages import bring
from usage.models import User

Submit = Callable[..., list[Job]]
ONE, TWO = "http://127.0.0.1:18188", "http://gpu.example.com:18188"


def urls() -> set[str]:
    """The addresses that have a row."""
    return set(Node.objects.values_list("url", flat=True))


def test_each_address_gets_a_row_once(db: None) -> None:
    nodes_sync([ONE, TWO])
    nodes_sync([ONE, TWO])

    assert urls() == {ONE, TWO}
    assert set(Node.objects.values_list("name", flat=True)) == {
        "127.0.0.1:18188",
        "gpu.example.com:18188",
    }


def test_an_idle_node_whose_address_has_gone_is_forgotten(db: None) -> None:
    nodes_sync([ONE, TWO])

    nodes_sync([TWO])

    assert urls() == {TWO}


def test_a_node_that_holds_jobs_keeps_its_row_but_gets_no_more(owner: User, submit: Submit) -> None:
    nodes_sync([ONE])
    (job,) = submit(owner)
    bring(job, Node.objects.get(url=ONE), JobState.RUNNING)

    nodes_sync([TWO])

    assert urls() == {ONE, TWO}
    assert Node.objects.get(url=ONE).duty == NodeDuty.RETIRED


def test_a_node_made_by_hand_is_left_alone(node: Node) -> None:
    nodes_sync([ONE])

    assert urls() == {ONE, node.url}


def test_an_address_that_comes_back_while_its_jobs_run_takes_jobs_again(
    owner: User, submit: Submit
) -> None:
    nodes_sync([ONE])
    (job,) = submit(owner)
    bring(job, Node.objects.get(url=ONE), JobState.RUNNING)
    nodes_sync([TWO])

    nodes_sync([ONE, TWO])

    node = Node.objects.get(url=ONE)
    assert (node.duty, node.health) == (NodeDuty.ACTIVE, NodeHealth.UNKNOWN)


def test_a_node_that_was_disabled_by_hand_stays_so_while_its_address_is_named(db: None) -> None:
    nodes_sync([ONE])
    Node.objects.update(duty=NodeDuty.DISABLED)

    nodes_sync([ONE])

    assert Node.objects.get().duty == NodeDuty.DISABLED


@pytest.mark.parametrize(
    "addresses",
    [
        ["http://gpu.example.com:8188/a", "http://gpu.example.com:8188/b"],
        ["http://gpu.example.com:8188", "https://gpu.example.com:8188"],
        ["http://" + "a" * 60 + "." + "b" * 40 + ".example.com:8188"],
    ],
    ids=["paths", "schemes", "a long name"],
)
def test_any_addresses_that_the_environment_may_name_get_rows(
    db: None, addresses: list[str]
) -> None:
    nodes_sync(addresses)

    assert urls() == set(addresses)
    assert all(len(name) <= 80 for name in Node.objects.values_list("name", flat=True))


def test_a_hand_made_node_of_the_same_name_does_not_stop_the_sync(db: None) -> None:
    Node.objects.create(name="127.0.0.1:18188", url="http://localhost:18188")

    nodes_sync([ONE])

    assert ONE in urls()


# --- Room ---


def test_room_is_what_usable_nodes_may_still_hold(owner: User, node: Node, submit: Submit) -> None:
    Node.objects.create(
        name="off",
        url="http://127.0.0.1:3",
        duty=NodeDuty.DISABLED,
        health=NodeHealth.HEALTHY,
        depth=9,
    )
    Node.objects.create(
        name="gone", url="http://127.0.0.1:4", health=NodeHealth.UNREACHABLE, depth=9
    )
    first, *_ = submit(owner, count=2)
    bring(first, node, JobState.RUNNING)

    assert nodes_room() == 1


def test_a_node_that_holds_more_than_its_depth_has_no_negative_room(
    owner: User, node: Node, submit: Submit
) -> None:
    for job in submit(owner, count=2):
        bring(job, node, JobState.RUNNING)
    node.depth = 1
    node.save()
    Node.objects.create(name="two", url="http://127.0.0.1:2", depth=2, health=NodeHealth.HEALTHY)

    assert nodes_room() == 2


def test_the_emptiest_node_comes_first(owner: User, node: Node, submit: Submit) -> None:
    roomy = Node.objects.create(
        name="roomy", url="http://127.0.0.1:2", depth=5, health=NodeHealth.HEALTHY
    )

    with transaction.atomic():
        usable = nodes_lock()

    assert [found.pk for found in nodes_with_room(usable, {})] == [roomy.pk, node.pk]
    assert [found.pk for found in nodes_with_room(usable, {roomy.pk: 4})] == [node.pk, roomy.pk]
    assert [found.pk for found in nodes_with_room(usable, {roomy.pk: 5, node.pk: 1})] == [node.pk]
    assert nodes_with_room(usable, {roomy.pk: 6, node.pk: 2}) == []


# --- Health ---


def test_a_node_that_does_not_answer_gets_no_jobs(node: Node) -> None:
    node_lost(node.pk, problem="x" * 1000)

    node.refresh_from_db()
    assert node.health == NodeHealth.UNREACHABLE
    assert len(node.problem) <= 300
    assert not nodes_usable().exists()


def test_a_stuck_node_that_missed_a_probe_is_still_stuck(node: Node) -> None:
    node_stuck(node.pk, problem="does not move")

    node_lost(node.pk, problem="timed out")

    node.refresh_from_db()
    assert node.health == NodeHealth.STUCK
    assert not node_prove(node.pk, is_idle=False)


def test_what_a_node_says_of_itself_is_kept_as_far_as_it_fits(node: Node) -> None:
    node_seen(node.pk, version="v" * 500, gpu="g" * 500, memory_mb=24_000)

    node.refresh_from_db()
    assert (len(node.version), len(node.gpu)) == (40, 120)


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\nb"], ids=["NUL", "half", "line"])
def test_whatever_a_node_says_can_be_kept(node: Node, text: str) -> None:
    node_seen(node.pk, version=text, gpu=text, memory_mb=None)
    node_lost(node.pk, problem=text)

    node.refresh_from_db()
    assert node.version.isprintable()
    assert node.problem.isprintable()


def test_two_blank_images_in_a_row_quarantine(node: Node) -> None:
    node_made_blank(node.pk)
    node_made_image(node.pk)
    node_made_blank(node.pk)
    assert nodes_usable().exists()

    node_made_blank(node.pk)

    node.refresh_from_db()
    assert node.health == NodeHealth.QUARANTINED


def test_three_failures_in_a_row_quarantine(node: Node) -> None:
    for _ in range(2):
        node_failed(node.pk, problem="CUDA error")
    node_made_image(node.pk)
    for _ in range(2):
        node_failed(node.pk, problem="CUDA error")
    assert nodes_usable().exists()

    node_failed(node.pk, problem="CUDA error")

    node.refresh_from_db()
    assert node.health == NodeHealth.QUARANTINED
    assert "CUDA error" in node.problem


def test_what_is_offered_is_told_at_once_and_what_was_a_moment_longer(node: Node) -> None:
    mode = "hd-anchor"  # no node offers it
    assert not is_offered(mode)

    Node.objects.filter(pk=node.pk).update(workflows=[mode])
    assert is_offered(mode)

    Node.objects.filter(pk=node.pk).update(workflows=["paint"])
    assert is_offered(mode)
    cache.clear()
    assert not is_offered(mode)
    Node.objects.filter(pk=node.pk).update(health=NodeHealth.UNREACHABLE)
    assert is_offered(mode)  # it may wait for whatever node comes
