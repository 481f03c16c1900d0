"""Probes of real servers, of silence, and the canary that comes before any job."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from generation.models import Node, NodeDuty, NodeHealth
from generation.nodes import (
    node_lost,
    node_prove,
    node_quarantine,
    node_set_duty,
    node_stuck,
    nodes_usable,
)
from workers.canary import node_canary
from workers.health import nodes_probe
from workers.tests.conftest import Simulator

pytestmark = pytest.mark.django_db

SILENT = "http://127.0.0.1:9"


@pytest.fixture
def named(settings: Any) -> Callable[..., None]:
    """Name the nodes of the environment."""

    def name(*urls: str) -> None:
        settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=urls)

    return name


def probe_and_prove() -> None:
    """What the tasks do every few seconds."""
    for node_id in nodes_probe():
        node_canary(node_id)


def test_a_new_node_takes_jobs_once_its_canary_image_is_good(
    named: Callable[..., None], well: Simulator
) -> None:
    named(well.url)

    (node_id,) = nodes_probe()
    assert not nodes_usable().exists()
    node_canary(node_id)

    node = Node.objects.get()
    assert (node.url, node.health) == (well.url, NodeHealth.HEALTHY)
    assert {"paint", "follow", "hd", "upscale"} <= set(node.workflows)
    assert "SaveImage" in node.abilities["classes"]
    assert node.version
    assert node.probed_at is not None


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        pytest.param("black-image", "blank", id="black"),
        pytest.param("nan-image", "blank", id="NaN"),
        pytest.param("out-of-memory", "memory", id="out of memory"),
        pytest.param("refuse", "", id="refuses"),
        pytest.param("missing-file", "fetched", id="no file"),
    ],
)
def test_a_node_whose_canary_dies_is_quarantined_with_a_reason(
    named: Callable[..., None], faulty: Callable[..., Simulator], fault: str, problem: str
) -> None:
    named(faulty(fault).url)

    probe_and_prove()

    node = Node.objects.get()
    assert node.health == NodeHealth.QUARANTINED
    assert problem in node.problem.lower()
    assert node.problem
    assert nodes_probe() == []  # not again before it is due


def test_a_quarantined_node_is_readmitted_by_its_next_canary(
    named: Callable[..., None], well: Simulator
) -> None:
    named(well.url)
    probe_and_prove()
    node_quarantine(Node.objects.get().pk, problem="2 blank images in a row")
    Node.objects.update(canary_due_at=Now() - timedelta(seconds=1))

    probe_and_prove()

    assert Node.objects.get().health == NodeHealth.HEALTHY


def test_silence_is_noted_with_a_reason_and_its_end_asks_for_a_canary(
    named: Callable[..., None], well: Simulator
) -> None:
    named(SILENT)
    probe_and_prove()
    node = Node.objects.get()
    assert (node.health, bool(node.problem)) == (NodeHealth.UNREACHABLE, True)

    Node.objects.update(url=well.url)
    named(well.url)

    assert nodes_probe() == [node.pk]
    node_canary(node.pk)
    node.refresh_from_db()
    assert (node.health, node.problem) == (NodeHealth.HEALTHY, "")


def test_a_node_that_the_environment_no_longer_names_goes(
    named: Callable[..., None], well: Simulator
) -> None:
    named(SILENT)
    nodes_probe()
    named(well.url)

    nodes_probe()

    assert [node.url for node in Node.objects.all()] == [well.url]


def test_an_address_that_cannot_be_used_leaves_the_others_alone(
    named: Callable[..., None], well: Simulator
) -> None:
    named(well.url)
    for number, url in enumerate(("ftp://gpu.lan", "http://gpu\u20131.lan:8188", "http://[::1")):
        Node.objects.create(name=f"odd-{number}", url=url)

    to_prove = nodes_probe()

    assert to_prove == [Node.objects.get(url=well.url).pk]
    odd = Node.objects.exclude(url=well.url)
    assert {node.health for node in odd} == {NodeHealth.UNREACHABLE}
    assert {node.problem for node in odd} == {"The node's address cannot be used. Correct it."}


def test_a_node_added_by_hand_stays(named: Callable[..., None], well: Simulator) -> None:
    Node.objects.create(name="by hand", url=SILENT)
    named(well.url)

    nodes_probe()

    assert Node.objects.filter(name="by hand").exists()


def test_one_canary_at_a_time(node: Node) -> None:
    Node.objects.update(health=NodeHealth.UNKNOWN)

    assert node_prove(node.pk, is_idle=True)
    assert not node_prove(node.pk, is_idle=True)


def test_a_canary_whose_maker_died_is_made_by_another(node: Node) -> None:
    Node.objects.update(health=NodeHealth.PROVING, canary_due_at=Now() - timedelta(milliseconds=1))

    assert node_prove(node.pk, is_idle=True)


def test_a_node_that_is_lost_while_it_proves_itself_stays_lost(
    named: Callable[..., None], well: Simulator
) -> None:
    named(well.url)
    (node_id,) = nodes_probe()
    node_lost(node_id, problem="gone")

    node_canary(node_id)

    assert Node.objects.get().health == NodeHealth.UNREACHABLE


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_stuck_node_proves_itself_once_its_queue_is_empty(node: Node, is_idle: bool) -> None:
    node_stuck(node.pk, problem="does not move")

    assert node_prove(node.pk, is_idle=is_idle) is is_idle


def test_a_node_that_was_disabled_proves_itself_anew(node: Node) -> None:
    node_set_duty(node.pk, NodeDuty.DISABLED)
    node_set_duty(node.pk, NodeDuty.ACTIVE)

    node.refresh_from_db()
    assert node.health == NodeHealth.UNKNOWN


def test_a_draining_node_takes_nothing_new(node: Node) -> None:
    node_set_duty(node.pk, NodeDuty.DRAINING)

    assert not nodes_usable().exists()
