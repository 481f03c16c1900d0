"""The health of nodes: each is asked whether it answers, and what it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from django.conf import settings

from generation.models import Node, NodeHealth
from generation.nodes import node_lost, node_seen, nodes_sync
from workers.clients import client_for
from workers.comfy.errors import ComfyError
from workers.comfy.node_info import SystemStats

log = structlog.get_logger(__name__)

PROBES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said about itself, or why it said nothing."""

    version: str = ""
    gpu: str = ""
    queue_remaining: int = 0
    problem: str = ""


def nodes_probe() -> None:
    """Ask every node that takes jobs, all at once, and note what they say."""
    nodes_sync(settings.PENCIL.comfyui_urls)
    nodes = list(Node.objects.filter(is_enabled=True))
    if not nodes:
        return
    with ThreadPoolExecutor(min(len(nodes), PROBES_AT_ONCE), thread_name_prefix="probe") as pool:
        answers = list(pool.map(_ask, [node.url for node in nodes]))
    for node, answer in zip(nodes, answers, strict=True):
        if answer.problem:
            node_lost(node.pk, problem=answer.problem)
        else:
            node_seen(
                node.pk,
                version=answer.version,
                gpu=answer.gpu,
                queue_remaining=answer.queue_remaining,
            )
        was_well = node.health == NodeHealth.HEALTHY
        if was_well == bool(answer.problem):
            log.info("node changed", node=node.name, problem=answer.problem)


def _ask(url: str) -> Answer:
    """Ask one node; touches no database."""
    client = client_for(url)
    try:
        remaining = client.queue_remaining()
        stats = client.system_stats()
    except ComfyError as error:
        return Answer(problem=str(error))
    return Answer(version=stats.version, gpu=_gpu(stats), queue_remaining=remaining)


def _gpu(stats: SystemStats) -> str:
    return ", ".join(device.name for device in stats.devices)
