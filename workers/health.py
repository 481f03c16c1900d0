"""The health of nodes: each is asked whether it answers, and what it is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from django.conf import settings

from generation.models import Node, NodeDuty
from generation.nodes import node_lost, node_prove, node_seen, nodes_sync
from workers.clients import client_for
from workers.comfy.errors import ComfyError
from workers.comfy.node_info import SystemStats

PROBES_AT_ONCE = 8
_probing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said about itself, or why it said nothing."""

    version: str = ""
    gpu: str = ""
    memory_mb: int | None = None
    queue_remaining: int = 0
    problem: str = ""


def nodes_probe() -> list[int]:
    """Ask every node that is not disabled, all at once, and note what they say.

    Returns the ids of those whose canary the caller is now to make. While this process is asking
    already it does nothing: a node may take as long to answer as the next probe to come.
    """
    if not _probing.acquire(blocking=False):
        return []
    try:
        return _probe()
    finally:
        _probing.release()


def _probe() -> list[int]:
    nodes_sync(settings.PENCIL.comfyui_urls)
    nodes = list(Node.objects.exclude(duty__in=[NodeDuty.DISABLED, NodeDuty.RETIRED]))
    if not nodes:
        return []
    to_prove = []
    with ThreadPoolExecutor(min(len(nodes), PROBES_AT_ONCE), thread_name_prefix="probe") as pool:
        asked = {pool.submit(_ask, node.url): node for node in nodes}
        for future in as_completed(asked):
            node, answer = asked[future], future.result()
            if _note(node, answer):
                to_prove.append(node.pk)
    return to_prove


def _note(node: Node, answer: Answer) -> bool:
    """Keep what a node said; whether it is to prove itself now."""
    if answer.problem:
        node_lost(node.pk, problem=answer.problem)
        return False
    node_seen(node.pk, version=answer.version, gpu=answer.gpu, memory_mb=answer.memory_mb)
    return node_prove(node.pk, is_idle=answer.queue_remaining == 0)


def _ask(url: str) -> Answer:
    """Ask one node; touches no database."""
    try:
        client = client_for(url)
    except ValueError:  # whose text may hold a password
        return Answer(problem="The node's address cannot be used. Correct it.")
    try:
        remaining = client.queue_remaining()
        stats = client.system_stats()
    except ComfyError as error:
        return Answer(problem=str(error))
    largest = max((device.vram_total_bytes for device in stats.devices), default=0)
    return Answer(
        version=stats.version,
        gpu=_gpu(stats),
        memory_mb=largest // 2**20 or None,
        queue_remaining=remaining,
    )


def _gpu(stats: SystemStats) -> str:
    return ", ".join(device.name for device in stats.devices)
