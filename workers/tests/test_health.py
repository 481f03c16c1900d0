"""Probes of real servers, of silence, and of a node that was stuck."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from generation.models import Node, NodeHealth
from generation.nodes import node_seen, node_stuck, nodes_usable
from workers.health import nodes_probe
from workers.tests.conftest import Simulator

pytestmark = pytest.mark.django_db


def test_nodes_of_the_environment_become_known_and_say_what_they_are(
    settings: Any, well: Simulator
) -> None:
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=(well.url,))

    nodes_probe()

    node = Node.objects.get()
    assert (node.url, node.health) == (well.url, NodeHealth.HEALTHY)
    assert node.version
    assert node.probed_at is not None


def test_silence_is_noted_with_a_reason_and_ends_with_an_answer(
    settings: Any, well: Simulator
) -> None:
    silent = "http://127.0.0.1:9"
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=(silent,))
    nodes_probe()
    node = Node.objects.get()
    assert (node.health, bool(node.problem)) == (NodeHealth.UNREACHABLE, True)
    assert not nodes_usable().exists()

    Node.objects.update(url=well.url)
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=(well.url,))
    nodes_probe()

    node.refresh_from_db()
    assert (node.health, node.problem) == (NodeHealth.HEALTHY, "")


def test_a_node_that_the_environment_no_longer_names_goes(settings: Any, well: Simulator) -> None:
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=("http://127.0.0.1:9",))
    nodes_probe()
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=(well.url,))

    nodes_probe()

    assert [node.url for node in Node.objects.all()] == [well.url]


def test_a_node_added_by_hand_stays(settings: Any, well: Simulator) -> None:
    Node.objects.create(name="by hand", url="http://127.0.0.1:9")
    settings.PENCIL = dataclasses.replace(settings.PENCIL, comfyui_urls=(well.url,))

    nodes_probe()

    assert Node.objects.filter(name="by hand").exists()


@pytest.mark.parametrize(
    ("queue_remaining", "health"),
    [
        pytest.param(1, NodeHealth.STUCK, id="still holds its prompt"),
        pytest.param(0, NodeHealth.HEALTHY, id="empty, as after a restart"),
    ],
)
def test_a_stuck_node_is_well_again_once_it_is_empty(
    node: Node, queue_remaining: int, health: NodeHealth
) -> None:
    node_stuck(node.pk, problem="does not move")

    node_seen(node.pk, version="0.29.0", gpu="cpu", queue_remaining=queue_remaining)

    node.refresh_from_db()
    assert node.health == health
